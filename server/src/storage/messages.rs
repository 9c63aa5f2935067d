//! Messages: a tree in each conversation.

use std::collections::{HashMap, HashSet};

use jnana_api::conversations::{BlobRef, Details, Message, MessageState, NewMessage, Part, Posted, Role};
use rusqlite::{Connection, OptionalExtension, params};

use super::conversations::{self, entitle, require_message, touch};
use super::rows::{self, RawMessage, blobs_of, plain_text, role_name, state_columns};
use super::{Error, Store, new_id, now_ms};

/// Most parts of one message.
pub const MAX_PARTS: usize = 16;
/// Most characters of one text, typed or left in an input.
const MAX_TEXT_CHARS: usize = 100_000;

/// How an answer ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The whole text.
    pub text: String,
    /// `Done`, `Stopped` or `Failed`.
    pub state: MessageState,
    /// How it was made, when it came that far.
    pub details: Option<Details>,
}

impl Store {
    /// Stores a question and an empty answer that is being generated.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the conversation or the parent; [`Error::Invalid`] when the parts cannot be a question.
    pub async fn post(&self, conversation: &str, new: NewMessage) -> Result<Posted, Error> {
        let conversation = conversation.to_owned();
        self.write(move |db| {
            conversations::summary(db, &conversation)?;
            check_parent(db, &conversation, new.parent.as_deref())?;
            let parts = checked_parts(db, new.parts)?;
            let question = insert(db, &conversation, new.parent, Role::User, parts, MessageState::Done)?;
            let answer = insert_answer(db, &conversation, &question.id)?;
            touch(db, &conversation, &answer.id, &plain_text(&question.parts))?;
            Ok(Posted { question, answer })
        })
        .await
    }

    /// Stores a new empty answer beside `answer`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] when `answer` is not an answer.
    pub async fn regenerate(&self, conversation: &str, answer: &str) -> Result<Posted, Error> {
        let (conversation, answer) = (conversation.to_owned(), answer.to_owned());
        self.write(move |db| {
            let old = load(db, &conversation, &answer)?;
            let (Role::Assistant, Some(parent)) = (old.role, old.parent) else {
                return Err(Error::Invalid("only an answer can be made again".to_owned()));
            };
            let question = load(db, &conversation, &parent)?;
            let answer = insert_answer(db, &conversation, &question.id)?;
            touch(db, &conversation, &answer.id, "")?;
            Ok(Posted { question, answer })
        })
        .await
    }

    /// One message.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn message(&self, conversation: &str, id: &str) -> Result<Message, Error> {
        let (conversation, id) = (conversation.to_owned(), id.to_owned());
        self.write(move |db| load(db, &conversation, &id)).await
    }

    /// The messages from the first of a branch to `leaf`, `leaf` included.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn branch(&self, conversation: &str, leaf: &str) -> Result<Vec<Message>, Error> {
        let whole = self.conversation(conversation).await?;
        let mut by_id: HashMap<String, Message> =
            whole.messages.into_iter().map(|message| (message.id.clone(), message)).collect();
        let mut branch = Vec::new();
        let mut next = Some(leaf.to_owned());
        while let Some(id) = next {
            let message = by_id.remove(&id).ok_or(Error::NotFound { what: "message", id })?;
            next = message.parent.clone();
            branch.push(message);
        }
        branch.reverse();
        Ok(branch)
    }

    /// Keeps the text that an answer has so far.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_text(&self, id: &str, text: String) -> Result<(), Error> {
        let id = id.to_owned();
        self.write(move |db| {
            let parts = text_parts(&text)?;
            let update = "UPDATE messages SET parts = ?2, text = ?3 WHERE id = ?1";
            db.execute(update, params![id, parts, text])?;
            Ok(())
        })
        .await
    }

    /// Keeps the text that a plugin gave for input `part` of a question.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn save_input_text(
        &self,
        conversation: &str,
        id: &str,
        part: usize,
        new: String,
    ) -> Result<(), Error> {
        let (conversation, id) = (conversation.to_owned(), id.to_owned());
        self.write(move |db| {
            let mut message = load(db, &conversation, &id)?;
            if let Some(Part::Input { text, .. }) = message.parts.get_mut(part) {
                *text = Some(new);
            }
            let (parts, text) = (serde_json::to_string(&message.parts)?, plain_text(&message.parts));
            db.execute("UPDATE messages SET parts = ?2, text = ?3 WHERE id = ?1", params![id, parts, text])?;
            entitle(db, &conversation, &text)
        })
        .await
    }

    /// Ends an answer. Gives the message as it is stored now.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it was deleted meanwhile, or when the database fails.
    pub async fn finish(&self, conversation: &str, id: &str, finished: Finished) -> Result<Message, Error> {
        let (conversation, id) = (conversation.to_owned(), id.to_owned());
        self.write(move |db| {
            let (state, error) = state_columns(&finished.state);
            let details = finished.details.as_ref().map(serde_json::to_string).transpose()?;
            let parts = text_parts(&finished.text)?;
            db.execute(
                "UPDATE messages SET parts = ?2, text = ?3, state = ?4, error = ?5, details = ?6 WHERE id = ?1",
                params![id, parts, finished.text, state, error, details],
            )?;
            load(db, &conversation, &id)
        })
        .await
    }
}

