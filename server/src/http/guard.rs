//! Who may call: the Host allow-list, the Origin check and the token.
//!
//! A page of another site can make a browser call a server on this machine: by name, after rebinding that name's address
//! (so only known names and plain addresses are answered), or across origins (so a foreign `Origin` is refused). A
//! server that can be reached from other machines asks for its token besides.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use sha2::{Digest, Sha256};

use super::cookies;
use crate::error::ApiError;
use crate::secret::Fingerprint;
use crate::settings::Settings;
use crate::state::App;

const COOKIE: &str = "jnana_session";

/// The rules, made from the settings once.
#[derive(Debug, Clone)]
pub struct Guard {
    loopback_only: bool,
    tls: bool,
    hosts: Vec<String>,
    origins: Vec<String>,
    token: Option<Secret>,
}

/// What the token hashes to, and the cookie that stands for it.
#[derive(Clone)]
struct Secret {
    token: Fingerprint,
    session: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    fn new(token: &str) -> Self {
        let session =
            hex::encode(Sha256::new().chain_update("jnana session\0").chain_update(token).finalize());
        Self { token: Fingerprint::of(token), session }
    }
}

impl Guard {
    /// The rules of these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
        Self {
            loopback_only: settings.address.ip().is_loopback(),
            tls: settings.tls,
            hosts: lower(&settings.allowed_hosts),
            origins: lower(&settings.allowed_origins),
            token: settings.token.as_ref().map(|token| Secret::new(&token.secret)),
        }
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = host_of(uri, headers)?;
        self.check_host(&host)?;
        self.check_origin(&host, method, headers)?;
        let open = matches!(uri.path(), "/healthz" | "/readyz" | "/auth");
        if open || self.token.as_ref().is_none_or(|secret| carries(secret, headers)) {
            return Ok(());
        }
        Err(ApiError::unauthorized())
    }

    fn check_host(&self, authority: &str) -> Result<(), ApiError> {
        let name = without_port(authority);
        let address: Option<IpAddr> = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let known = match address {
            // An address cannot be rebound; from outside a loopback server cannot be reached by another one.
            Some(address) => address.is_loopback() || !self.loopback_only,
            None => name == "localhost" || name.ends_with(".localhost"),
        };
        if known || self.hosts.iter().any(|host| host == name) {
            return Ok(());
        }
        let words = format!("this server does not answer to the name {name:?} (setting: allowed-hosts)");
        Err(ApiError::forbidden("foreign_host", words))
    }

    fn check_origin(&self, host: &str, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
        let refused = || {
            let words = "this server answers its own pages and programs only (setting: allowed-origins)";
            Err(ApiError::forbidden("foreign_origin", words))
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            let own = origin
                .split_once("://")
                .is_some_and(|(scheme, authority)| matches!(scheme, "http" | "https") && authority == host);
            return if own || self.origins.contains(&origin) { Ok(()) } else { refused() };
        }
        // No Origin: a program, a page of ours, or a browser fetching for a foreign page (an image, a script), which says so.
        let foreign = matches!(text("sec-fetch-site"), Some("cross-site" | "same-site"));
        let navigation = method == Method::GET && text("sec-fetch-mode") == Some("navigate");
        if foreign && !navigation { refused() } else { Ok(()) }
    }

    /// Exchanges the token for a cookie, for browsers.
    fn sign_in(&self, token: &str) -> Result<Response, ApiError> {
        let Some(secret) = &self.token else {
            return Ok(Redirect::to("/").into_response());
        };
        if !secret.token.is_of(token) {
            return Err(ApiError::unauthorized());
        }
        let secure = if self.tls { "; Secure" } else { "" };
        let cookie = format!(
            "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000{secure}",
            secret.session
        );
        let cookie = HeaderValue::from_str(&cookie).map_err(ApiError::internal)?;
        // Not a redirect: a cookie that is set on the way from another site would not be sent on.
        let page =
            "<!doctype html><meta http-equiv=\"refresh\" content=\"0; url=/\"><a href=\"/\">Continue</a>";
        let headers = [
            (header::SET_COOKIE, cookie),
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        Ok((headers, page).into_response())
    }
}

