//! `POST /v1/audio/transcriptions`: a recording becomes text, subtitles or a stream of text.

use std::fmt::Write;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use jnana_api::openai::{
    ErrorBody, Transcription, TranscriptionEvent, TranscriptionSegment, VerboseTranscription,
};
use jnana_api::plugins::Segment;
use jnana_plugin_host::{CancelFlag, Transcript};
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::sse;
use crate::assistant::{Assistant, CancelOnDrop, OnSegment};
use crate::error::ApiError;
use crate::state::App;

/// Fields of the form.
#[derive(Debug, Default, utoipa::ToSchema)]
pub(super) struct Form {
    /// The recording.
    #[schema(value_type = String, format = Binary)]
    file: Bytes,
    /// Accepted for clients that send it; the first ready plugin that transcribes is asked.
    #[schema(rename = "model")]
    _model: (),
    /// Language code.
    language: Option<String>,
    /// Words that are likely to come.
    prompt: Option<String>,
    /// `json` (default), `verbose_json`, `text`, `srt` or `vtt`.
    #[schema(value_type = String)]
    response_format: Format,
    /// Answer as server-sent events.
    stream: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Json,
    Verbose,
    Text,
    Srt,
    Vtt,
}

/// Makes text of a recording.
#[utoipa::path(post, path = "/v1/audio/transcriptions", tag = "openai",
    request_body(content = Form, content_type = "multipart/form-data"), responses(
    (status = 200, body = Transcription), (status = "4XX", body = ErrorBody)))]
pub(super) async fn transcribe(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let assistant = app.assistant()?;
    let form = read_form(request).await?;
    let limit = app.settings.max_upload;
    if form.file.len() > limit {
        return Err(ApiError::too_large(format!("the file is larger than {limit} bytes")).at("file"));
    }
    if form.stream {
        return Ok(stream(assistant, form));
    }
    let format = form.response_format;
    let language = form.language.clone();
    let gone = CancelOnDrop::default();
    let cancel = gone.0.clone();
    let work = move || run(&assistant, &form, &cancel, Box::new(|_| true));
    let transcript = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)??;
    Ok(render(format, transcript, language))
}

async fn read_form(request: Request) -> Result<Form, ApiError> {
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| ApiError::with_status(rejection.status(), rejection.body_text()))?;
    let (mut form, mut seen) = (Form::default(), false);
    while let Some(field) = multipart.next_field().await.map_err(|error| form_error(&error))? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            form.file = field.bytes().await.map_err(|error| form_error(&error))?;
            seen = true;
            continue;
        }
        let text = field.text().await.map_err(|error| form_error(&error))?;
        match name.as_str() {
            "language" => form.language = Some(text).filter(|text| !text.is_empty()),
            "prompt" => form.prompt = Some(text).filter(|text| !text.is_empty()),
            "response_format" => form.response_format = format(&text)?,
            "stream" => form.stream = matches!(text.to_ascii_lowercase().as_str(), "true" | "1"),
            _ => {}
        }
    }
    if !seen || form.file.is_empty() {
        return Err(ApiError::invalid("file", "the form needs a file with a recording"));
    }
    Ok(form)
}

fn form_error(error: &MultipartError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::too_large("the form is larger than this server takes (max-upload-mib)");
    }
    ApiError::invalid(None, error.body_text())
}

fn format(text: &str) -> Result<Format, ApiError> {
    match text {
        "json" => Ok(Format::Json),
        "verbose_json" => Ok(Format::Verbose),
        "text" => Ok(Format::Text),
        "srt" => Ok(Format::Srt),
        "vtt" => Ok(Format::Vtt),
        other => {
            let words = format!("expected json, verbose_json, text, srt or vtt, found {other:?}");
            Err(ApiError::invalid("response_format", words))
        }
    }
}

