//! `/api/blobs`: inputs by the hash of their bytes.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jnana_api::conversations::BlobRef;
use jnana_api::openai::ErrorBody;

use crate::error::ApiError;
use crate::http::extract::ApiBytes;
use crate::state::App;

/// Nothing in a blob may run, whatever it is.
const BLOB_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// Keeps bytes for a later question.
#[utoipa::path(post, path = "/api/blobs", tag = "app",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 200, body = BlobRef), (status = 413, body = ErrorBody)))]
pub(super) async fn upload(
    State(app): State<App>,
    headers: HeaderMap,
    ApiBytes(bytes): ApiBytes,
) -> Result<Json<BlobRef>, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::invalid(None, "the body is empty; send the bytes to keep"));
    }
    let declared =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(Json(app.store.add_blob(bytes, declared).await?))
}

/// The bytes. They never change under their hash, so they are cached for ever.
#[utoipa::path(get, path = "/api/blobs/{hash}", tag = "app",
    params(("hash" = String, Path, description = "sha256, hex")), responses(
    (status = 200, content_type = "application/octet-stream"), (status = 404, body = ErrorBody),
    (status = 410, description = "no longer kept", body = ErrorBody)))]
pub(super) async fn read(
    State(app): State<App>,
    Path(hash): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tag = format!("\"{hash}\"");
    let (blob, bytes) = app.store.blob(&hash).await?;
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let fixed = [
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned()),
        (header::ETAG, tag),
        (header::CONTENT_SECURITY_POLICY, BLOB_POLICY.to_owned()),
        (header::CONTENT_TYPE, blob.mime),
    ];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, fixed).into_response());
    }
    Ok((fixed, bytes).into_response())
}
