//! Server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderName, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Serialize;

use crate::error::ApiError;

/// Proxies close what stays silent for half a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// One event whose data is JSON. What cannot be written becomes an error object.
pub(super) fn json<T: Serialize>(value: &T) -> Event {
    Event::default().json_data(value).unwrap_or_else(|error| failed(&ApiError::internal(error)))
}

/// An error in the middle of a stream, with the body that a refused call has.
pub(super) fn failed(error: &ApiError) -> Event {
    Event::default().data(serde_json::json!(error.body()).to_string())
}

/// The end of an OpenAI stream.
pub(super) fn done() -> Event {
    Event::default().data("[DONE]")
}

/// A response with keep-alive comments, kept by no cache and buffered by no proxy.
pub(super) fn response(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (HeaderName::from_static("x-accel-buffering"), "no")];
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    (headers, Sse::new(events).keep_alive(keep_alive)).into_response()
}
