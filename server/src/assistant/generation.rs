//! An answer of the app: it belongs to its stored message, not to whoever listens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jnana_api::conversations::{
    Details, GenerationEventKind, Message, MessageState, Part, Posted, PromptPart, Role,
};
use jnana_core::engine::Answer;
use jnana_core::prompt::BuiltPrompt;
use jnana_core::request::{Event, FinishReason, Sampling, Usage};

use super::inputs::{InputPiece, Target};
use super::{Ask, AskTurn, Assistant, Live, Note, Piece};
use crate::error::ApiError;
use crate::state::App;
use crate::storage::{self, Finished};

/// The text so far reaches the database at most this often.
const SAVE_EVERY: Duration = Duration::from_millis(250);

/// Starts making the answer of `posted` in a task of its own.
pub fn start(app: &App, assistant: &Arc<Assistant>, conversation: &str, posted: &Posted) {
    let live = app.generations.begin(conversation, &posted.answer.id);
    let task = Task {
        app: app.clone(),
        assistant: assistant.clone(),
        conversation: conversation.to_owned(),
        question: posted.question.clone(),
        answer: posted.answer.id.clone(),
        live,
        started: Instant::now(),
    };
    tokio::spawn(task.run());
}

struct Task {
    app: App,
    assistant: Arc<Assistant>,
    conversation: String,
    question: Message,
    answer: String,
    live: Arc<Live>,
    started: Instant,
}

/// What an answer has become so far.
#[derive(Default)]
struct Draft {
    text: String,
    first_token: Option<Duration>,
}

impl Task {
    async fn run(self) {
        let mut draft = Draft::default();
        let outcome = self.generate(&mut draft).await;
        let (state, details) = match outcome {
            Ok((state, details)) => (state, Some(details)),
            Err(_) if self.live.was_interrupted() => (interrupted(), None),
            Err(_) if self.live.was_stopped() => (MessageState::Stopped, None),
            Err(error) => (MessageState::Failed { error: error.message }, None),
        };
        let finished = Finished { text: draft.text, state, details };
        match self.app.store.finish(&self.conversation, &self.answer, finished).await {
            Ok(message) => self.live.push(GenerationEventKind::End { message }),
            Err(storage::Error::NotFound { .. }) => {}
            Err(error) => tracing::error!(%error, message = self.answer, "an answer could not be stored"),
        }
        self.app.generations.end(&self.answer);
    }

    async fn generate(&self, draft: &mut Draft) -> Result<(MessageState, Details), ApiError> {
        let turns = self.turns().await?;
        let ask = Ask { system: None, turns, max_tokens: self.assistant.model.max_tokens() };
        let prepared = self.prepare(ask).await?;
        let (sampling, stop) = (Sampling::default(), self.assistant.model.stop(None, Vec::new()));
        let mut answer = self.assistant.submit(&prepared, sampling, stop)?;
        let (reason, usage) = self.listen(&mut answer, draft).await?;
        let details = self.details(&prepared.prompt, reason, usage, draft);
        let state = match reason {
            FinishReason::Cancelled if self.live.was_interrupted() => interrupted(),
            FinishReason::Cancelled => MessageState::Stopped,
            FinishReason::Stop | FinishReason::Length => MessageState::Done,
        };
        Ok((state, details))
    }

    async fn prepare(&self, ask: Ask) -> Result<super::Prepared, ApiError> {
        let (texts, mut given) = tokio::sync::mpsc::unbounded_channel();
        let live = self.live.clone();
        let prepared = self.assistant.prepare(ask, self.live.stop_flag(), move |note| match note {
            Note::Reading(noun) => {
                live.push(GenerationEventKind::Progress { text: format!("{noun}: reading…") });
            }
            Note::Text { piece, text } => {
                let part = u32::try_from(piece).unwrap_or(u32::MAX);
                live.push(GenerationEventKind::InputText { part, text: text.clone() });
                // Fails only when the receiver below is gone, and the task with it.
                let _ = texts.send((piece, text));
            }
        });
        let prepared = prepared.await;
        while let Some((piece, text)) = given.recv().await {
            self.app.store.save_input_text(&self.conversation, &self.question.id, piece, text).await?;
        }
        prepared
    }

