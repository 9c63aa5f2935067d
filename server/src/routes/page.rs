//! The app's own files, built into the program.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

/// Name and bytes, sorted by name; `x.br` is `x` compressed.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/app.rs"));

/// `GET /`, `/c/{id}`, `/admin` and whatever is below it: the page.
pub(super) async fn index(headers: HeaderMap) -> Result<Response, ApiError> {
    file("index.html", &headers).ok_or_else(|| ApiError::internal("the program holds no page"))
}

/// Any other address: a file of the app, or 404.
pub(super) async fn asset(request: Request) -> Result<Response, ApiError> {
    let path = request.uri().path();
    let found = matches!(*request.method(), Method::GET | Method::HEAD)
        .then(|| file(path.trim_start_matches('/'), request.headers()))
        .flatten();
    found.ok_or_else(|| ApiError::not_found(format!("nothing is at {path}")))
}

fn file(name: &str, headers: &HeaderMap) -> Option<Response> {
    let plain = bytes_of(name)?;
    let compressed = bytes_of(&format!("{name}.br")).filter(|_| takes_brotli(headers));
    let tag = tag_of(plain);
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        compressed.unwrap_or(plain).into_response()
    };
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind_of(name)));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching(name)));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    answer.insert(header::ETAG, tag);
    if compressed.is_some() {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    Some(response)
}

fn bytes_of(name: &str) -> Option<&'static [u8]> {
    FILES.binary_search_by_key(&name, |(name, _)| name).ok().map(|index| FILES[index].1)
}

fn takes_brotli(headers: &HeaderMap) -> bool {
    let accepted =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("br") && !parts.any(|part| part == "q=0")
    })
}

/// FNV-1a over the bytes: a tag has to differ between builds, not to resist anyone.
fn tag_of(bytes: &[u8]) -> HeaderValue {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    HeaderValue::from_str(&format!("\"{hash:016x}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// Files with a hash in their name never change; all others are asked for again.
fn caching(name: &str) -> &'static str {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let hashed =
        stem.split(['.', '-']).any(|part| part.len() >= 16 && part.bytes().all(|b| b.is_ascii_hexdigit()));
    if hashed { "public, max-age=31536000, immutable" } else { "no-cache" }
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashed_names_are_immutable() {
        assert!(caching("app-0123456789abcdef.js").contains("immutable"));
        assert_eq!(caching("index.html"), "no-cache");
    }

    #[test]
    fn brotli_is_sent_to_those_who_take_it() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            takes_brotli(&headers)
        };
        assert!(with("gzip, deflate, br"));
        assert!(with("br;q=0.5"));
        assert!(!with("gzip"));
        assert!(!with("br;q=0"));
    }
}
