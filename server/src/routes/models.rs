//! `GET /v1/models`.

use axum::Json;
use axum::extract::{Path, State};
use jnana_api::openai::{Architecture, ErrorBody, Model, ModelList};

use crate::error::ApiError;
use crate::state::App;

/// The serving models.
#[utoipa::path(get, path = "/v1/models", tag = "openai", responses((status = 200, body = ModelList)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<ModelList>, ApiError> {
    Ok(Json(ModelList { object: "list".to_owned(), data: vec![serving(&app)?] }))
}

/// One serving model.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "openai",
    params(("id" = String, Path, description = "model id")), responses(
    (status = 200, body = Model), (status = 404, body = ErrorBody)))]
pub(super) async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Model>, ApiError> {
    let model = serving(&app)?;
    if model.id == id { Ok(Json(model)) } else { Err(unknown(&id, &model.id)) }
}

/// The answer to a call for a model that does not serve here.
pub(super) fn unknown(asked: &str, serving: &str) -> ApiError {
    let words = format!("the model {asked:?} does not serve here; {serving:?} does");
    ApiError { code: Some("model_not_found"), ..ApiError::not_found(words) }.at("model")
}

fn serving(app: &App) -> Result<Model, ApiError> {
    let assistant = app.assistant()?;
    Ok(Model {
        id: assistant.model.info.id.clone(),
        object: "model".to_owned(),
        created: app.started_ms / 1000,
        owned_by: "jnana".to_owned(),
        context_length: assistant.model.info.context,
        architecture: Architecture {
            input_modalities: assistant.inputs.modalities(),
            output_modalities: vec!["text".to_owned()],
        },
    })
}