/// The name that the caller used, with its port, in lower case.
fn host_of(uri: &Uri, headers: &HeaderMap) -> Result<String, ApiError> {
    let header = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    uri.authority()
        .map(axum::http::uri::Authority::as_str)
        .or(header)
        .map(str::to_ascii_lowercase)
        .ok_or_else(|| ApiError::invalid(None, "the request names no Host"))
}

fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

fn carries(secret: &Secret, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION).and_then(|value| value.split_once(' '));
    if let Some((scheme, token)) = bearer
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return secret.token.is_of(token.trim());
    }
    let session = Fingerprint::of(&secret.session);
    cookies::find(headers, COOKIE).is_some_and(|cookie| session.is_of(cookie))
}

/// Middleware: refuses what the rules refuse.
pub async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.guard.check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// `GET /auth?token=…`: sets the session cookie.
pub async fn auth(
    State(app): State<App>,
    super::extract::ApiQuery(query): super::extract::ApiQuery<AuthQuery>,
) -> Result<Response, ApiError> {
    app.guard.sign_in(&query.token)
}

/// Query of [`auth`].
#[derive(Debug, serde::Deserialize)]
pub struct AuthQuery {
    token: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(loopback_only: bool, token: Option<&str>) -> Guard {
        Guard {
            loopback_only,
            tls: false,
            hosts: vec!["jnana.lan".to_owned()],
            origins: vec!["https://friend.example".to_owned()],
            token: token.map(Secret::new),
        }
    }

    fn check(guard: &Guard, method: &Method, headers: &[(&'static str, &str)]) -> u16 {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let uri = Uri::from_static("/api/status");
        guard.check(method, &uri, &headers).map_or_else(|error| error.status.as_u16(), |()| 200)
    }

    #[test]
    fn names_that_could_be_rebound_are_refused() {
        let guard = guard(true, None);
        for host in ["localhost:8642", "127.0.0.1", "[::1]:8642", "jnana.lan", "LOCALHOST"] {
            assert_eq!(check(&guard, &Method::GET, &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example", "evil.example:8642", "localhost.evil.example", "192.168.1.5", ""] {
            assert_eq!(check(&guard, &Method::GET, &[("host", host)]), 403, "{host}");
        }
        assert_eq!(check(&guard, &Method::GET, &[]), 400);
    }

    #[test]
    fn an_open_server_answers_to_its_addresses_but_not_to_any_name() {
        let guard = guard(false, None);
        assert_eq!(check(&guard, &Method::GET, &[("host", "192.168.1.5:8642")]), 200);
        assert_eq!(check(&guard, &Method::GET, &[("host", "evil.example")]), 403);
    }

    #[test]
    fn foreign_pages_are_refused() {
        let guard = guard(true, None);
        let at = |origin, site, mode| {
            let mut headers = vec![("host", "localhost:8642")];
            headers.extend([("origin", origin), ("sec-fetch-site", site), ("sec-fetch-mode", mode)]);
            headers.retain(|(_, value): &(_, &str)| !value.is_empty());
            check(&guard, &Method::GET, &headers)
        };
        assert_eq!(at("http://localhost:8642", "same-origin", "cors"), 200);
        assert_eq!(at("https://friend.example", "cross-site", "cors"), 200);
        assert_eq!(at("https://evil.example", "cross-site", "cors"), 403);
        assert_eq!(at("http://localhost:9999", "same-site", "cors"), 403);
        assert_eq!(at("null", "cross-site", "cors"), 403);
        assert_eq!(at("", "cross-site", "no-cors"), 403);
        assert_eq!(at("", "cross-site", "navigate"), 200);
        assert_eq!(at("", "", ""), 200);
    }

    #[test]
    fn the_token_or_its_cookie_opens() {
        let token = "0123456789abcdef";
        let guard = guard(false, Some(token));
        let with = |name, value: &str| check(&guard, &Method::POST, &[("host", "127.0.0.1"), (name, value)]);
        assert_eq!(with("accept", "*/*"), 401);
        assert_eq!(with("authorization", "Bearer 0123456789abcdef"), 200);
        assert_eq!(with("authorization", "Bearer 0123456789abcdee"), 401);
        assert_eq!(with("cookie", "jnana_session=0123456789abcdef"), 401);
        let response = guard.sign_in(token).unwrap();
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"));
        assert_eq!(with("cookie", cookie.split(';').next().unwrap()), 200);
        assert!(guard.sign_in("wrong").is_err());
    }
}
