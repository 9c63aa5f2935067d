//! `/api/conversations`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jnana_api::conversations::{Conversation, ConversationPatch, Summary};
use jnana_api::openai::ErrorBody;
use serde::Deserialize;

use crate::error::ApiError;
use crate::http::extract::{ApiJson, ApiQuery};
use crate::state::App;

/// Query of [`list`].
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Words that title or text must hold, in any case.
    #[serde(default)]
    query: String,
}

/// All conversations, newest first.
#[utoipa::path(get, path = "/api/conversations", tag = "app", params(Search), responses(
    (status = 200, body = Vec<Summary>)))]
pub(super) async fn list(
    State(app): State<App>,
    ApiQuery(search): ApiQuery<Search>,
) -> Result<Json<Vec<Summary>>, ApiError> {
    Ok(Json(app.store.conversations(&search.query).await?))
}

/// Makes an empty conversation.
#[utoipa::path(post, path = "/api/conversations", tag = "app", responses((status = 200, body = Conversation)))]
pub(super) async fn create(State(app): State<App>) -> Result<Json<Conversation>, ApiError> {
    Ok(Json(app.store.create_conversation().await?))
}

/// A conversation with all its branches.
#[utoipa::path(get, path = "/api/conversations/{id}", tag = "app",
    params(("id" = String, Path, description = "conversation id")), responses(
    (status = 200, body = Conversation), (status = 404, body = ErrorBody)))]
pub(super) async fn read(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Conversation>, ApiError> {
    Ok(Json(app.store.conversation(&id).await?))
}

/// Renames a conversation or shows another branch.
#[utoipa::path(patch, path = "/api/conversations/{id}", tag = "app", request_body = ConversationPatch,
    params(("id" = String, Path, description = "conversation id")), responses(
    (status = 200, body = Summary), (status = "4XX", body = ErrorBody)))]
pub(super) async fn patch(
    State(app): State<App>,
    Path(id): Path<String>,
    ApiJson(patch): ApiJson<ConversationPatch>,
) -> Result<Json<Summary>, ApiError> {
    Ok(Json(app.store.patch_conversation(&id, patch).await?))
}

/// Removes a conversation; an answer that is being made in it ends.
#[utoipa::path(delete, path = "/api/conversations/{id}", tag = "app",
    params(("id" = String, Path, description = "conversation id")), responses(
    (status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn remove(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    app.store.delete_conversation(&id).await?;
    app.generations.stop_conversation(&id);
    Ok(StatusCode::NO_CONTENT)
}
