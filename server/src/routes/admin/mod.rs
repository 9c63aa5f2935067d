//! `/api/admin`: everything in here but the sign-in lies behind the gate.

mod candidates;
mod generations;
mod models;
mod plugins;
mod session;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{MAX_JSON, method_not_allowed};
use crate::error::ApiError;
use crate::http::gate;
use crate::state::App;

/// The way in.
pub(super) fn entrance() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(session::sign_in)).layer(DefaultBodyLimit::max(MAX_JSON))
}

/// What is inside, with its descriptions.
pub(super) fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(session::read))
        .routes(routes!(session::sign_out))
        .routes(routes!(models::overview))
        .routes(routes!(plugins::list))
        .routes(routes!(generations::list))
        .routes(routes!(generations::roll_back))
        .routes(routes!(candidates::list, candidates::add))
        .routes(routes!(candidates::remove))
        .routes(routes!(candidates::try_both))
        .routes(routes!(candidates::promote))
        .layer(DefaultBodyLimit::max(MAX_JSON))
}

/// Puts the gate before what is inside: before addresses and methods that are not there, too.
pub(super) fn gated(inside: Router<App>, app: &App) -> Router<App> {
    inside
        .route("/api/admin", any(unknown))
        .route("/api/admin/{*rest}", any(unknown))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), gate::layer))
}

/// Runs what takes its time on a thread where that harms nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::not_found(format!("nothing is at {}", uri.path()))
}
