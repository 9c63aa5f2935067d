//! Every call to the server.

pub(crate) mod admin;

use std::marker::PhantomData;

use jnana_api::admin::{CSRF_HEADER, SIGN_IN_CODE};
use jnana_api::conversations::{
    BlobRef, Conversation, ConversationPatch, GenerationEvent, NewMessage, Posted, Status, Summary,
};
use jnana_api::plugins::{Interpretation, PluginInfo};
use leptos::prelude::window;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, AbortSignal, Blob, Headers, ReadableStreamDefaultReader, ReadableStreamReadResult,
    RequestInit, Response,
};

use crate::browser;
use crate::failure::Failure;
use crate::logic::attachment;
use crate::logic::sse::Parser;

type Result<T> = std::result::Result<T, Failure>;

/// Longest wait for the status: a server that takes longer counts as gone.
const STATUS_PATIENCE_MS: i32 = 10_000;

/// Gives the server its token; it answers with a cookie that opens the rest.
pub(crate) async fn sign_in(token: &str) -> Result<()> {
    send(Call::get(&format!("/auth?token={}", encode(token)))).await.map(drop)
}

/// What is running.
pub(crate) async fn status() -> Result<Status> {
    let Ok(controller) = AbortController::new() else { return json(Call::get("/api/status")).await };
    let signal = controller.signal();
    leptos::task::spawn_local(async move {
        browser::sleep(STATUS_PATIENCE_MS).await;
        controller.abort();
    });
    json(Call { signal: Some(&signal), ..Call::get("/api/status") }).await
}

/// The installed plugins.
pub(crate) async fn plugins() -> Result<Vec<PluginInfo>> {
    json(Call::get("/api/plugins")).await
}

/// What a plugin makes of stored bytes.
pub(crate) async fn interpret(plugin: &str, blob: &BlobRef) -> Result<Interpretation> {
    json(Call::post(&format!("/api/plugins/{}/interpret", encode(plugin)), &to_json(blob)?)).await
}

/// Stores bytes.
pub(crate) async fn store_blob(blob: &Blob) -> Result<BlobRef> {
    let mime = blob.type_();
    let mime = if mime.is_empty() { "application/octet-stream" } else { &mime };
    json(Call { method: "POST", body: Some(blob.into()), mime: Some(mime), ..Call::get("/api/blobs") }).await
}

/// The conversations whose title or text has the words of `query`.
pub(crate) async fn conversations(query: &str) -> Result<Vec<Summary>> {
    let path = if query.trim().is_empty() {
        "/api/conversations".to_owned()
    } else {
        format!("/api/conversations?query={}", encode(query.trim()))
    };
    json(Call::get(&path)).await
}

/// Starts an empty conversation.
pub(crate) async fn create() -> Result<Conversation> {
    json(Call::post("/api/conversations", "{}")).await
}

/// A conversation with all its messages.
pub(crate) async fn conversation(id: &str) -> Result<Conversation> {
    json(Call::get(&format!("/api/conversations/{}", encode(id)))).await
}

/// Renames a conversation or shows another branch of it.
pub(crate) async fn change(id: &str, patch: &ConversationPatch) -> Result<Summary> {
    let body = to_json(patch)?;
    json(Call { method: "PATCH", ..Call::post(&format!("/api/conversations/{}", encode(id)), &body) }).await
}

/// Deletes a conversation.
pub(crate) async fn delete(id: &str) -> Result<()> {
    send(Call { method: "DELETE", ..Call::get(&format!("/api/conversations/{}", encode(id))) })
        .await
        .map(drop)
}

/// A conversation as a file, with the name that the server gives it; `format` is `markdown` or `json`.
pub(crate) async fn export(id: &str, format: &str) -> Result<(Blob, Option<String>)> {
    let path = format!("/api/conversations/{}/export?format={format}", encode(id));
    let response = send(Call::get(&path)).await?;
    let disposition = response.headers().get("content-disposition").ok().flatten();
    let blob = response.blob().map_err(|error| refused_by_browser(&error))?;
    let blob = JsFuture::from(blob).await.map(JsCast::unchecked_into).map_err(|_| Failure::Gone)?;
    Ok((blob, disposition.as_deref().and_then(attachment::file_name).map(str::to_owned)))
}

/// Asks a question.
pub(crate) async fn post(id: &str, message: &NewMessage) -> Result<Posted> {
    json(Call::post(&format!("/api/conversations/{}/messages", encode(id)), &to_json(message)?)).await
}

/// Asks for another answer beside answer `message`.
pub(crate) async fn regenerate(id: &str, message: &str) -> Result<Posted> {
    json(Call::post(&format!("{}/regenerate", message_path(id, message)), "{}")).await
}

/// Stops an answer.
pub(crate) async fn stop(id: &str, message: &str) -> Result<()> {
    send(Call::post(&format!("{}/stop", message_path(id, message)), "{}")).await.map(drop)
}

/// Opens the events of an answer from number `after` + 1 on.
pub(crate) async fn events(
    id: &str,
    message: &str,
    after: u64,
    signal: &AbortSignal,
) -> Result<EventStream<GenerationEvent>> {
    let path = format!("{}/events?after={after}", message_path(id, message));
    stream(Call { signal: Some(signal), ..Call::get(&path) }).await
}