    /// The branch up to the question. Inputs whose bytes are no longer kept count only in the question itself.
    async fn turns(&self) -> Result<Vec<AskTurn>, ApiError> {
        let branch = self.app.store.branch(&self.conversation, &self.question.id).await?;
        let mut turns = Vec::with_capacity(branch.len());
        for message in branch {
            let is_question = message.id == self.question.id;
            let mut pieces = Vec::with_capacity(message.parts.len());
            for part in message.parts {
                match self.piece(part).await {
                    Ok(piece) => pieces.push(piece),
                    Err(storage::Error::Expired(_)) if !is_question => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let role = match message.role {
                Role::User => super::ask::Role::User,
                Role::Assistant => super::ask::Role::Assistant,
            };
            turns.push(AskTurn { role, pieces });
        }
        Ok(turns)
    }

    async fn piece(&self, part: Part) -> Result<Piece, storage::Error> {
        match part {
            Part::Text { text } => Ok(Piece::Text(text)),
            Part::Input { text: Some(text), plugin, blob } => {
                let target = Target::Plugin(plugin);
                Ok(Piece::Input(InputPiece { target, mime: blob.mime, bytes: Vec::new(), text: Some(text) }))
            }
            Part::Input { text: None, plugin, blob } => {
                let (blob, bytes) = self.app.store.blob(&blob.hash).await?;
                let target = Target::Plugin(plugin);
                Ok(Piece::Input(InputPiece { target, mime: blob.mime, bytes, text: None }))
            }
        }
    }

    /// Hears the engine out, tells the readers, and saves the text now and then.
    async fn listen(
        &self,
        answer: &mut Answer,
        draft: &mut Draft,
    ) -> Result<(FinishReason, Usage), ApiError> {
        let mut saved = Instant::now();
        if self.live.was_stopped() {
            answer.cancel.cancel();
        }
        loop {
            let event = tokio::select! {
                event = answer.events.recv() => event,
                () = self.live.stop_asked() => {
                    answer.cancel.cancel();
                    continue;
                }
            };
            match event {
                Some(Event::Text(text)) => {
                    if draft.first_token.is_none() {
                        draft.first_token = Some(self.started.elapsed());
                        self.app.metrics.first_token(self.started.elapsed());
                    }
                    draft.text.push_str(&text);
                    self.live.push(GenerationEventKind::Text { text });
                    if saved.elapsed() >= SAVE_EVERY {
                        self.app.store.save_text(&self.answer, draft.text.clone()).await?;
                        saved = Instant::now();
                    }
                }
                Some(Event::Finished { reason, usage }) => return Ok((reason, usage)),
                Some(Event::Failed(words)) => return Err(ApiError::unavailable(words)),
                None => return Err(ApiError::unavailable("the model ended before the answer did")),
            }
        }
    }

    fn details(&self, prompt: &BuiltPrompt, reason: FinishReason, usage: Usage, draft: &Draft) -> Details {
        let parts = prompt.breakdown.iter();
        let total = self.started.elapsed();
        Details {
            prompt: parts
                .map(|part| PromptPart { source: part.source.clone(), positions: count(part.positions) })
                .collect(),
            prompt_positions: count(usage.prompt_positions),
            reused_positions: count(usage.reused_positions),
            answer_tokens: count(usage.completion_tokens),
            dropped_turns: count(prompt.dropped_turns),
            finish_reason: match reason {
                FinishReason::Stop => "stop",
                FinishReason::Length => "length",
                FinishReason::Cancelled => "cancelled",
            }
            .to_owned(),
            first_token_ms: draft.first_token.unwrap_or(total).as_millis() as u64,
            total_ms: total.as_millis() as u64,
            model: self.assistant.model.info.id.clone(),
        }
    }
}

fn interrupted() -> MessageState {
    let error = "The server was told to end while this answer was being made. The text so far was kept.";
    MessageState::Failed { error: error.to_owned() }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
