//! `/api/admin/generations`.

use axum::Json;
use axum::extract::State;
use jnana_api::generations::Generations;
use jnana_api::openai::ErrorBody;

use super::blocking;
use crate::error::ApiError;
use crate::serving;
use crate::state::App;

/// What serves, and what a roll-back goes to.
#[utoipa::path(get, path = "/api/admin/generations", tag = "admin", responses(
    (status = 200, body = Generations), (status = 401, body = ErrorBody),
    (status = 503, description = "the model is being loaded", body = ErrorBody)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Generations>, ApiError> {
    app.serving.generations().map(Json)
}

/// Goes back to what served before. Running answers end on what they began with.
#[utoipa::path(post, path = "/api/admin/generations/rollback", tag = "admin", responses(
    (status = 200, body = Generations), (status = "4XX", body = ErrorBody),
    (status = 503, description = "it has to be loaded, and there is no room", body = ErrorBody)))]
pub(super) async fn roll_back(State(app): State<App>) -> Result<Json<Generations>, ApiError> {
    blocking(move || serving::roll_back(&app)).await.map(Json)
}
