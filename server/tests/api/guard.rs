//! Who may call, and what every answer carries.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::{Method, StatusCode};

use super::support::{Caller, TestApp, given, home, refused};

#[tokio::test]
async fn foreign_hosts_and_pages_are_refused_on_every_kind_of_route() {
    let caller = Caller::shared();
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/api/conversations"),
        (Method::POST, "/api/conversations"),
        (Method::POST, "/v1/chat/completions"),
        (Method::GET, "/metrics"),
        (Method::GET, "/healthz"),
    ] {
        let foreign = [
            ("host", "evil.example"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
        ];
        for (name, value) in foreign {
            let response = caller.request(method.clone(), path).header(name, value).send().await.unwrap();
            let error = refused(response, StatusCode::FORBIDDEN).await;
            assert_eq!(error["type"], "permission_error", "{method} {path} {name}: {value}");
        }
    }
    let own = caller.request(Method::POST, "/api/conversations").header("origin", &caller.base).send().await;
    assert_eq!(own.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_open_address_demands_the_token() {
    let home = home();
    let mut given = given(&home);
    given.host = Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let app = TestApp::with(home, given).await;
    let token = app.server.app().settings.token.clone().expect("an open address makes a token").secret;
    let base = format!("http://127.0.0.1:{}", app.server.address().port());
    let caller = Caller { base, client: reqwest::Client::new() };

    for path in ["/", "/api/status", "/v1/models", "/metrics", "/nothing"] {
        let error = refused(caller.get(path).await, StatusCode::UNAUTHORIZED).await;
        assert_eq!(error["type"], "authentication_error");
    }
    assert_eq!(caller.get("/readyz").await.status(), StatusCode::OK);
    let bearer = caller.request(Method::GET, "/v1/models").bearer_auth(&token).send().await.unwrap();
    assert_eq!(bearer.status(), StatusCode::OK);
    refused(caller.get("/auth?token=wrong").await, StatusCode::UNAUTHORIZED).await;
    let signed_in = caller.get(&format!("/auth?token={token}")).await;
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains(&token), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let page = caller.request(Method::GET, "/").header("cookie", cookie).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
}

#[tokio::test]
async fn pages_can_run_nothing_foreign_and_answers_are_named() {
    let caller = Caller::shared();
    for path in ["/", "/c/some-conversation"] {
        let page = caller.get(path).await;
        assert_eq!(page.status(), StatusCode::OK);
        let headers = page.headers().clone();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(headers["content-type"].to_str().unwrap().starts_with("text/html"));
        assert!(page.text().await.unwrap().contains("<html"));
    }
    let given =
        caller.request(Method::GET, "/healthz").header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(given.headers()["x-request-id"], "mine-1");
    let odd = caller.request(Method::GET, "/healthz").header("x-request-id", "a b\"").send().await.unwrap();
    assert_eq!(odd.headers()["x-request-id"].len(), 36);
}

#[tokio::test]
async fn the_interface_describes_itself() {
    let document = Caller::shared().json("/api/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert!(document["paths"]["/v1/chat/completions"]["post"].is_object());
    assert!(document["components"]["schemas"]["Message"].is_object());
}
