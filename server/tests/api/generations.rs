//! Answers of the app: they belong to their message, not to whoever listens.

use jnana_server::settings::Given;
use reqwest::StatusCode;
use serde_json::json;

use super::support::{Caller, Events, TestApp, eventually, given, home, id, text_of};

const LONG: &str = "Tell me a very long story about a fox, a bear and a river.";

#[tokio::test]
async fn a_reader_that_comes_back_gets_the_rest_and_only_that() {
    let caller = Caller::shared();
    let conversation = caller.conversation().await;
    let (_, answer) = caller.ask(&conversation, None, LONG).await;
    let path = format!("/api/conversations/{conversation}/messages/{}/events", id(&answer));
    let mut events = Vec::new();
    let mut stream = Events::of(caller.get(&path).await);
    while events.len() < 4 {
        events.push(stream.next_json().await.unwrap());
    }
    drop(stream);
    // The answer goes on without a reader; whoever comes back continues behind what it has.
    let last = events.last().unwrap()["seq"].as_u64().unwrap();
    events.extend(caller.events(&conversation, id(&answer), last).await);
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let text: String = events
        .iter()
        .filter(|event| event["type"] == "text")
        .filter_map(|event| event["text"].as_str())
        .collect();
    let stored = &events.last().unwrap()["message"];
    assert_eq!(text, text_of(stored));
    assert_eq!(stored["state"], "done");

    let replayed = caller.events(&conversation, id(&answer), 0).await;
    assert_eq!(replayed[0]["text"], text);
    assert_eq!(replayed.last().unwrap()["message"], *stored);
    let end = caller.events(&conversation, id(&answer), last).await;
    assert_eq!(end.len(), 1);
    assert_eq!(end[0]["message"], *stored);
}

#[tokio::test]
async fn two_readers_see_the_same() {
    let caller = Caller::shared();
    let conversation = caller.conversation().await;
    let (_, answer) = caller.ask(&conversation, None, "Say hello.").await;
    let read = || caller.events(&conversation, id(&answer), 0);
    let (one, two) = tokio::join!(read(), read());
    assert_eq!(one.last().unwrap()["message"], two.last().unwrap()["message"]);
}

#[tokio::test]
async fn stop_frees_the_engine_and_keeps_the_text() {
    let app = TestApp::start().await;
    let caller = &app.caller;
    let conversation = caller.conversation().await;
    let (_, answer) = caller.ask(&conversation, None, LONG).await;
    let path = format!("/api/conversations/{conversation}/messages/{}", id(&answer));
    let mut stream = Events::of(caller.get(&format!("{path}/events")).await);
    let mut seen = String::new();
    while seen.len() < 20 {
        let event = stream.next_json().await.unwrap();
        seen.push_str(event["text"].as_str().filter(|_| event["type"] == "text").unwrap_or_default());
    }
    let tokens_then = seen.len();
    let stopped = caller.post(&format!("{path}/stop"), &json!({})).await;
    assert_eq!(stopped.status(), StatusCode::NO_CONTENT);
    let mut last = json!(null);
    while let Some(event) = stream.next_json().await {
        last = event;
    }
    assert_eq!(last["message"]["state"], "stopped");
    assert_eq!(last["message"]["details"]["finish_reason"], "cancelled");
    let text = text_of(&last["message"]);
    assert!(text.starts_with(&seen) && text.len() < tokens_then + 400, "{text}");
    eventually("the engine is free", async || caller.metric("jnana_engine_live_requests").await == 0.0).await;
    // A second stop finds nothing to do.
    let again = caller.post(&format!("{path}/stop"), &json!({})).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn removing_a_conversation_ends_its_answer() {
    let app = TestApp::start().await;
    let conversation = app.caller.conversation().await;
    let (_, answer) = app.caller.ask(&conversation, None, LONG).await;
    let path = format!("/api/conversations/{conversation}");
    let stream = Events::of(app.caller.get(&format!("{path}/messages/{}/events", id(&answer))).await);
    app.caller.request(reqwest::Method::DELETE, &path).send().await.unwrap();
    stream.all().await;
    eventually("the engine is free", async || app.caller.metric("jnana_engine_live_requests").await == 0.0)
        .await;
}

#[tokio::test]
async fn shutting_down_lets_a_running_answer_end() {
    let home = home();
    let patient = Given { shutdown_seconds: Some(60), ..given(&home) };
    let app = TestApp::with(home, patient).await;
    let conversation = app.caller.conversation().await;
    let (_, answer) = app.caller.ask(&conversation, None, "What is the capital of France?").await;
    let store = app.server.app().store.clone();
    app.server.shutdown().await.unwrap();
    let stored = store.message(&conversation, id(&answer)).await.unwrap();
    assert_eq!(stored.state, jnana_api::conversations::MessageState::Done);
    assert!(!stored.parts.is_empty());
}
