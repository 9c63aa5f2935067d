//! `/api/admin`: everything in here but the sign-in lies behind the gate.

mod jobs;
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
        .routes(routes!(jobs::kinds))
        .routes(routes!(jobs::check))
        .routes(routes!(jobs::list, jobs::create))
        .routes(routes!(jobs::read, jobs::remove))
        .routes(routes!(jobs::stop))
        .routes(routes!(jobs::resume))
        .routes(routes!(jobs::log))
        .routes(routes!(jobs::events))
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

async fn unknown(uri: Uri) -> ApiError {
    ApiError::not_found(format!("nothing is at {}", uri.path()))
}