fn run(
    assistant: &Assistant,
    form: &Form,
    cancel: &CancelFlag,
    on_segment: OnSegment,
) -> Result<Transcript, ApiError> {
    let mut options = Map::new();
    for (key, value) in [("language", &form.language), ("prompt", &form.prompt)] {
        options.extend(value.iter().map(|value| (key.to_owned(), Value::from(value.as_str()))));
    }
    assistant
        .inputs
        .transcribe("audio", &form.file, &options, cancel, on_segment)
        .map_err(|error| error.at("file"))
}

/// Text as the plugin hears it. The listener's going away ends the plugin's call at its next segment.
fn stream(assistant: Arc<Assistant>, form: Form) -> Response {
    let (events, receiver) = unbounded_channel();
    tokio::task::spawn_blocking(move || {
        let cancel = CancelFlag::new();
        let deltas = events.clone();
        let on_segment = move |segment: &Segment| {
            deltas.send(Ok(TranscriptionEvent::Delta { delta: segment.text.clone() })).is_ok()
        };
        let ended = run(&assistant, &form, &cancel, Box::new(on_segment));
        send_end(&events, ended);
    });
    let events =
        UnboundedReceiverStream::new(receiver).map(
            |event: Result<TranscriptionEvent, ApiError>| match event {
                Ok(event) => sse::json(&event),
                Err(error) => sse::failed(&error),
            },
        );
    sse::response(events.chain(futures_util::stream::iter([sse::done()])).map(Ok))
}

fn send_end(
    events: &UnboundedSender<Result<TranscriptionEvent, ApiError>>,
    ended: Result<Transcript, ApiError>,
) {
    // Nobody listens any more when this fails.
    let _ = events.send(ended.map(|transcript| TranscriptionEvent::Done { text: transcript.text() }));
}

fn render(format: Format, transcript: Transcript, asked_language: Option<String>) -> Response {
    let text = transcript.text();
    let plain = |kind: &'static str, text: String| ([(header::CONTENT_TYPE, kind)], text).into_response();
    match format {
        Format::Json => Json(Transcription { text }).into_response(),
        Format::Text => plain("text/plain; charset=utf-8", text + "\n"),
        Format::Srt => plain("application/x-subrip; charset=utf-8", srt(&transcript.segments)),
        Format::Vtt => plain("text/vtt; charset=utf-8", vtt(&transcript.segments)),
        Format::Verbose => Json(VerboseTranscription {
            task: "transcribe".to_owned(),
            language: transcript.language.or(asked_language).unwrap_or_default(),
            duration: transcript.duration,
            text,
            segments: (0..)
                .zip(transcript.segments)
                .map(|(id, Segment { start, end, text })| TranscriptionSegment { id, start, end, text })
                .collect(),
        })
        .into_response(),
    }
}

fn srt(segments: &[Segment]) -> String {
    let mut text = String::new();
    for (number, segment) in (1..).zip(segments) {
        let (start, end) = (stamp(segment.start, ','), stamp(segment.end, ','));
        // Writing into a String cannot fail.
        let _ = write!(text, "{number}\n{start} --> {end}\n{}\n\n", segment.text.trim());
    }
    text
}

fn vtt(segments: &[Segment]) -> String {
    let mut text = String::from("WEBVTT\n\n");
    for segment in segments {
        let (start, end) = (stamp(segment.start, '.'), stamp(segment.end, '.'));
        let _ = write!(text, "{start} --> {end}\n{}\n\n", segment.text.trim().replace("-->", "->"));
    }
    text
}

/// `HH:MM:SS` and milliseconds behind `point`.
fn stamp(seconds: f64, point: char) -> String {
    let ms = (seconds.max(0.0) * 1000.0).round() as u64;
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtitles_have_their_forms() {
        let segment = |start, end, text: &str| Segment { start, end, text: text.to_owned() };
        let segments = [segment(0.0, 2.5, " And so"), segment(3661.25, 3662.0, " on.")];
        assert_eq!(
            srt(&segments),
            "1\n00:00:00,000 --> 00:00:02,500\nAnd so\n\n2\n01:01:01,250 --> 01:01:02,000\non.\n\n"
        );
        assert!(vtt(&segments).starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nAnd so\n\n"));
    }
}
