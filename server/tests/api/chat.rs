//! `/v1/chat/completions` and `/v1/models` with text.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::support::{Caller, Events, MODEL, TestApp, given, good, home, question_of, refused};

#[tokio::test]
async fn a_question_is_answered_with_usage() {
    let caller = Caller::shared();
    let body = json!({
        "model": MODEL,
        "messages": [{ "role": "system", "content": "Answer in one word." },
            { "role": "user", "content": [{ "type": "text", "text": "What is the capital of France?" }] }],
        "max_completion_tokens": 30, "max_tokens": 1, "user": "someone", "a_field_of_the_future": {},
    });
    let answer = caller.chat(&body).await;
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Paris"), "{text}");
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], MODEL);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let usage = &answer["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert!(count("prompt_tokens") > 10 && count("completion_tokens") > 0);
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));
}

#[tokio::test]
async fn a_stream_says_the_same_and_ends_with_usage_and_done() {
    let caller = Caller::shared();
    let mut body = question_of("Name three colours.", 24);
    let whole = caller.chat(&body).await;
    body["stream"] = true.into();
    body["stream_options"] = json!({ "include_usage": true });
    let events = Events::of(caller.post("/v1/chat/completions", &body).await).all().await;
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"]);
    let usage = chunks.last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
    let finish = &chunks[chunks.len() - 2]["choices"][0]["finish_reason"];
    assert_eq!(*finish, whole["choices"][0]["finish_reason"]);
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
}

#[tokio::test]
async fn without_include_usage_no_chunk_has_it() {
    let mut body = question_of("Hi", 3);
    body["stream"] = true.into();
    let events = Events::of(Caller::shared().post("/v1/chat/completions", &body).await).all().await;
    assert!(events.iter().all(|event| !event.contains("usage")), "{events:?}");
    assert_eq!(events.iter().filter(|event| *event == "[DONE]").count(), 1);
}

#[tokio::test]
async fn a_seed_repeats_and_another_differs() {
    let caller = Caller::shared();
    let with = |seed: i64| {
        let mut body = question_of("Tell me a story about a fox.", 40);
        body["temperature"] = 1.2.into();
        body["seed"] = seed.into();
        body
    };
    let text = async |seed| caller.chat(&with(seed)).await["choices"][0]["message"]["content"].clone();
    let (first, again, other) = (text(7).await, text(7).await, text(-8).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_and_is_not_in_it() {
    let caller = Caller::shared();
    let mut body = question_of("Count: 1, 2, 3,", 40);
    let whole = caller.chat(&body).await["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let stop: String = whole.chars().skip(6).take(3).collect();
    body["stop"] = json!([stop]);
    let cut = caller.chat(&body).await;
    let text = cut["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text, whole.split(&stop).next().unwrap());
    assert_eq!(cut["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn max_tokens_ends_the_answer() {
    let answer = Caller::shared().chat(&question_of("Tell me a long story.", 5)).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 5);
}

#[tokio::test]
async fn eight_clients_at_once_each_get_their_own_answer() {
    let caller = Caller::shared();
    let questions: Vec<String> = ["France", "Spain", "Italy", "Japan", "Egypt", "Peru", "Norway", "Greece"]
        .map(|country| format!("What is the capital of {country}?"))
        .to_vec();
    let mut alone = Vec::new();
    for question in &questions {
        alone.push(caller.answer(question, 20).await);
    }
    let together = join_all(questions.iter().map(|question| caller.answer(question, 20))).await;
    assert_eq!(alone, together);
}

#[tokio::test]
async fn a_full_queue_is_answered_with_when_to_come_back() {
    let home = home();
    let mut given = given(&home);
    (given.max_batch, given.queue) = (Some(1), Some(1));
    let app = TestApp::with(home, given).await;
    let mut body = question_of("Tell me a long story.", 400);
    body["stream"] = true.into();
    // Streams are held open: one is answered, one waits, the third has no place.
    let first = app.caller.post("/v1/chat/completions", &body).await;
    let mut first = Events::of(first);
    first.next().await.unwrap();
    first.next().await.unwrap();
    let second = app.caller.post("/v1/chat/completions", &body).await;
    let third = app.caller.post("/v1/chat/completions", &body).await;
    assert!(third.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    let error = refused(third, reqwest::StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(error["type"], "rate_limit_error");
    drop((first, second));
}

#[tokio::test]
async fn a_dropped_stream_frees_the_engine() {
    let app = TestApp::start().await;
    let mut body = question_of("Tell me a very long story.", 1500);
    body["stream"] = true.into();
    let mut events = Events::of(app.caller.post("/v1/chat/completions", &body).await);
    for _ in 0..3 {
        events.next().await.unwrap();
    }
    drop(events);
    super::support::eventually("the request is dropped", async || {
        app.caller.metric("jnana_engine_live_requests").await == 0.0
    })
    .await;
    assert!(app.caller.metric("jnana_engine_tokens_total").await < 1000.0);
    assert_eq!(app.caller.metric("jnana_engine_cancelled_total").await, 1.0);
}

#[tokio::test]
async fn models_are_listed_with_what_they_take() {
    let caller = Caller::shared();
    let list = caller.json("/v1/models").await;
    let model = &list["data"][0];
    assert_eq!(model["id"], MODEL);
    assert_eq!(model["architecture"]["input_modalities"], json!(["text", "image", "audio"]));
    let one = good(caller.get(&format!("/v1/models/{MODEL}")).await).await;
    assert_eq!(one, *model);
    let error = refused(caller.get("/v1/models/gpt-9").await, reqwest::StatusCode::NOT_FOUND).await;
    assert_eq!(error["code"], "model_not_found");
}
