//! Rows to wire types and back.

use jnana_api::conversations::{BlobRef, Details, Message, MessageState, Part, Role, Summary};
use rusqlite::Row;

use super::Error;

pub(super) const SUMMARY: &str = "id, title, created_at, updated_at";
pub(super) const MESSAGE: &str = "id, parent, role, parts, state, error, details, created_at";

pub(super) fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    Ok(Summary { id: row.get(0)?, title: row.get(1)?, created_at: row.get(2)?, updated_at: row.get(3)? })
}

/// A message's columns before their JSON is read.
pub(super) struct RawMessage {
    id: String,
    parent: Option<String>,
    role: String,
    parts: String,
    state: String,
    error: Option<String>,
    details: Option<String>,
    created_at: i64,
}

impl RawMessage {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            parent: row.get(1)?,
            role: row.get(2)?,
            parts: row.get(3)?,
            state: row.get(4)?,
            error: row.get(5)?,
            details: row.get(6)?,
            created_at: row.get(7)?,
        })
    }

    pub(super) fn parse(self) -> Result<Message, Error> {
        let parts: Vec<Part> = serde_json::from_str(&self.parts)?;
        let details: Option<Details> = self.details.as_deref().map(serde_json::from_str).transpose()?;
        let role = if self.role == "user" { Role::User } else { Role::Assistant };
        let state = match self.state.as_str() {
            "generating" => MessageState::Generating,
            "stopped" => MessageState::Stopped,
            "failed" => MessageState::Failed { error: self.error.unwrap_or_default() },
            _ => MessageState::Done,
        };
        let Self { id, parent, created_at, .. } = self;
        Ok(Message { id, parent, role, parts, created_at, state, details })
    }
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// State column and error column.
pub(super) fn state_columns(state: &MessageState) -> (&'static str, Option<&str>) {
    match state {
        MessageState::Generating => ("generating", None),
        MessageState::Done => ("done", None),
        MessageState::Stopped => ("stopped", None),
        MessageState::Failed { error } => ("failed", Some(error)),
    }
}

/// What a search looks at: typed, spoken and generated text.
pub(super) fn plain_text(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text { text } => Some(text.as_str()),
        Part::Input { text, .. } => text.as_deref(),
    });
    texts.collect::<Vec<_>>().join("\n")
}

pub(super) fn blobs_of(parts: &[Part]) -> impl Iterator<Item = &BlobRef> {
    parts.iter().filter_map(|part| match part {
        Part::Input { blob, .. } => Some(blob),
        Part::Text { .. } => None,
    })
}
