//! `GET /api/admin/plugins`.

use axum::Json;
use axum::extract::State;
use jnana_api::admin::PluginReport;
use jnana_api::openai::ErrorBody;
use jnana_api::plugins::PluginInfo;

use crate::error::ApiError;
use crate::state::App;

/// All installed plugins, working or not, with what each has done.
#[utoipa::path(get, path = "/api/admin/plugins", tag = "admin", responses(
    (status = 200, body = Vec<PluginReport>), (status = 401, body = ErrorBody),
    (status = 503, description = "the model is being loaded", body = ErrorBody)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Vec<PluginReport>>, ApiError> {
    let assistant = app.assistant()?;
    let inputs = &assistant.inputs;
    let report = |plugin: PluginInfo| PluginReport { activity: inputs.activity(&plugin), plugin };
    Ok(Json(inputs.list().into_iter().map(report).collect()))
}
