//! `/api/plugins`.

use axum::Json;
use axum::extract::{Path, State};
use jnana_api::conversations::BlobRef;
use jnana_api::openai::ErrorBody;
use jnana_api::plugins::{Interpretation, PluginInfo};

use crate::assistant::CancelOnDrop;
use crate::error::ApiError;
use crate::http::extract::ApiJson;
use crate::state::App;

/// All installed plugins, working or not.
#[utoipa::path(get, path = "/api/plugins", tag = "app", responses((status = 200, body = Vec<PluginInfo>)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Vec<PluginInfo>>, ApiError> {
    Ok(Json(app.assistant()?.inputs.list()))
}

/// What a plugin makes of stored bytes, to be shown before they are sent.
#[utoipa::path(post, path = "/api/plugins/{id}/interpret", tag = "app", request_body = BlobRef,
    params(("id" = String, Path, description = "plugin id")), responses(
    (status = 200, body = Interpretation), (status = "4XX", body = ErrorBody)))]
pub(super) async fn interpret(
    State(app): State<App>,
    Path(id): Path<String>,
    ApiJson(blob): ApiJson<BlobRef>,
) -> Result<Json<Interpretation>, ApiError> {
    let assistant = app.assistant()?;
    if !assistant.inputs.list().iter().any(|plugin| plugin.id == id) {
        return Err(ApiError::not_found(format!("no plugin is called {id:?}")));
    }
    let (blob, bytes) = app.store.blob(&blob.hash).await?;
    let gone = CancelOnDrop::default();
    let cancel = gone.0.clone();
    let work = move || assistant.inputs.interpret(&id, &blob.mime, &bytes, &cancel);
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?.map(Json)
}
