//! Administration: who gets in, what is kept of it, and what is to be seen there.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;

use jnana_server::startup::Server;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::support::{Caller, MODEL, TestApp, eventually, fixture, given, good, home, program, refused};

/// Everything there is behind the gate, with the method it takes.
const INSIDE: [(Method, &str); 10] = [
    (Method::GET, "/api/admin/session"),
    (Method::POST, "/api/admin/sign-out"),
    (Method::GET, "/api/admin/models"),
    (Method::GET, "/api/admin/plugins"),
    (Method::GET, "/api/admin/generations"),
    (Method::POST, "/api/admin/generations/rollback"),
    (Method::GET, "/api/admin/candidates"),
    (Method::POST, "/api/admin/candidates"),
    (Method::POST, "/api/admin/candidates/a/try"),
    (Method::POST, "/api/admin/candidates/a/promote"),
];

/// A server that was started for the first time, and its token.
async fn started() -> (TestApp, String) {
    let app = TestApp::start().await;
    let token = app.server.fresh_admin_token().expect("a first start makes a token").reveal().to_owned();
    (app, token)
}

async fn sign_in(caller: &Caller, token: &str) -> Response {
    caller.post("/api/admin/sign-in", &json!({ "token": token })).await
}

/// A browser's part in a session.
pub(crate) struct Session {
    cookie: String,
    csrf: String,
}

impl Session {
    pub(crate) async fn of(caller: &Caller, token: &str) -> Self {
        let response = sign_in(caller, token).await;
        let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.ends_with("; Path=/api/admin; HttpOnly; SameSite=Strict"), "{cookie}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let csrf = good(response).await["csrf"].as_str().unwrap().to_owned();
        assert!(!cookie.contains(token) && !cookie.contains(&csrf));
        Self { cookie, csrf }
    }

    async fn call(&self, caller: &Caller, method: Method, path: &str, csrf: Option<&str>) -> Response {
        let request = caller.request(method, path).header("cookie", &self.cookie);
        let request = csrf.into_iter().fold(request, |request, csrf| request.header("x-csrf-token", csrf));
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, caller: &Caller, path: &str) -> Response {
        self.call(caller, Method::GET, path, None).await
    }

    /// A change, with the proof that this page asks for it.
    pub(crate) async fn change(&self, caller: &Caller, method: Method, path: &str) -> Response {
        self.call(caller, method, path, Some(&self.csrf)).await
    }

    /// The same with a body.
    pub(crate) async fn post(&self, caller: &Caller, path: &str, body: &Value) -> Response {
        let request = caller.request(Method::POST, path).header("cookie", &self.cookie);
        request.header("x-csrf-token", &self.csrf).json(body).send().await.unwrap()
    }
}

fn folder(app: &TestApp) -> PathBuf {
    app.server.app().settings.home.join("admin")
}

