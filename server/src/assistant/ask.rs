//! One question with its conversation, turned into a prompt and handed to the engine.

use std::sync::Arc;
use std::time::Duration;

use jnana_api::conversations::PluginTime;
use jnana_core::engine::{CancelHandle, SubmitError};
use jnana_core::prompt::{self, BuiltPrompt, PromptError, Turn};
use jnana_core::request::{Event, Request, Sampling, Stop};
use jnana_plugin_host::CancelFlag;
use tokio::sync::mpsc::UnboundedReceiver;

pub use jnana_core::prompt::Role;

use super::Assistant;
use super::inputs::{InputPiece, Made, Resolved};
use crate::error::ApiError;

/// A conversation whose last turn is to be answered.
#[derive(Debug, Clone)]
pub struct Ask {
    /// System message; the template's own when absent.
    pub system: Option<String>,
    /// The turns, oldest first.
    pub turns: Vec<AskTurn>,
    /// Most new tokens.
    pub max_tokens: usize,
}

/// What one side said and showed.
#[derive(Debug, Clone)]
pub struct AskTurn {
    /// Who.
    pub role: Role,
    /// In order.
    pub pieces: Vec<Piece>,
}

/// One thing said or shown.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Typed or generated text.
    Text(String),
    /// Bytes for a plugin.
    Input(InputPiece),
}

/// What happens while a prompt is prepared.
#[derive(Debug, Clone)]
pub enum Note {
    /// A plugin starts on an input; what people call such an input.
    Reading(String),
    /// A plugin gave text for a piece of the last turn.
    Text {
        /// Index of the piece.
        piece: usize,
        /// The text.
        text: String,
    },
}

/// A prompt that fits, with what was left out for it.
#[derive(Debug)]
pub struct Prepared {
    /// Parts, breakdown, dropped turns.
    pub prompt: BuiltPrompt,
    /// What the plugins took, in the order of their first use.
    pub plugins: Vec<PluginTime>,
}

/// An answer being made. It holds the model that makes it, so that no other one ever goes on with it.
#[derive(Debug)]
pub struct Answering {
    /// What the engine tells. Dropping the receiver cancels the request.
    pub events: UnboundedReceiver<Event>,
    /// Ends the answer early.
    pub cancel: CancelHandle,
    _assistant: Arc<Assistant>,
}

impl Assistant {
    /// Asks the plugins for every input and renders the prompt. Notes are given from a worker thread.
    ///
    /// # Errors
    /// 400 for a conversation that cannot be answered; a plugin's refusal of its input; 503 when a plugin is missing.
    pub async fn prepare(
        self: &Arc<Self>,
        ask: Ask,
        cancel: CancelFlag,
        mut note: impl FnMut(Note) + Send + 'static,
    ) -> Result<Prepared, ApiError> {
        let assistant = Arc::clone(self);
        tokio::task::spawn_blocking(move || assistant.prepare_blocking(ask, &cancel, &mut note))
            .await
            .map_err(ApiError::internal)?
    }

    fn prepare_blocking(
        &self,
        ask: Ask,
        cancel: &CancelFlag,
        note: &mut dyn FnMut(Note),
    ) -> Result<Prepared, ApiError> {
        let last = ask.turns.len().saturating_sub(1);
        let (mut turns, mut plugins) = (Vec::with_capacity(ask.turns.len()), Vec::new());
        for (index, turn) in ask.turns.into_iter().enumerate() {
            let mut ignore = |_| ();
            let note: &mut dyn FnMut(Note) = if index == last { &mut *note } else { &mut ignore };
            turns.push(self.turn(turn, cancel, note, &mut plugins)?);
        }
        let context = self.model.context();
        let (template, tokenizer) = (&self.model.template, &self.model.tokenizer);
        let built =
            prompt::build(template, tokenizer, ask.system.as_deref(), &turns, context, ask.max_tokens);
        Ok(Prepared { prompt: built.map_err(|error| prompt_error(&error))?, plugins })
    }

    fn turn(
        &self,
        turn: AskTurn,
        cancel: &CancelFlag,
        note: &mut dyn FnMut(Note),
        plugins: &mut Vec<PluginTime>,
    ) -> Result<Turn, ApiError> {
        let (mut embeddings, mut heard, mut typed) = (Vec::new(), Vec::new(), Vec::new());
        for (index, piece) in turn.pieces.into_iter().enumerate() {
            if cancel.is_cancelled() {
                return Err(ApiError::conflict("the request was cancelled"));
            }
            match piece {
                Piece::Text(text) => typed.push(text),
                Piece::Input(input) => {
                    let Resolved { made, by } = self.inputs.resolve(&input, cancel, note)?;
                    by.into_iter().for_each(|(plugin, took)| count_time(plugins, plugin, took));
                    match made {
                        Made::Given(text) => heard.push(text),
                        Made::Text(text) => {
                            note(Note::Text { piece: index, text: text.clone() });
                            heard.push(text);
                        }
                        Made::Embeddings { slot, rows } => embeddings.push((slot, rows)),
                    }
                }
            }
        }
        heard.retain(|text| !text.trim().is_empty());
        Ok(Turn { role: turn.role, embeddings, transcript: heard.join(" "), text: typed.join("\n") })
    }

    /// Hands a prompt to the engine.
    ///
    /// # Errors
    /// 429 when the queue is full, 400 when the request can never be served.
    pub fn submit(
        self: &Arc<Self>,
        prepared: &Prepared,
        sampling: Sampling,
        stop: Stop,
    ) -> Result<Answering, ApiError> {
        let request = Request { prompt: prepared.prompt.parts.clone(), sampling, stop };
        let answer = self.model.engine.submit(request).map_err(submit_error)?;
        Ok(Answering { events: answer.events, cancel: answer.cancel, _assistant: self.clone() })
    }
}

fn count_time(plugins: &mut Vec<PluginTime>, plugin: String, took: Duration) {
    let ms = took.as_millis() as u64;
    match plugins.iter_mut().find(|known| known.plugin == plugin) {
        Some(known) => (known.inputs, known.ms) = (known.inputs + 1, known.ms + ms),
        None => plugins.push(PluginTime { plugin, inputs: 1, ms }),
    }
}

fn prompt_error(error: &PromptError) -> ApiError {
    let refused = ApiError::invalid("messages", error.to_string());
    match error {
        PromptError::QuestionTooLong { .. } => ApiError { code: Some("context_length_exceeded"), ..refused },
        _ => refused,
    }
}

fn submit_error(error: SubmitError) -> ApiError {
    match error {
        SubmitError::Busy { retry_after, .. } => {
            let seconds = u32::try_from(retry_after.as_secs()).unwrap_or(60).max(1);
            ApiError { retry_after: Some(seconds), ..ApiError::busy(error.to_string()) }
        }
        SubmitError::ShutDown => ApiError::unavailable(error.to_string()),
        SubmitError::ContextFull { .. } | SubmitError::CacheTooLarge { .. } => {
            let refused = ApiError::invalid("messages", error.to_string());
            ApiError { code: Some("context_length_exceeded"), ..refused }
        }
        SubmitError::Embeddings { .. } | SubmitError::EmptyPrompt => ApiError::internal(error),
        _ => ApiError::invalid(None, error.to_string()),
    }
}
