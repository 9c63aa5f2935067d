//! Signing in and out.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use jnana_api::admin::{Session, SignIn};
use jnana_api::openai::ErrorBody;

use crate::admin::{COOKIE, Held};
use crate::error::ApiError;
use crate::http::extract::ApiJson;
use crate::state::App;

/// Exchanges the admin token for a session.
#[utoipa::path(post, path = "/api/admin/sign-in", tag = "admin", request_body = SignIn, responses(
    (status = 200, body = Session, description = "with the session's cookie"),
    (status = 403, description = "not the token", body = ErrorBody),
    (status = 429, description = "too many wrong tokens", body = ErrorBody)))]
pub(super) async fn sign_in(
    State(app): State<App>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    ApiJson(body): ApiJson<SignIn>,
) -> Result<impl IntoResponse, ApiError> {
    let (id, session) = app.admin.sign_in(body.token.trim(), address.ip().to_canonical()).await?;
    let cookie = cookie(id.reveal(), app.settings.tls);
    let headers = [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((headers, Json(session)))
}

/// The session of this call.
#[utoipa::path(get, path = "/api/admin/session", tag = "admin", responses(
    (status = 200, body = Session), (status = 401, body = ErrorBody)))]
pub(super) async fn read(Extension(held): Extension<Held>) -> Json<Session> {
    Json(held.session)
}

/// Ends the session of this call.
#[utoipa::path(post, path = "/api/admin/sign-out", tag = "admin", responses(
    (status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn sign_out(State(app): State<App>, Extension(held): Extension<Held>) -> impl IntoResponse {
    app.admin.sign_out(&held);
    let gone = cookie("", app.settings.tls) + "; Max-Age=0";
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)])
}

/// Sent to administration only, by pages of this server only, and readable by no script. The browser forgets it when it is
/// closed.
fn cookie(id: &str, tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    format!("{COOKIE}={id}; Path=/api/admin; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_goes_nowhere_else() {
        assert_eq!(cookie("a", false), "jnana_admin=a; Path=/api/admin; HttpOnly; SameSite=Strict");
        assert!(cookie("a", true).ends_with("; Secure"));
    }
}