fn audit(app: &TestApp) -> Vec<Value> {
    let text = std::fs::read_to_string(folder(app).join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_start_that_fails_makes_no_token_that_nobody_sees() {
    let home = home();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut given = given(&home);
    given.port = Some(taken.local_addr().unwrap().port());
    assert!(Server::start(given.resolve().unwrap()).await.is_err());
    assert!(!home.path().join("admin").exists());
}

#[tokio::test]
async fn nothing_of_administration_is_reachable_without_a_session() {
    let (app, token) = started().await;
    let caller = &app.caller;
    let elsewhere = [
        (Method::GET, "/api/admin"),
        (Method::GET, "/api/admin/nothing"),
        (Method::DELETE, "/api/admin/a/b/c"),
        (Method::PUT, "/api/admin/models"),
        (Method::HEAD, "/api/admin/plugins"),
    ];
    for (method, path) in INSIDE.into_iter().chain(elsewhere) {
        let forged = format!("jnana_admin={token}");
        for (name, value) in
            [("accept", "*/*"), ("authorization", token.as_str()), ("cookie", forged.as_str())]
        {
            let response = caller.request(method.clone(), path).header(name, value).send().await.unwrap();
            assert_eq!(response.headers()["cache-control"], "no-store");
            if method == Method::HEAD {
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
                continue;
            }
            let error = refused(response, StatusCode::UNAUTHORIZED).await;
            assert_eq!(error["code"], "admin_sign_in", "{method} {path}: {name}");
        }
    }
}

#[tokio::test]
async fn a_session_opens_everything_until_it_is_signed_out() {
    let (app, token) = started().await;
    let caller = &app.caller;
    let session = Session::of(caller, &token).await;
    for (method, path) in INSIDE.into_iter().filter(|(method, _)| *method == Method::GET) {
        assert_eq!(session.call(caller, method, path, None).await.status(), StatusCode::OK, "{path}");
    }
    let told = good(session.get(caller, "/api/admin/session").await).await;
    assert_eq!(told["csrf"], session.csrf.as_str());
    refused(session.get(caller, "/api/admin/nothing").await, StatusCode::NOT_FOUND).await;
    let wrong = session.call(caller, Method::PUT, "/api/admin/models", Some(&session.csrf)).await;
    refused(wrong, StatusCode::METHOD_NOT_ALLOWED).await;

    let out = session.call(caller, Method::POST, "/api/admin/sign-out", Some(&session.csrf)).await;
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    refused(session.get(caller, "/api/admin/models").await, StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_change_needs_the_proof_of_its_own_session() {
    let (app, token) = started().await;
    let caller = &app.caller;
    let (mine, other) = (Session::of(caller, &token).await, Session::of(caller, &token).await);
    for proof in [None, Some(""), Some(other.csrf.as_str()), Some(token.as_str())] {
        let response = mine.call(caller, Method::POST, "/api/admin/sign-out", proof).await;
        assert_eq!(refused(response, StatusCode::FORBIDDEN).await["code"], "wrong_csrf_token");
    }
    assert_eq!(mine.get(caller, "/api/admin/session").await.status(), StatusCode::OK);
    let foreign = caller
        .request(Method::POST, "/api/admin/sign-out")
        .header("cookie", &mine.cookie)
        .header("x-csrf-token", &mine.csrf)
        .header("origin", "https://evil.example");
    let error = refused(foreign.send().await.unwrap(), StatusCode::FORBIDDEN).await;
    assert_eq!(error["code"], "foreign_origin");
}

#[tokio::test]
async fn wrong_tokens_are_told_so_and_then_have_to_wait() {
    let (app, token) = started().await;
    for (body, status) in [(json!({}), 400), (json!({ "token": 7 }), 400), (json!([]), 400)] {
        let response = app.caller.post("/api/admin/sign-in", &body).await;
        refused(response, StatusCode::from_u16(status).unwrap()).await;
    }
    for _ in 0..5 {
        let error = refused(sign_in(&app.caller, "wrong").await, StatusCode::FORBIDDEN).await;
        assert_eq!(error["code"], "wrong_token");
    }
    for token in ["wrong", token.as_str()] {
        let response = sign_in(&app.caller, token).await;
        let wait: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=61).contains(&wait));
        let error = refused(response, StatusCode::TOO_MANY_REQUESTS).await;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("rate_limit_error"), &json!("too_many_attempts"))
        );
    }
}

#[tokio::test]
async fn a_new_token_from_a_terminal_ends_what_the_old_one_opened() {
    let (app, token) = started().await;
    let session = Session::of(&app.caller, &token).await;
    let made = Command::new(program())
        .args(["admin", "token", "--home"])
        .arg(&app.server.app().settings.home)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let renewed = String::from_utf8(made.stdout).unwrap();
    refused(session.get(&app.caller, "/api/admin/models").await, StatusCode::UNAUTHORIZED).await;
    refused(sign_in(&app.caller, &token).await, StatusCode::FORBIDDEN).await;
    Session::of(&app.caller, renewed.trim()).await;
}

