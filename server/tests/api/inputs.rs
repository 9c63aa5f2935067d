//! Pictures and recordings, through the real plugins.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::{Caller, Events, fixture, good, id, refused};

const PICTURE: &str = "media/tests/fixtures/landscape.png";
const SPEECH: &str = "plugins/whisper/tests/fixtures/jfk.wav";

pub(crate) fn picture_part() -> Value {
    let url = format!("data:image/png;base64,{}", STANDARD.encode(fixture(PICTURE)));
    json!({ "type": "image_url", "image_url": { "url": url, "detail": "low" } })
}

pub(crate) fn speech_part() -> Value {
    let data = STANDARD.encode(fixture(SPEECH));
    json!({ "type": "input_audio", "input_audio": { "data": data, "format": "wav" } })
}

/// Positions of the prompt that these parts make.
pub(crate) async fn positions(caller: &Caller, parts: Value) -> u64 {
    let body = json!({ "messages": [{ "role": "user", "content": parts }], "max_tokens": 1 });
    caller.chat(&body).await["usage"]["prompt_tokens"].as_u64().unwrap()
}

async fn upload(caller: &Caller, file: &str) -> Value {
    good(caller.request(Method::POST, "/api/blobs").body(fixture(file)).send().await.unwrap()).await
}

/// Ids of the ready plugins by what they give.
async fn plugin(caller: &Caller, kind: &str) -> String {
    let plugins = caller.json("/api/plugins").await;
    let found = plugins.as_array().unwrap().iter().find(|plugin| {
        plugin["state"] == "ready"
            && plugin["manifest"]["kinds"].as_array().unwrap().iter().any(|k| k == kind)
    });
    found.unwrap_or_else(|| panic!("no ready {kind} in {plugins}; run `cargo xtask test`"))["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn the_default_models_projector_is_trained() {
    let plugins = Caller::shared().json("/api/plugins").await;
    let vision = plugins.as_array().unwrap().iter().find(|plugin| plugin["id"] == "vision").unwrap();
    assert_eq!((&vision["state"], &vision["status"]), (&json!("ready"), &json!("")), "{vision}");
}

#[tokio::test]
async fn a_picture_takes_its_positions_and_the_marker_behind_it() {
    let caller = Caller::shared();
    let text = json!({ "type": "text", "text": "What is this?" });
    let without = positions(&caller, json!([text])).await;
    let with = positions(&caller, json!([picture_part(), text])).await;
    // 49 of the picture, and the marker's tokens.
    assert!((50..=56).contains(&(with - without)), "{without} {with}");
    let two = positions(&caller, json!([picture_part(), picture_part(), text])).await;
    assert_eq!(two - with, with - without);
}

#[tokio::test]
async fn speech_is_heard_before_the_typed_text() {
    let caller = Caller::shared();
    let text = json!({ "type": "text", "text": "What was asked?" });
    let spoken = positions(&caller, json!([speech_part()])).await;
    let both = positions(&caller, json!([text, speech_part()])).await;
    assert!(spoken > 40 && both > spoken, "{spoken} {both}");
    let url = format!("data:audio/wav;base64,{}", STANDARD.encode(fixture(SPEECH)));
    let by_url = json!([{ "type": "audio_url", "audio_url": { "url": url } }]);
    assert_eq!(positions(&caller, by_url).await, spoken);
    let id = plugin(&caller, "jnana.transcriber/1").await;
    let data = STANDARD.encode(fixture(SPEECH));
    let named = json!([{ "type": "jnana.input", "plugin": id, "mime": "audio/wav", "data": data }]);
    assert_eq!(positions(&caller, named).await, spoken);
}

#[tokio::test]
async fn a_posted_picture_and_recording_show_in_details_and_transcript() {
    let caller = Caller::shared();
    let (vision, speech) =
        (plugin(&caller, "jnana.encoder/1").await, plugin(&caller, "jnana.transcriber/1").await);
    let conversation = caller.conversation().await;
    let (picture, recording) = (upload(&caller, PICTURE).await, upload(&caller, SPEECH).await);
    let body = json!({ "parent": null, "parts": [
        { "type": "input", "plugin": vision, "blob": picture },
        { "type": "input", "plugin": speech, "blob": recording }] });
    let path = format!("/api/conversations/{conversation}");
    let posted = good(caller.post(&format!("{path}/messages"), &body).await).await;
    let events = caller.events(&conversation, id(&posted["answer"]), 0).await;
    let kind =
        |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    assert!(kind("progress")["text"].is_string());
    assert_eq!(kind("input-text")["part"], 1);
    let heard = kind("input-text")["text"].as_str().unwrap();
    assert!(heard.to_lowercase().contains("your country"), "{heard}");
    let details = &kind("end")["message"]["details"];
    let parts = details["prompt"].as_array().unwrap();
    let seen = parts.iter().find(|part| part["source"] == vision.as_str()).unwrap();
    assert_eq!(seen["positions"], 49);

    let stored = caller.json(&path).await;
    assert_eq!(stored["messages"][0]["parts"][1]["text"], heard);
    assert!(stored["title"].as_str().unwrap().to_lowercase().contains("fellow"), "{}", stored["title"]);
    let found = caller.json("/api/conversations?query=your%20country").await;
    assert!(found.as_array().unwrap().iter().any(|row| row["id"] == conversation.as_str()));
}

#[tokio::test]
async fn what_a_plugin_makes_of_an_input_can_be_asked_before() {
    let caller = Caller::shared();
    let interpret = async |kind: &str, file: &str| {
        let (plugin, blob) = (plugin(&caller, kind).await, upload(&caller, file).await);
        good(caller.post(&format!("/api/plugins/{plugin}/interpret"), &blob).await).await
    };
    let text = interpret("jnana.transcriber/1", SPEECH).await;
    assert_eq!(text["kind"], "text");
    assert!((10.0..12.0).contains(&text["duration"].as_f64().unwrap()), "{text}");
    let rows = interpret("jnana.encoder/1", PICTURE).await;
    assert_eq!(rows, json!({ "kind": "positions", "positions": 49 }));
}

#[tokio::test]
async fn a_picture_is_encoded_once() {
    let caller = Caller::shared();
    let id = plugin(&caller, "jnana.encoder/1").await;
    let calls = format!("jnana_plugin_calls_total{{plugin=\"{id}\"}}");
    let ask = json!([picture_part()]);
    positions(&caller, ask.clone()).await;
    let before = caller.metric(&calls).await;
    positions(&caller, ask).await;
    assert_eq!(caller.metric(&calls).await, before);
}

pub(crate) async fn transcribe(
    caller: &Caller,
    file: Vec<u8>,
    fields: &[(&'static str, &'static str)],
) -> reqwest::Response {
    let mut form =
        Form::new().part("file", Part::bytes(file).file_name("speech.wav")).text("model", "whisper-1");
    for (name, value) in fields {
        form = form.text(*name, *value);
    }
    caller.request(Method::POST, "/v1/audio/transcriptions").multipart(form).send().await.unwrap()
}

#[tokio::test]
async fn transcripts_come_in_every_form() {
    let caller = Caller::shared();
    let with = async |format: &'static str| {
        transcribe(&caller, fixture(SPEECH), &[("response_format", format)]).await
    };
    let said = "ask not what your country can do for you";
    let plain = good(with("json").await).await;
    assert!(plain["text"].as_str().unwrap().to_lowercase().contains(said), "{plain}");
    let verbose = good(with("verbose_json").await).await;
    assert_eq!(verbose["text"], plain["text"]);
    assert_eq!(verbose["task"], "transcribe");
    assert!(
        verbose["segments"][0]["end"].as_f64().unwrap() > verbose["segments"][0]["start"].as_f64().unwrap()
    );
    let text = with("text").await.text().await.unwrap();
    assert_eq!(text.trim(), plain["text"]);
    assert!(with("srt").await.text().await.unwrap().starts_with("1\n00:00:0"));
    assert!(with("vtt").await.text().await.unwrap().starts_with("WEBVTT\n\n00:00:0"));
}

