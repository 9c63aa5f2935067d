//! The HTTP interface: one file a resource.

mod admin;
mod blobs;
mod chat;
mod conversations;
mod export;
mod health;
mod messages;
mod models;
mod page;
mod plugins;
mod sse;
mod status;
mod transcriptions;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::http::{guard, headers, observe};
use crate::state::App;

/// Text of a question or a patch: parts refer to blobs, so this is plenty.
const MAX_JSON: usize = 2 << 20;

/// What the document says beside the routes.
#[derive(OpenApi)]
#[openapi(info(
    title = "Jnana",
    description = "Conversations with pictures and speech. `/v1` follows OpenAI's interface; `/api` is the app's, and \
        `/api/admin` its administrators'."
))]
struct Document;

/// Every route with its OpenAPI description.
fn documented(max_upload: usize) -> OpenApiRouter<App> {
    // base64 adds a third; a question may hold several inputs.
    let uploads = DefaultBodyLimit::max(max_upload.saturating_mul(2));
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::status))
        .routes(routes!(plugins::list))
        .routes(routes!(plugins::interpret))
        .routes(routes!(conversations::list, conversations::create))
        .routes(routes!(conversations::read, conversations::patch, conversations::remove))
        .routes(routes!(export::export))
        .routes(routes!(messages::post))
        .routes(routes!(messages::regenerate))
        .routes(routes!(messages::events))
        .routes(routes!(messages::stop))
        .routes(routes!(models::list))
        .routes(routes!(models::read))
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(blobs::upload))
                .routes(routes!(blobs::read))
                .layer(DefaultBodyLimit::max(max_upload)),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(chat::completions))
                .routes(routes!(transcriptions::transcribe))
                .layer(uploads),
        )
        .merge(admin::entrance())
}

/// The whole interface.
pub fn router(app: App) -> Router {
    let (router, mut document) = documented(app.settings.max_upload).split_for_parts();
    let (inside, of_admin) = admin::documented().split_for_parts();
    document.merge(of_admin);
    router
        .merge(admin::gated(inside, &app))
        .route("/api/openapi.json", get(move || async move { axum::Json(document) }))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/auth", get(guard::auth))
        .route("/", get(page::index))
        .route("/c/{id}", get(page::index))
        .route("/admin", get(page::index))
        .route("/admin/{page}", get(page::index))
        .fallback(page::asset)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.clone(), guard::layer))
        .layer(from_fn(headers::layer))
        .layer(from_fn_with_state(app.clone(), observe::layer))
        .with_state(app)
}

async fn method_not_allowed() -> ApiError {
    let words = "this address does not take this method";
    ApiError::with_status(axum::http::StatusCode::METHOD_NOT_ALLOWED, words)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let words = panic.downcast_ref::<String>().cloned();
    let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
    ApiError::internal(format!("a handler panicked: {}", words.unwrap_or_default())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_table_is_in_the_document() {
        let document = documented(1).merge(admin::documented()).into_openapi();
        let paths: Vec<&String> = document.paths.paths.keys().collect();
        for path in [
            "/api/status",
            "/api/plugins",
            "/api/plugins/{id}/interpret",
            "/api/blobs",
            "/api/blobs/{hash}",
            "/api/conversations",
            "/api/conversations/{id}",
            "/api/conversations/{id}/export",
            "/api/conversations/{id}/messages",
            "/api/conversations/{id}/messages/{mid}/regenerate",
            "/api/conversations/{id}/messages/{mid}/events",
            "/api/conversations/{id}/messages/{mid}/stop",
            "/api/admin/sign-in",
            "/api/admin/session",
            "/api/admin/sign-out",
            "/api/admin/models",
            "/api/admin/plugins",
            "/api/admin/generations",
            "/api/admin/generations/rollback",
            "/api/admin/candidates",
            "/api/admin/candidates/{id}",
            "/api/admin/candidates/{id}/try",
            "/api/admin/candidates/{id}/promote",
            "/v1/chat/completions",
            "/v1/models",
            "/v1/models/{id}",
            "/v1/audio/transcriptions",
        ] {
            assert!(paths.iter().any(|known| *known == path), "{path} is missing");
        }
    }
}
