//! Wrong input gets the error object with a 4xx, never a 500.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::{Caller, refused};

fn user(content: &Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": content }] })
}

fn with(field: &str, value: Value) -> Value {
    let mut body = user(&"Hi".into());
    body[field] = value;
    body
}

#[tokio::test]
async fn every_wrong_chat_request_is_told_what_is_wrong() {
    let caller = Caller::shared();
    let image = |url: &str| user(&json!([{ "type": "image_url", "image_url": { "url": url } }]));
    let cases: Vec<(Value, u16, Option<&str>)> = vec![
        (json!({}), 400, None),
        (json!([]), 400, None),
        (json!({ "messages": "hi" }), 400, Some("messages")),
        (json!({ "messages": [] }), 400, Some("messages")),
        (json!({ "messages": [{ "role": "user" }] }), 400, Some("messages")),
        (json!({ "messages": [{ "role": "tool", "content": "x" }] }), 400, Some("messages[0].role")),
        (json!({ "messages": [{ "role": "assistant", "content": "x" }] }), 400, Some("messages")),
        (user(&7.into()), 400, Some("messages[0].content")),
        (user(&"   ".into()), 400, Some("messages")),
        (user(&json!([{ "type": "video_url" }])), 400, None),
        (image("https://example.org/cat.png"), 400, Some("messages[0].content[0]")),
        (image("file:///etc/passwd"), 400, Some("messages[0].content[0]")),
        (image("data:image/png;base64,?"), 400, Some("messages[0].content[0]")),
        (image("data:image/png;base64,aGVsbG8="), 400, None),
        (
            user(&json!([{ "type": "input_audio", "input_audio": { "data": "aGVsbG8=", "format": "wav" } }])),
            400,
            None,
        ),
        (
            user(&json!([{ "type": "jnana.input", "plugin": "none", "mime": "a/b", "data": "aGk=" }])),
            400,
            None,
        ),
        (with("model", "gpt-9".into()), 404, Some("model")),
        (with("n", 2.into()), 400, Some("n")),
        (with("max_tokens", 0.into()), 400, Some("max_tokens")),
        (with("max_tokens", (-1).into()), 400, Some("max_tokens")),
        (with("temperature", 2.5.into()), 400, Some("temperature")),
        (with("temperature", "warm".into()), 400, Some("temperature")),
        (with("top_p", 0.into()), 400, Some("top_p")),
        (with("min_p", 1.5.into()), 400, Some("min_p")),
        (with("repetition_penalty", 0.into()), 400, Some("repetition_penalty")),
        (with("stop", json!([""])), 400, Some("stop")),
        (with("stop", json!(vec!["x"; 17])), 400, Some("stop")),
        (user(&"word ".repeat(9000).into()), 400, Some("messages")),
    ];
    for (body, status, param) in cases {
        let response = caller.post("/v1/chat/completions", &body).await;
        let found = response.status().as_u16();
        let shown: String = body.to_string().chars().take(200).collect();
        // Bytes that are no picture or sound may be refused as damaged or as of no known type.
        assert!(found == status || (status == 400 && found == 415), "{shown}: {found}");
        let error = refused(response, StatusCode::from_u16(found).unwrap()).await;
        assert_eq!(error["type"], "invalid_request_error", "{shown}");
        if let Some(param) = param {
            assert_eq!(error["param"], param, "{shown}: {error}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let caller = Caller::shared();
    for body in ["", "{", "\u{0}", "{\"messages\":[]} trailing"] {
        let request = caller.request(Method::POST, "/v1/chat/completions").body(body);
        refused(request.send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    }
}

#[tokio::test]
async fn unknown_addresses_and_methods_get_the_error_object() {
    let caller = Caller::shared();
    for path in ["/v1/nothing", "/api/nothing", "/nothing.js", "/v1"] {
        refused(caller.get(path).await, StatusCode::NOT_FOUND).await;
    }
    for (method, path) in [
        (Method::GET, "/v1/chat/completions"),
        (Method::PUT, "/api/conversations"),
        (Method::DELETE, "/api/status"),
        (Method::POST, "/v1/models"),
    ] {
        let response = caller.request(method, path).send().await.unwrap();
        refused(response, StatusCode::METHOD_NOT_ALLOWED).await;
    }
}

#[tokio::test]
async fn wrong_app_calls_get_the_error_object() {
    let caller = Caller::shared();
    let conversation = caller.conversation().await;
    let messages = format!("/api/conversations/{conversation}/messages");
    let missing = "00000000-0000-7000-8000-000000000000";
    let input = |hash: &str| {
        let blob = json!({ "hash": hash, "mime": "image/png", "bytes": 1 });
        json!({ "parent": null, "parts": [{ "type": "input", "plugin": "p", "blob": blob }] })
    };
    let mut long_text = input(&"a".repeat(64));
    long_text["parts"][0]["text"] = "x".repeat(100_001).into();
    let text = |parent: &str| json!({ "parent": parent, "parts": [{ "type": "text", "text": "x" }] });
    for (path, body, status) in [
        (messages.clone(), json!({ "parent": null, "parts": [] }), 400),
        (messages.clone(), json!({ "parent": null, "parts": [{ "type": "text", "text": " " }] }), 400),
        (messages.clone(), json!({ "parts": 1 }), 400),
        (messages.clone(), input(&"a".repeat(64)), 404),
        (messages.clone(), long_text, 400),
        (messages.clone(), input("../../etc/passwd"), 404),
        (messages.clone(), text(missing), 404),
        (
            format!("/api/conversations/{missing}/messages"),
            json!({ "parent": null, "parts": [{ "type": "text", "text": "x" }] }),
            404,
        ),
        (format!("{messages}/{missing}/regenerate"), json!({}), 404),
        (format!("{messages}/{missing}/stop"), json!({}), 404),
        ("/api/plugins/none/interpret".to_owned(), json!({ "hash": "x", "mime": "a/b", "bytes": 1 }), 404),
    ] {
        let response = caller.post(&path, &body).await;
        refused(response, StatusCode::from_u16(status).unwrap()).await;
    }
    let path = format!("/api/conversations/{conversation}");
    let too_long = json!({ "title": "x".repeat(201) });
    let response = caller.request(Method::PATCH, &path).json(&too_long).send().await.unwrap();
    refused(response, StatusCode::BAD_REQUEST).await;
    refused(caller.get(&format!("{path}/export?format=pdf")).await, StatusCode::BAD_REQUEST).await;
    refused(caller.get(&format!("{messages}/{missing}/events?after=x")).await, StatusCode::BAD_REQUEST).await;
}
