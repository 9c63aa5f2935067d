//! `/api/admin/candidates`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use futures_util::StreamExt;
use jnana_api::generations::{Candidate, Generations, NewCandidate, Trial, TrialEvent};
use jnana_api::openai::ErrorBody;

use super::blocking;
use crate::admin::Held;
use crate::error::ApiError;
use crate::http::extract::ApiJson;
use crate::routes::sse;
use crate::serving;
use crate::state::App;

/// What is loaded beside what serves, oldest first.
#[utoipa::path(get, path = "/api/admin/candidates", tag = "admin", responses(
    (status = 200, body = Vec<Candidate>), (status = 401, body = ErrorBody)))]
pub(super) async fn list(State(app): State<App>) -> Json<Vec<Candidate>> {
    Json(app.serving.candidates())
}

/// Loads a folder beside what serves; the answer comes when it is loaded.
#[utoipa::path(post, path = "/api/admin/candidates", tag = "admin", request_body = NewCandidate, responses(
    (status = 200, body = Candidate),
    (status = 400, description = "the folder cannot serve", body = ErrorBody),
    (status = 403, description = "the path may not be named", body = ErrorBody),
    (status = 409, description = "these weights serve already", body = ErrorBody),
    (status = 503, description = "there is no room for it", body = ErrorBody)))]
pub(super) async fn add(
    State(app): State<App>,
    Extension(held): Extension<Held>,
    ApiJson(new): ApiJson<NewCandidate>,
) -> Result<Json<Candidate>, ApiError> {
    blocking(move || serving::add(&app, &new.path, held.name())).await.map(Json)
}

/// Lets a candidate go.
#[utoipa::path(delete, path = "/api/admin/candidates/{id}", tag = "admin",
    params(("id" = String, Path, description = "candidate id")), responses(
    (status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn remove(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    serving::remove(&app, &id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks what serves and a candidate the same; nothing of it is stored.
#[utoipa::path(post, path = "/api/admin/candidates/{id}/try", tag = "admin", request_body = Trial,
    params(("id" = String, Path, description = "candidate id")), responses(
    (status = 200, content_type = "text/event-stream", body = TrialEvent), (status = "4XX", body = ErrorBody)))]
pub(super) async fn try_both(
    State(app): State<App>,
    Path(id): Path<String>,
    ApiJson(trial): ApiJson<Trial>,
) -> Result<Response, ApiError> {
    let events = serving::try_both(&app, &id, trial).await?;
    Ok(sse::response(events.map(|event| Ok(sse::json(&event)))))
}

/// Makes a candidate what serves. Running answers end on what they began with.
#[utoipa::path(post, path = "/api/admin/candidates/{id}/promote", tag = "admin",
    params(("id" = String, Path, description = "candidate id")), responses(
    (status = 200, body = Generations), (status = 404, body = ErrorBody),
    (status = 409, description = "a merged core that is not its base with the adapter", body = ErrorBody)))]
pub(super) async fn promote(
    State(app): State<App>,
    Extension(held): Extension<Held>,
    Path(id): Path<String>,
) -> Result<Json<Generations>, ApiError> {
    blocking(move || serving::promote(&app, &id, held.name())).await.map(Json)
}
