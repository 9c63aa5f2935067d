//! The one error that a caller sees: OpenAI's body, a status, and never the program's insides.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jnana_api::admin::SIGN_IN_CODE;
use jnana_api::openai::{ErrorBody, ErrorObject};

/// A refused or failed call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// What happened and what to do, for the caller.
    pub message: String,
    /// Field of the request that is to blame.
    pub param: Option<String>,
    /// Stable word for programs.
    pub code: Option<&'static str>,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: Some(code), retry_after: None }
    }

    /// 400: the request is wrong.
    pub fn invalid(param: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        let param: Option<&'static str> = param.into();
        Self {
            param: param.map(str::to_owned),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid_value", message)
        }
    }

    /// The same error, with the field that is to blame.
    #[must_use]
    pub fn at(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// 401: a token is missing or wrong.
    pub fn unauthorized() -> Self {
        let words =
            "a token is needed: send it as `Authorization: Bearer …`, or open /auth?token=… in a browser";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", words)
    }

    /// 401: no session of an administrator, or one that has ended.
    #[must_use]
    pub fn admin_sign_in() -> Self {
        let words = "this is for administrators: sign in at /admin with the admin token";
        Self::new(StatusCode::UNAUTHORIZED, SIGN_IN_CODE, words)
    }

    /// 403: a foreign page or name, or a proof that does not hold.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 409: the thing is in a state that does not allow this.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 410: was there once.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "gone", message)
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// 429 with `Retry-After`.
    pub fn busy(message: impl Into<String>) -> Self {
        Self { retry_after: Some(2), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", message) }
    }

    /// 429 for somebody who has to wait before the next try.
    pub fn too_many(code: &'static str, message: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, message) }
    }

    /// 503: something the operator can mend.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    /// 500: the program is to blame. The cause goes to the log, not to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        let words = "the server failed; its log says more under this answer's x-request-id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", words)
    }

    /// Any status that a lower layer chose.
    pub fn with_status(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "refused", message)
    }

    /// The body, for answers and for streams.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        ErrorBody {
            error: ErrorObject {
                message: self.message.clone(),
                kind: kind.to_owned(),
                param: self.param.clone(),
                code: self.code.map(str::to_owned),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // The server's token comes in a header, an administrator's session in a cookie only.
            let scheme = if self.code == Some(SIGN_IN_CODE) { "Cookie" } else { "Bearer" };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        response
    }
}

impl From<crate::storage::Error> for ApiError {
    fn from(error: crate::storage::Error) -> Self {
        use crate::storage::Error;
        match error {
            Error::NotFound { .. } => Self::not_found(error.to_string()),
            Error::Expired(_) => Self::gone(error.to_string()),
            Error::Invalid(words) => Self::invalid(None, words),
            other => Self::internal(other),
        }
    }
}
