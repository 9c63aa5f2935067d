//! `GET /api/conversations/{id}/export`: a conversation as a file.

use std::collections::HashMap;
use std::fmt::Write;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jnana_api::conversations::{Conversation, Message, MessageState, Part, Role};
use jnana_api::openai::ErrorBody;
use serde::Deserialize;

use crate::error::ApiError;
use crate::http::extract::ApiQuery;
use crate::state::App;

/// Form of an export.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// The shown branch, for people.
    #[default]
    Markdown,
    /// Everything, for programs.
    Json,
}

/// Query of [`export`].
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Choice {
    /// `markdown` (the shown branch) or `json` (all branches).
    #[serde(default)]
    format: Format,
}

/// A conversation as a file.
#[utoipa::path(get, path = "/api/conversations/{id}/export", tag = "app",
    params(("id" = String, Path, description = "conversation id"), Choice), responses(
    (status = 200, description = "the file"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn export(
    State(app): State<App>,
    Path(id): Path<String>,
    ApiQuery(Choice { format }): ApiQuery<Choice>,
) -> Result<Response, ApiError> {
    let conversation = app.store.conversation(&id).await?;
    let (kind, extension, text) = match format {
        Format::Markdown => ("text/markdown; charset=utf-8", "md", markdown(&conversation)),
        Format::Json => {
            let text = serde_json::to_string_pretty(&conversation).map_err(ApiError::internal)?;
            ("application/json", "json", text)
        }
    };
    let name = format!("attachment; filename=\"{}.{extension}\"", file_name(&conversation.summary.title));
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, name)], text).into_response())
}

/// ASCII letters, digits and dashes: what every file system and header takes.
fn file_name(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: String = words.collect::<Vec<_>>().join("-").to_lowercase().chars().take(60).collect();
    if name.is_empty() { "conversation".to_owned() } else { name }
}

fn markdown(conversation: &Conversation) -> String {
    let mut text = format!("# {}\n", conversation.summary.title);
    for message in branch(conversation) {
        let who = match message.role {
            Role::User => "You",
            Role::Assistant => "Jnana",
        };
        // Writing into a String cannot fail.
        let _ = write!(text, "\n## {who}\n\n");
        for part in &message.parts {
            let _ = match part {
                Part::Text { text: words } => writeln!(text, "{words}\n"),
                Part::Input { plugin, blob, text: None } => {
                    writeln!(text, "[{plugin}: {}, {} bytes]({})\n", blob.mime, blob.bytes, blob.url())
                }
                Part::Input { plugin, blob, text: Some(words) } => {
                    writeln!(
                        text,
                        "> {}\n>\n> [{plugin}: {}]({})\n",
                        words.replace('\n', "\n> "),
                        blob.mime,
                        blob.url()
                    )
                }
            };
        }
        match &message.state {
            MessageState::Stopped => text.push_str("_(stopped)_\n"),
            MessageState::Failed { error } => {
                let _ = writeln!(text, "_({error})_");
            }
            MessageState::Done | MessageState::Generating => {}
        }
    }
    text
}

/// The shown branch, oldest first.
fn branch(conversation: &Conversation) -> Vec<&Message> {
    let by_id: HashMap<&str, &Message> =
        conversation.messages.iter().map(|message| (message.id.as_str(), message)).collect();
    let mut branch = Vec::new();
    let mut next = conversation.active_leaf.as_deref();
    while let Some(message) = next.and_then(|id| by_id.get(id)) {
        branch.push(*message);
        next = message.parent.as_deref();
    }
    branch.reverse();
    branch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_plain() {
        assert_eq!(file_name("What's \"this\"?\r\nX: y"), "what-s-this-x-y");
        assert_eq!(file_name("字"), "conversation");
    }
}