#[tokio::test]
async fn what_is_done_is_written_down_and_no_secret_is_kept() {
    let (app, token) = started().await;
    let caller = &app.caller;
    refused(sign_in(caller, "wrong").await, StatusCode::FORBIDDEN).await;
    let session = Session::of(caller, &token).await;
    session.get(caller, "/api/admin/plugins").await;
    session.call(caller, Method::POST, "/api/admin/sign-out", None).await;
    session.call(caller, Method::POST, "/api/admin/sign-out", Some(&session.csrf)).await;

    let lines = audit(&app);
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["token-made", "sign-in-refused", "signed-in", "refused", "asked", "answered"]);
    for line in &lines[1..] {
        assert_eq!(line["from"], "127.0.0.1", "{line}");
    }
    for line in &lines[3..] {
        assert_eq!(line["action"], "POST /api/admin/sign-out", "{line}");
        assert_eq!(line["session"], lines[2]["session"], "{line}");
    }
    assert_eq!(lines[5]["status"], 204);

    let id = session.cookie.strip_prefix("jnana_admin=").unwrap();
    for file in std::fs::read_dir(folder(&app)).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for secret in [token.as_str(), id, session.csrf.as_str()] {
            assert!(!text.contains(secret), "{} holds a secret", path.display());
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let (app, token) = started().await;
    let session = Session::of(&app.caller, &token).await;
    let log = folder(&app).join("audit.jsonl");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    refused(sign_in(&app.caller, &token).await, StatusCode::INTERNAL_SERVER_ERROR).await;
    let out = session.call(&app.caller, Method::POST, "/api/admin/sign-out", Some(&session.csrf)).await;
    refused(out, StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!(session.get(&app.caller, "/api/admin/session").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_open_address_demands_both_tokens() {
    let home = home();
    let mut given = given(&home);
    given.host = Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let app = TestApp::with(home, given).await;
    let access = app.server.app().settings.token.clone().unwrap().secret;
    let admin = app.server.fresh_admin_token().unwrap().reveal().to_owned();
    let base = format!("http://127.0.0.1:{}", app.server.address().port());
    let caller = Caller { base, client: Client::new() };

    let body = json!({ "token": admin });
    let error = refused(caller.post("/api/admin/sign-in", &body).await, StatusCode::UNAUTHORIZED).await;
    assert_eq!(error["code"], "invalid_api_key");
    let request = caller.request(Method::GET, "/api/admin/models").bearer_auth(&access);
    let error = refused(request.send().await.unwrap(), StatusCode::UNAUTHORIZED).await;
    assert_eq!(error["code"], "admin_sign_in");
    let request = caller.request(Method::POST, "/api/admin/sign-in").bearer_auth(&access).json(&body);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_overviews_tell_what_is_loaded_and_what_it_did() {
    let home = home();
    let plugins = Some(program().with_file_name("plugins"));
    let mut given = given(&home);
    given.plugins = plugins;
    let app = TestApp::with(home, given).await;
    let caller = &app.caller;
    let token = app.server.fresh_admin_token().unwrap().reveal().to_owned();
    let session = Session::of(caller, &token).await;
    caller.answer("What is the capital of France?", 5).await;
    eventually("the answer is counted", async || caller.metric("jnana_engine_live_requests").await == 0.0)
        .await;

    let models = good(session.get(caller, "/api/admin/models").await).await;
    assert_eq!(models["model"]["id"], MODEL);
    assert_eq!(models["model"]["dtype"], "q4_1");
    assert!(models["files"]["adapter"].is_string() && models["files"]["projectors"]["vision"].is_string());
    assert!(models["parameters"].as_u64().unwrap() > 100_000_000, "{models}");
    let memory = &models["memory"];
    assert!(memory["weights"].as_u64().unwrap() > 50 << 20, "{memory}");
    assert!(memory["process"].as_u64().unwrap() > memory["weights"].as_u64().unwrap(), "{memory}");
    assert!(models["requests"]["finished"].as_u64().unwrap() >= 1, "{models}");

    let picture = fixture("e2e/assets/bear.jpg");
    let stored =
        caller.request(Method::POST, "/api/blobs").header("content-type", "image/jpeg").body(picture);
    let blob = good(stored.send().await.unwrap()).await;
    good(caller.post("/api/plugins/vision/interpret", &blob).await).await;
    let reports = good(session.get(caller, "/api/admin/plugins").await).await;
    let report = |id: &str| {
        let reports = reports.as_array().unwrap();
        reports.iter().find(|report| report["plugin"]["id"] == id).unwrap_or_else(|| panic!("{reports:?}"))
    };
    let vision = report("vision");
    assert_eq!(vision["plugin"]["state"], "ready");
    assert_eq!((&vision["activity"]["calls"], &vision["activity"]["errors"]), (&json!(1), &json!(0)));
    assert_eq!(report("whisper")["activity"]["calls"], 0);
}
