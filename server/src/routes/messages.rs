//! `/api/conversations/{id}/messages`: questions and the answers that are made of them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::{StreamExt, stream};
use jnana_api::conversations::{
    GenerationEvent, GenerationEventKind, Message, MessageState, NewMessage, Part, Posted,
};
use jnana_api::openai::ErrorBody;
use serde::Deserialize;

use super::sse;
use crate::assistant::{follow, start};
use crate::error::ApiError;
use crate::http::extract::{ApiJson, ApiQuery};
use crate::state::App;

/// Posts a question; its answer is made whether or not anyone listens.
#[utoipa::path(post, path = "/api/conversations/{id}/messages", tag = "app", request_body = NewMessage,
    params(("id" = String, Path, description = "conversation id")), responses(
    (status = 200, body = Posted), (status = "4XX", body = ErrorBody)))]
pub(super) async fn post(
    State(app): State<App>,
    Path(id): Path<String>,
    ApiJson(new): ApiJson<NewMessage>,
) -> Result<Json<Posted>, ApiError> {
    let assistant = app.assistant()?;
    let posted = app.store.post(&id, new).await?;
    start(&app, &assistant, &id, &posted);
    Ok(Json(posted))
}

/// Makes another answer beside answer `mid`.
#[utoipa::path(post, path = "/api/conversations/{id}/messages/{mid}/regenerate", tag = "app",
    params(("id" = String, Path, description = "conversation id"), ("mid" = String, Path, description = "answer id")),
    responses((status = 200, body = Posted), (status = "4XX", body = ErrorBody)))]
pub(super) async fn regenerate(
    State(app): State<App>,
    Path((id, mid)): Path<(String, String)>,
) -> Result<Json<Posted>, ApiError> {
    let assistant = app.assistant()?;
    let posted = app.store.regenerate(&id, &mid).await?;
    start(&app, &assistant, &id, &posted);
    Ok(Json(posted))
}

/// Query of [`events`].
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Number of the last event that the reader has; absent or 0 for none.
    #[serde(default)]
    after: u64,
}

/// The events of an answer: those behind `after`, then those to come. An answer that has ended gives its text (to readers
/// that have nothing yet) and its end, with the whole message.
#[utoipa::path(get, path = "/api/conversations/{id}/messages/{mid}/events", tag = "app",
    params(("id" = String, Path, description = "conversation id"), ("mid" = String, Path, description = "answer id"), After),
    responses((status = 200, content_type = "text/event-stream", body = GenerationEvent),
    (status = 404, body = ErrorBody)))]
pub(super) async fn events(
    State(app): State<App>,
    Path((id, mid)): Path<(String, String)>,
    ApiQuery(After { after }): ApiQuery<After>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // A browser that reconnects by itself says in this header what it has.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let after = last.unwrap_or(after);
    let stored = app.store.message(&id, &mid).await?;
    if let Some(live) = app.generations.get(&mid) {
        return Ok(sse::response(follow(live, after).map(|event| Ok(event_of(&event)))));
    }
    // It may have ended between the two looks.
    let stored = match stored.state {
        MessageState::Generating => app.store.message(&id, &mid).await?,
        _ => stored,
    };
    let replay: Vec<_> = replay(stored, after).iter().map(event_of).map(Ok).collect();
    Ok(sse::response(stream::iter(replay)))
}

/// Events of an answer that is stored as ended.
fn replay(message: Message, after: u64) -> Vec<GenerationEvent> {
    let mut events = Vec::new();
    let mut push = |kind| {
        let seq = after + events.len() as u64 + 1;
        events.push(GenerationEvent { seq, kind });
    };
    if after == 0 {
        for part in &message.parts {
            if let Part::Text { text } = part {
                push(GenerationEventKind::Text { text: text.clone() });
            }
        }
    }
    push(GenerationEventKind::End { message: Box::new(message) });
    events
}

fn event_of(event: &GenerationEvent) -> Event {
    sse::json(event).id(event.seq.to_string())
}

/// Ends an answer early; its text so far stays. Nothing happens to one that has ended.
#[utoipa::path(post, path = "/api/conversations/{id}/messages/{mid}/stop", tag = "app",
    params(("id" = String, Path, description = "conversation id"), ("mid" = String, Path, description = "answer id")),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn stop(
    State(app): State<App>,
    Path((id, mid)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    app.store.message(&id, &mid).await?;
    if let Some(live) = app.generations.get(&mid) {
        live.stop();
    }
    Ok(StatusCode::NO_CONTENT)
}
