//! Conversations: made, listed, searched, changed, removed.

use jnana_api::conversations::{Conversation, ConversationPatch, Summary};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, RawMessage};
use super::{Error, Store, new_id, now_ms};

/// Title of a conversation that has no words yet.
const UNTITLED: &str = "New conversation";
/// Characters of a title taken from a question.
const TITLE_CHARS: usize = 60;
/// Most characters of a title that a person gives.
const MAX_TITLE_CHARS: usize = 200;

impl Store {
    /// Makes an empty conversation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_conversation(&self) -> Result<Conversation, Error> {
        self.write(|db| {
            let (id, now) = (new_id(), now_ms());
            let insert =
                "INSERT INTO conversations (id, title, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)";
            db.execute(insert, params![id, UNTITLED, now])?;
            let summary = Summary { id, title: UNTITLED.to_owned(), created_at: now, updated_at: now };
            Ok(Conversation { summary, messages: Vec::new(), active_leaf: None })
        })
        .await
    }

    /// All conversations, newest first; with a query, those whose title or text holds it in any case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn conversations(&self, query: &str) -> Result<Vec<Summary>, Error> {
        let query = query.trim().to_lowercase();
        self.write(move |db| {
            let sql = format!(
                "SELECT {} FROM conversations c WHERE ?1 = '' OR instr(fold(title), ?1) > 0 OR EXISTS (
                   SELECT 1 FROM messages m WHERE m.conversation_id = c.id AND instr(fold(m.text), ?1) > 0)
                 ORDER BY updated_at DESC, id DESC",
                rows::SUMMARY
            );
            let mut statement = db.prepare(&sql)?;
            let found = statement.query_map([query], rows::summary)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A conversation with every message of every branch.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn conversation(&self, id: &str) -> Result<Conversation, Error> {
        let id = id.to_owned();
        self.write(move |db| load(db, &id)).await
    }

    /// Renames a conversation or shows another branch of it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] when the title's length or the leaf is wrong.
    pub async fn patch_conversation(&self, id: &str, patch: ConversationPatch) -> Result<Summary, Error> {
        let id = id.to_owned();
        self.write(move |db| {
            let mut summary = summary(db, &id)?;
            if let Some(title) = patch.title {
                let title = title.trim();
                if !(1..=MAX_TITLE_CHARS).contains(&title.chars().count()) {
                    return Err(Error::Invalid(format!("a title has 1 to {MAX_TITLE_CHARS} characters")));
                }
                let update = "UPDATE conversations SET title = ?2, renamed = 1 WHERE id = ?1";
                db.execute(update, params![id, title])?;
                title.clone_into(&mut summary.title);
            }
            if let Some(leaf) = patch.active_leaf {
                require_message(db, &id, &leaf)?;
                db.execute("UPDATE conversations SET active_leaf = ?2 WHERE id = ?1", params![id, leaf])?;
            }
            Ok(summary)
        })
        .await
    }

    /// Removes a conversation and its messages. Its blobs go with the next sweep, if nothing else uses them.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn delete_conversation(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.write(move |db| match db.execute("DELETE FROM conversations WHERE id = ?1", [&id])? {
            0 => Err(Error::NotFound { what: "conversation", id }),
            _ => Ok(()),
        })
        .await
    }
}

pub(super) fn summary(db: &Connection, id: &str) -> Result<Summary, Error> {
    let sql = format!("SELECT {} FROM conversations WHERE id = ?1", rows::SUMMARY);
    db.query_row(&sql, [id], rows::summary)
        .optional()?
        .ok_or_else(|| Error::NotFound { what: "conversation", id: id.to_owned() })
}

fn load(db: &Connection, id: &str) -> Result<Conversation, Error> {
    let summary = summary(db, id)?;
    let active_leaf =
        db.query_row("SELECT active_leaf FROM conversations WHERE id = ?1", [id], |row| row.get(0))?;
    let sql = format!("SELECT {} FROM messages WHERE conversation_id = ?1 ORDER BY id", rows::MESSAGE);
    let mut statement = db.prepare(&sql)?;
    let raw: Vec<RawMessage> = statement.query_map([id], RawMessage::read)?.collect::<Result<_, _>>()?;
    let messages = raw.into_iter().map(RawMessage::parse).collect::<Result<_, _>>()?;
    Ok(Conversation { summary, messages, active_leaf })
}

pub(super) fn require_message(db: &Connection, conversation: &str, message: &str) -> Result<(), Error> {
    let sql = "SELECT 1 FROM messages WHERE id = ?1 AND conversation_id = ?2";
    db.query_row(sql, [message, conversation], |_| Ok(()))
        .optional()?
        .ok_or_else(|| Error::NotFound { what: "message", id: message.to_owned() })
}

/// A new message makes its conversation the newest and its branch the shown one, and gives it a title from its words
/// unless a person has named it or an earlier message did.
pub(super) fn touch(db: &Connection, conversation: &str, leaf: &str, words: &str) -> Result<(), Error> {
    let update = "UPDATE conversations SET updated_at = ?2, active_leaf = ?3 WHERE id = ?1";
    db.execute(update, params![conversation, now_ms(), leaf])?;
    entitle(db, conversation, words)
}

/// Gives a conversation without a title one from the words of its first question.
pub(super) fn entitle(db: &Connection, conversation: &str, words: &str) -> Result<(), Error> {
    if let Some(title) = title_from(words) {
        let update = "UPDATE conversations SET title = ?2 WHERE id = ?1 AND renamed = 0 AND title = ?3";
        db.execute(update, params![conversation, title, UNTITLED])?;
    }
    Ok(())
}

/// The first words, cut at a space where there is one.
fn title_from(words: &str) -> Option<String> {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return None;
    }
    let Some((cut, _)) = line.char_indices().nth(TITLE_CHARS) else {
        return Some(line);
    };
    let head = &line[..cut];
    let end = head.rfind(' ').filter(|end| *end > cut / 2).unwrap_or(cut);
    Some(format!("{}…", &head[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_cut_between_words_and_inside_none() {
        assert_eq!(title_from("  What is\nthis? "), Some("What is this?".to_owned()));
        assert_eq!(title_from(" \n"), None);
        let long = title_from(&"wörd ".repeat(40)).unwrap();
        assert!(long.ends_with("wörd…") && long.chars().count() <= TITLE_CHARS + 1, "{long}");
        assert_eq!(title_from(&"字".repeat(80)).unwrap().chars().count(), TITLE_CHARS + 1);
    }
}
