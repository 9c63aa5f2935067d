//! `POST /v1/chat/completions`.

mod data_url;
mod request;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::sse::Event as SseEvent;
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use jnana_api::openai::{
    AssistantMessage, ChatChunk, ChatCompletion, ChatRequest, Choice, ChunkChoice, Delta, ErrorBody,
    PromptTokensDetails, Usage,
};
use jnana_core::request::{self as core, Event, FinishReason};

use super::{models, sse};
use crate::assistant::{Answering, CancelOnDrop};
use crate::error::ApiError;
use crate::http::extract::ApiJson;
use crate::metrics::Metrics;
use crate::state::App;
use request::Wanted;

/// Answers a conversation. Defaults differ from OpenAI's in one thing: without `temperature` the most probable token is
/// taken, so that answers repeat.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "openai", request_body = ChatRequest, responses(
    (status = 200, body = ChatCompletion), (status = "4XX", body = ErrorBody),
    (status = 429, description = "the queue is full; Retry-After says when to come back", body = ErrorBody)))]
pub(super) async fn completions(
    State(app): State<App>,
    ApiJson(request): ApiJson<ChatRequest>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let assistant = app.assistant()?;
    let serving = assistant.model.info.id.clone();
    if let Some(asked) = request.model.as_deref().filter(|asked| !asked.is_empty() && *asked != serving) {
        return Err(models::unknown(asked, &serving));
    }
    let Wanted { ask, sampling, stop, stream, include_usage } = request::wanted(request, &assistant.model)?;
    // Plugins that are at work when the caller goes away are told so.
    let gone = CancelOnDrop::default();
    let prepared = assistant.prepare(ask, gone.0.clone(), |_| ()).await?;
    let answer = assistant.submit(&prepared, sampling, stop)?;
    let head = Head {
        id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
        created: crate::storage::now_ms() / 1000,
        model: serving,
        metrics: app.metrics.clone(),
        started,
    };
    if stream {
        Ok(sse::response(chunks(head, answer, include_usage)))
    } else {
        whole(head, answer).await.map(|completion| Json(completion).into_response())
    }
}

/// What every part of an answer repeats.
struct Head {
    id: String,
    created: i64,
    model: String,
    metrics: Arc<Metrics>,
    started: Instant,
}

impl Head {
    fn first_token(&self, tokens: usize) {
        if tokens == 0 {
            self.metrics.first_token(self.waited());
        }
    }

    fn waited(&self) -> Duration {
        self.started.elapsed()
    }

    fn chunk(&self, choices: Vec<ChunkChoice>, usage: Option<Usage>) -> SseEvent {
        sse::json(&ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        })
    }

    fn delta(&self, delta: Delta, finish_reason: Option<&str>) -> SseEvent {
        let finish_reason = finish_reason.map(str::to_owned);
        self.chunk(vec![ChunkChoice { index: 0, delta, logprobs: None, finish_reason }], None)
    }
}

async fn whole(head: Head, mut answer: Answering) -> Result<ChatCompletion, ApiError> {
    let mut content = String::new();
    loop {
        match step(answer.events.recv().await)? {
            Step::Text(text) => {
                head.first_token(content.len());
                content.push_str(&text);
            }
            Step::End(finish_reason, usage) => {
                let message = AssistantMessage { role: "assistant".to_owned(), content, refusal: None };
                let finish_reason = finish_reason.to_owned();
                return Ok(ChatCompletion {
                    id: head.id,
                    object: "chat.completion".to_owned(),
                    created: head.created,
                    model: head.model,
                    choices: vec![Choice { index: 0, message, logprobs: None, finish_reason }],
                    usage,
                });
            }
        }
    }
}

enum Step {
    Text(String),
    End(&'static str, Usage),
}

fn step(event: Option<Event>) -> Result<Step, ApiError> {
    match event {
        Some(Event::Text(text)) => Ok(Step::Text(text)),
        Some(Event::Finished { reason: FinishReason::Stop, usage }) => Ok(Step::End("stop", usage_of(usage))),
        Some(Event::Finished { reason: FinishReason::Length, usage }) => {
            Ok(Step::End("length", usage_of(usage)))
        }
        // Nobody here cancels but the end of the program.
        Some(Event::Finished { reason: FinishReason::Cancelled, .. }) | None => {
            Err(ApiError::unavailable("the server ends and could not finish this answer"))
        }
        Some(Event::Failed(words)) => Err(ApiError::unavailable(words)),
    }
}

fn usage_of(usage: core::Usage) -> Usage {
    Usage {
        prompt_tokens: usage.prompt_positions,
        completion_tokens: usage.completion_tokens,
        total_tokens: usage.prompt_positions + usage.completion_tokens,
        prompt_tokens_details: PromptTokensDetails { cached_tokens: usage.reused_positions },
    }
}

/// Where a stream stands.
enum Stage {
    Role,
    Text { any: bool },
    Usage(Option<Usage>),
    Done,
    Over,
}

/// The events of a streamed answer. Dropping the stream drops the engine's receiver, and with it the request.
fn chunks(
    head: Head,
    answer: Answering,
    include_usage: bool,
) -> impl Stream<Item = Result<SseEvent, Infallible>> + Send {
    unfold((head, answer, Stage::Role), move |(head, mut answer, stage)| async move {
        let (event, next) = match stage {
            Stage::Role => {
                let delta = Delta { role: Some("assistant".to_owned()), content: Some(String::new()) };
                (head.delta(delta, None), Stage::Text { any: false })
            }
            Stage::Text { any } => match step(answer.events.recv().await) {
                Ok(Step::Text(text)) => {
                    head.first_token(usize::from(any));
                    (head.delta(Delta { role: None, content: Some(text) }, None), Stage::Text { any: true })
                }
                Ok(Step::End(reason, usage)) => {
                    (head.delta(Delta::default(), Some(reason)), Stage::Usage(include_usage.then_some(usage)))
                }
                Err(error) => (sse::failed(&error), Stage::Done),
            },
            Stage::Usage(Some(usage)) => (head.chunk(Vec::new(), Some(usage)), Stage::Done),
            Stage::Usage(None) | Stage::Done => (sse::done(), Stage::Over),
            Stage::Over => return None,
        };
        Some((Ok(event), (head, answer, next)))
    })
}
