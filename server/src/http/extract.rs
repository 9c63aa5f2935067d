//! Bodies and queries, with the one error for what is wrong in them.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// A JSON body; the error names the field that is wrong.
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let wrong = ApiError::invalid(None, format!("the body is not as expected: {}", error.into_inner()));
        if path == "." { wrong } else { wrong.at(path) }
    })?;
    json.end()
        .map_err(|error| ApiError::invalid(None, format!("the body goes on after its end: {error}")))?;
    Ok(value)
}

/// Raw bytes within the body limit.
#[derive(Debug)]
pub struct ApiBytes(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for ApiBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Ok(Self(Bytes::from_request(request, state).await?))
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_large("the body is larger than this server takes (max-upload-mib)");
        }
        Self::invalid(None, rejection.body_text())
    }
}

/// The query string.
#[derive(Debug)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection: QueryRejection| ApiError::invalid(None, rejection.body_text()))?;
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use jnana_api::openai::ChatRequest;

    use super::*;

    #[test]
    fn a_wrong_field_is_named() {
        let error = parse::<ChatRequest>(br#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#);
        let error = error.unwrap_err();
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        assert!(error.param.unwrap().starts_with("messages[0].content"));
        assert_eq!(parse::<ChatRequest>(b"{").unwrap_err().status, StatusCode::BAD_REQUEST);
        assert_eq!(parse::<Vec<u8>>(b"[] []").unwrap_err().status, StatusCode::BAD_REQUEST);
    }
}
