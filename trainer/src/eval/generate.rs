//! Greedy answers to many questions, by the engine that serves.

use std::collections::VecDeque;
use std::sync::Arc;

use jnana_core::prompt::build;
use jnana_core::request::{Embeddings, Event, FinishReason, Request, Sampling};
use jnana_core::{Answer, Engine, EngineConfig, ModelCard, PromptError, SubmitError, Turn};
use jnana_models::decoder::Decoder;
use jnana_models::tokenizer::Tokenizer;

/// Answers that are made at the same time.
const TOGETHER: usize = 64;

/// The template's slot that pictures fill.
const IMAGE: &str = "image";

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// It is too long, or empty.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The engine takes no request.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The engine failed; in words.
    #[error("the engine failed: {0}")]
    Engine(String),
}

/// A question to a model.
#[derive(Debug, Clone)]
pub struct Question {
    /// Its picture, as the decoder's embeddings.
    pub picture: Option<Arc<Embeddings>>,
    /// Its words.
    pub words: String,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The answer without blanks around it.
    pub text: String,
    /// False when it was cut at the most tokens.
    pub ended: bool,
}

/// A model that answers.
pub struct Generator {
    engine: Engine,
    tokenizer: Tokenizer,
    card: ModelCard,
    system: Option<String>,
    max_tokens: usize,
}

impl Generator {
    /// Starts an engine for a decoder that was loaded for inference. `system` replaces the template's own system message;
    /// answers have at most `max_tokens`.
    #[must_use]
    pub fn start(
        decoder: Box<dyn Decoder>,
        tokenizer: Tokenizer,
        card: ModelCard,
        system: Option<String>,
        max_tokens: usize,
    ) -> Self {
        let config = EngineConfig {
            context: card.context,
            max_live: TOGETHER,
            max_queued: 2 * TOGETHER,
            // Nobody watches these answers grow.
            prefill_rows_beside: EngineConfig::default().prefill_rows,
            ..EngineConfig::default()
        };
        let engine = Engine::start(decoder, tokenizer.clone(), config);
        Self { engine, tokenizer, card, system, max_tokens }
    }

    /// Answers all `questions` in their order; `heard` is told each answer and can end the work by an error.
    ///
    /// # Errors
    /// When a question cannot be answered, or with `heard`'s error.
    pub fn answer<E: From<GenerateError>>(
        &self,
        questions: impl IntoIterator<Item = Question>,
        mut heard: impl FnMut(Said) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut running = VecDeque::new();
        for question in questions {
            running.push_back(self.ask(question)?);
            if running.len() >= TOGETHER
                && let Some(oldest) = running.pop_front()
            {
                heard(listen(oldest)?)?;
            }
        }
        running.into_iter().try_for_each(|answer| heard(listen(answer)?))
    }

    fn ask(&self, question: Question) -> Result<Answer, GenerateError> {
        let embeddings = question.picture.into_iter().map(|picture| (IMAGE.to_owned(), picture)).collect();
        let turn = Turn { embeddings, ..Turn::user(question.words) };
        let ModelCard { template, context, .. } = &self.card;
        let prompt =
            build(template, &self.tokenizer, self.system.as_deref(), &[turn], *context, self.max_tokens)?
                .parts;
        let stop = self.card.stop(self.max_tokens);
        Ok(self.engine.submit(Request { prompt, sampling: Sampling::default(), stop })?)
    }
}

fn listen(mut answer: Answer) -> Result<Said, GenerateError> {
    let mut text = String::new();
    loop {
        match answer.events.blocking_recv() {
            Some(Event::Text(more)) => text.push_str(&more),
            Some(Event::Finished { reason, .. }) => {
                return Ok(Said { text: text.trim().to_owned(), ended: reason == FinishReason::Stop });
            }
            Some(Event::Failed(why)) => return Err(GenerateError::Engine(why)),
            None => return Err(GenerateError::Engine("it ended".to_owned())),
        }
    }
}