/// Answers that were being made when the program ended: their text stays, and they say what happened.
pub(super) fn end_unfinished(db: &Connection) -> Result<(), Error> {
    let words = "The server ended while this answer was being made. The text so far was kept; regenerate to try again.";
    let update = "UPDATE messages SET state = 'failed', error = ?1 WHERE state = 'generating'";
    let ended = db.execute(update, [words])?;
    if ended > 0 {
        tracing::warn!(ended, "answers were cut off by the last end of the program");
    }
    Ok(())
}

fn load(db: &Connection, conversation: &str, id: &str) -> Result<Message, Error> {
    let sql = format!("SELECT {} FROM messages WHERE id = ?1 AND conversation_id = ?2", rows::MESSAGE);
    db.query_row(&sql, [id, conversation], RawMessage::read)
        .optional()?
        .ok_or_else(|| Error::NotFound { what: "message", id: id.to_owned() })?
        .parse()
}

/// A question follows nothing or a finished answer.
fn check_parent(db: &Connection, conversation: &str, parent: Option<&str>) -> Result<(), Error> {
    let Some(parent) = parent else { return Ok(()) };
    require_message(db, conversation, parent)?;
    let parent = load(db, conversation, parent)?;
    if parent.role != Role::Assistant || parent.state == MessageState::Generating {
        return Err(Error::Invalid("a question follows an answer that has ended".to_owned()));
    }
    Ok(())
}

/// Drops empty texts, checks lengths, and takes each blob's MIME type and length from the store.
fn checked_parts(db: &Connection, parts: Vec<Part>) -> Result<Vec<Part>, Error> {
    let mut checked = Vec::new();
    for part in parts {
        match part {
            Part::Text { text } if text.trim().is_empty() => {}
            Part::Text { text } | Part::Input { text: Some(text), .. }
                if text.chars().count() > MAX_TEXT_CHARS =>
            {
                return Err(Error::Invalid(format!("a text has at most {MAX_TEXT_CHARS} characters")));
            }
            Part::Text { .. } => checked.push(part),
            Part::Input { plugin, blob, text } => {
                checked.push(Part::Input { plugin, blob: stored_blob(db, &blob.hash)?, text });
            }
        }
    }
    match checked.len() {
        0 => Err(Error::Invalid("a question needs a text or an input".to_owned())),
        1..=MAX_PARTS => Ok(checked),
        _ => Err(Error::Invalid(format!("a message has at most {MAX_PARTS} parts"))),
    }
}

pub(super) fn stored_blob(db: &Connection, hash: &str) -> Result<BlobRef, Error> {
    let sql = "SELECT hash, mime, bytes FROM blobs WHERE hash = ?1";
    let read =
        |row: &rusqlite::Row<'_>| Ok(BlobRef { hash: row.get(0)?, mime: row.get(1)?, bytes: row.get(2)? });
    db.query_row(sql, [hash], read)
        .optional()?
        .ok_or_else(|| Error::NotFound { what: "blob", id: hash.to_owned() })
}

fn insert_answer(db: &Connection, conversation: &str, question: &str) -> Result<Message, Error> {
    let parent = Some(question.to_owned());
    insert(db, conversation, parent, Role::Assistant, Vec::new(), MessageState::Generating)
}

fn insert(
    db: &Connection,
    conversation: &str,
    parent: Option<String>,
    role: Role,
    parts: Vec<Part>,
    state: MessageState,
) -> Result<Message, Error> {
    let (id, created_at) = (new_id(), now_ms());
    db.execute(
        "INSERT INTO messages (id, conversation_id, parent, role, parts, text, state, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            id,
            conversation,
            parent,
            role_name(role),
            serde_json::to_string(&parts)?,
            plain_text(&parts),
            state_columns(&state).0,
            created_at
        ],
    )?;
    for hash in blobs_of(&parts).map(|blob| blob.hash.as_str()).collect::<HashSet<_>>() {
        db.execute("INSERT INTO message_blobs (message_id, hash) VALUES (?1, ?2)", [id.as_str(), hash])?;
    }
    Ok(Message { id, parent, role, parts, created_at, state, details: None })
}

fn text_parts(text: &str) -> Result<String, Error> {
    let parts: Vec<Part> =
        if text.is_empty() { Vec::new() } else { vec![Part::Text { text: text.to_owned() }] };
    Ok(serde_json::to_string(&parts)?)
}
