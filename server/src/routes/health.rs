//! Whether the program lives, whether it can answer, and its figures.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::state::App;

/// `GET /healthz`: the program runs.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the model is loaded; 503 before.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    app.assistant()?;
    Ok("ready\n")
}

/// `GET /metrics`: Prometheus' text form.
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    app.metrics.engine(&app.serving.stats());
    let text = app.metrics.text().map_err(ApiError::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
