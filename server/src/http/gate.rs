//! The way into `/api/admin`: a session for every call, and for those that change something the proof that a page of this
//! server sent them, and a line in the audit log before they are carried out.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jnana_api::admin::CSRF_HEADER;

use super::cookies;
use crate::admin::{COOKIE, Entry, Event, Held};
use crate::error::ApiError;
use crate::state::App;

/// Middleware: lets sessions through. Handlers find theirs as an `Extension<Held>`.
pub async fn layer(
    State(app): State<App>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let passed = pass(&app, address, request, next).await;
    let mut response = passed.unwrap_or_else(IntoResponse::into_response);
    // What administrators see is for no cache, the browser's included.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn pass(app: &App, address: SocketAddr, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let held = app.admin.session(cookies::find(&parts.headers, COOKIE)).await?;
    let is_proven = is_proven(&held, &parts);
    let entry = Entry {
        from: Some(address.ip().to_canonical()),
        session: Some(held.name()),
        action: Some(format!("{} {}", parts.method, parts.uri.path())),
        ..Entry::of(Event::Asked)
    };
    let changes_something = !parts.method.is_safe();
    parts.extensions.insert(held);
    let answer = next.run(Request::from_parts(parts, body));
    match (changes_something, is_proven) {
        (false, _) => Ok(answer.await),
        (true, true) => recorded(app, entry, answer).await,
        (true, false) => {
            app.admin.audit.note(Entry { event: Event::Refused, ..entry }).await?;
            let words = format!("the header {CSRF_HEADER} does not prove the session; reload the page");
            Err(ApiError::forbidden("wrong_csrf_token", words))
        }
    }
}

fn is_proven(held: &Held, parts: &Parts) -> bool {
    let proof = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    proof.is_some_and(|proof| held.proves(proof))
}

/// Carries a call out between the two lines of the log that tell of it.
async fn recorded(
    app: &App,
    entry: Entry,
    answer: impl Future<Output = Response>,
) -> Result<Response, ApiError> {
    app.admin.audit.note(entry.clone()).await?;
    let response = answer.await;
    let status = Some(response.status().as_u16());
    // Too late to refuse: that it was asked is on record.
    if let Err(error) = app.admin.audit.note(Entry { event: Event::Answered, status, ..entry }).await {
        tracing::error!(%error, "the audit log cannot be written");
    }
    Ok(response)
}
