//! `GET /api/status`.

use axum::Json;
use axum::extract::State;
use jnana_api::conversations::Status;
use jnana_api::openai::ErrorBody;
use jnana_api::plugins::PluginState;

use crate::error::ApiError;
use crate::state::App;

/// What is running here.
#[utoipa::path(get, path = "/api/status", tag = "app", responses(
    (status = 200, body = Status), (status = 503, description = "the model is being loaded", body = ErrorBody)))]
pub(super) async fn status(State(app): State<App>) -> Result<Json<Status>, ApiError> {
    let assistant = app.assistant()?;
    let mut notices = Vec::new();
    for plugin in assistant.inputs.list() {
        let name = plugin.manifest.as_ref().map_or(&plugin.id, |manifest| &manifest.name);
        match &plugin.state {
            PluginState::Failed { reason } => notices.push(format!("{name} is not usable: {reason}")),
            // What a ready plugin says of itself stands beside its control.
            PluginState::Ready | PluginState::Disabled => {}
        }
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Json(Status { version, model: assistant.model.info.clone(), notices, started_ms: app.started_ms }))
}