#[tokio::test]
async fn a_streamed_transcript_ends_with_the_whole_text() {
    let caller = Caller::shared();
    let events = Events::of(transcribe(&caller, fixture(SPEECH), &[("stream", "true")]).await).all().await;
    assert_eq!(events.last().unwrap(), "[DONE]");
    let parsed: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let done = parsed.last().unwrap();
    assert_eq!(done["type"], "transcript.text.done");
    let deltas: String = parsed.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas.trim(), done["text"]);
}

#[tokio::test]
async fn wrong_transcription_requests_are_refused() {
    let caller = Caller::shared();
    let form = transcribe(&caller, fixture(SPEECH), &[("response_format", "docx")]).await;
    assert_eq!(refused(form, StatusCode::BAD_REQUEST).await["param"], "response_format");
    let no_sound = transcribe(&caller, b"this is no sound".to_vec(), &[]).await;
    let status = no_sound.status();
    assert!(status.is_client_error(), "{status}");
    refused(no_sound, status).await;
    let empty =
        caller.request(Method::POST, "/v1/audio/transcriptions").multipart(Form::new().text("model", "x"));
    assert_eq!(refused(empty.send().await.unwrap(), StatusCode::BAD_REQUEST).await["param"], "file");
    let no_form = caller.post("/v1/audio/transcriptions", &json!({})).await;
    let status = no_form.status();
    assert!(status.is_client_error(), "{status}");
    refused(no_form, status).await;
}