/// Events as they come.
pub(crate) struct EventStream<T> {
    reader: ReadableStreamDefaultReader,
    parser: Parser,
    path: String,
    events: PhantomData<T>,
}

impl<T: DeserializeOwned> EventStream<T> {
    /// The next events; keep-alives give an empty list, the end of the stream `None`.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<T>>> {
        let chunk = JsFuture::from(self.reader.read()).await.map_err(|_| Failure::Gone)?;
        let chunk: ReadableStreamReadResult = chunk.unchecked_into();
        if chunk.get_done().unwrap_or(true) {
            return Ok(None);
        }
        let bytes = js_sys::Uint8Array::new(&chunk.get_value()).to_vec();
        let events = self.parser.push(&bytes);
        events
            .iter()
            .map(|event| {
                serde_json::from_str(event).map_err(|error| unreadable(&self.path, &error.to_string()))
            })
            .collect::<Result<_>>()
            .map(Some)
    }
}

async fn stream<T>(call: Call<'_>) -> Result<EventStream<T>> {
    let path = call.path.to_owned();
    let response = send(call).await?;
    let body = response.body().ok_or_else(|| unreadable(&path, "it has no body"))?;
    let reader = ReadableStreamDefaultReader::new(&body)
        .map_err(|error| unreadable(&path, &browser::message(&error)))?;
    Ok(EventStream { reader, parser: Parser::default(), path, events: PhantomData })
}

struct Call<'a> {
    method: &'a str,
    path: &'a str,
    body: Option<JsValue>,
    mime: Option<&'a str>,
    /// What proves that the call comes from a page that an administrator's session is open in.
    proof: Option<&'a str>,
    signal: Option<&'a AbortSignal>,
}

impl<'a> Call<'a> {
    fn get(path: &'a str) -> Self {
        Self { method: "GET", path, body: None, mime: None, proof: None, signal: None }
    }

    fn post(path: &'a str, json: &str) -> Self {
        Self {
            method: "POST",
            body: Some(JsValue::from_str(json)),
            mime: Some("application/json"),
            ..Self::get(path)
        }
    }
}

async fn send(call: Call<'_>) -> Result<Response> {
    let headers = Headers::new().map_err(|error| refused_by_browser(&error))?;
    if let Some(mime) = call.mime {
        headers.set("content-type", mime).map_err(|error| refused_by_browser(&error))?;
    }
    if let Some(proof) = call.proof {
        headers.set(CSRF_HEADER, proof).map_err(|error| refused_by_browser(&error))?;
    }
    let options = RequestInit::new();
    options.set_method(call.method);
    options.set_headers_headers(&headers);
    options.set_signal(call.signal);
    if let Some(body) = &call.body {
        options.set_body(body);
    }
    let response = JsFuture::from(window().fetch_with_str_and_init(call.path, &options))
        .await
        .map_err(|_| Failure::Gone)?;
    let response: Response = response.unchecked_into();
    if response.ok() { Ok(response) } else { Err(refusal(&response).await) }
}

async fn json<T: DeserializeOwned>(call: Call<'_>) -> Result<T> {
    let name = format!("{} {}", call.method, call.path);
    let text = text(&send(call).await?).await?;
    serde_json::from_str(&text).map_err(|error| unreadable(&name, &error.to_string()))
}

async fn text(response: &Response) -> Result<String> {
    let text = response.text().map_err(|error| refused_by_browser(&error))?;
    let text = JsFuture::from(text).await.map_err(|_| Failure::Gone)?;
    Ok(text.as_string().unwrap_or_default())
}

/// The server's own words out of its error object.
async fn refusal(response: &Response) -> Failure {
    #[derive(Deserialize)]
    struct Body {
        error: Error,
    }
    #[derive(Default, Deserialize)]
    struct Error {
        message: String,
        code: Option<String>,
    }
    let status = response.status();
    // A proxy in front of a server that is down answers for it.
    if matches!(status, 502..=504)
        && response.headers().get("content-type").ok().flatten().is_none_or(|mime| !mime.contains("json"))
    {
        return Failure::Gone;
    }
    let text = text(response).await.unwrap_or_default();
    let error = serde_json::from_str::<Body>(&text).map(|body| body.error).unwrap_or_default();
    match status {
        401 if error.code.as_deref() == Some(SIGN_IN_CODE) => Failure::SignIn,
        401 => Failure::Token,
        _ => Failure::Refused { status, message: error.message },
    }
}

fn message_path(conversation: &str, message: &str) -> String {
    format!("/api/conversations/{}/messages/{}", encode(conversation), encode(message))
}

fn encode(text: &str) -> String {
    js_sys::encode_uri_component(text).into()
}

fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Failure::Browser { task: "write the request", reason: error.to_string() })
}

fn unreadable(call: &str, reason: &str) -> Failure {
    Failure::Unreadable { call: call.to_owned(), reason: reason.to_owned() }
}

fn refused_by_browser(error: &JsValue) -> Failure {
    Failure::Browser { task: "send the request", reason: browser::message(error) }
}
