//! Conversation to prompt: one renderer for serving and training.

mod training;

use std::sync::Arc;

use jnana_models::tokenizer::Tokenizer;

pub use self::training::{Target, TrainingExample, training_example};
use crate::request::{Embeddings, PromptPart};
use crate::template::{SystemPlace, Template};

/// Source of the breakdown's parts that are text.
const TEXT: &str = "text";

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// Embeddings with the template slot that each fills (`image`, …), in order; only of a person's turn.
    pub embeddings: Vec<(String, Arc<Embeddings>)>,
    /// What was said, as text; empty if nothing was.
    pub transcript: String,
    /// What was typed, or the answer.
    pub text: String,
}

impl Turn {
    /// A person's turn without embeddings or speech.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: Role::User, embeddings: Vec::new(), transcript: String::new(), text: text.into() }
    }

    /// An answer.
    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: Role::Assistant, ..Self::user(text) }
    }

    /// True when there is nothing to answer: neither embeddings nor words.
    fn is_empty(&self) -> bool {
        self.embeddings.is_empty() && self.words().is_empty()
    }

    /// Transcript and typed text joined by one space.
    fn words(&self) -> String {
        join(self.transcript.trim(), self.text.trim())
    }
}

/// A part of a prompt for people: what it is and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartUse {
    /// `text`, or the id of the plugin whose embeddings these are.
    pub source: String,
    /// Positions it takes.
    pub positions: usize,
}

/// A prompt that fits its context.
#[derive(Debug, Clone)]
pub struct BuiltPrompt {
    /// What the engine gets.
    pub parts: Vec<PromptPart>,
    /// The same parts for people, one for one.
    pub breakdown: Vec<PartUse>,
    /// Oldest questions, each with its answer, that were left out because they did not fit.
    pub dropped_turns: usize,
    /// Positions of the prompt.
    pub positions: usize,
}

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// There is no turn, or the last one is an answer.
    #[error("the conversation does not end with a question")]
    NoQuestion,
    /// A question has neither embeddings nor words.
    #[error("there is nothing to answer: the question has no picture, speech or text")]
    EmptyQuestion,
    /// A conversation to learn from is none.
    #[error(
        "there is nothing to learn: the conversation does not begin with a question and end with an answer"
    )]
    NoAnswer,
    /// Even alone the last question is too long.
    #[error(
        "the question takes {positions} positions with all that surrounds it, {limit} can be used: the context has \
         {context}, {reserve} of them for the answer"
    )]
    QuestionTooLong {
        /// Positions of the prompt with this question alone.
        positions: usize,
        /// Positions that a prompt may take.
        limit: usize,
        /// Positions of the context.
        context: usize,
        /// Positions kept for the answer.
        reserve: usize,
    },
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] jnana_models::Error),
}

/// Renders a conversation so that `reserve` of the `context` positions stay free for the answer (no more than half of the
/// context is reserved). Whole oldest turns are left out until it fits, a question always with its answer and pictures.
///
/// # Errors
/// When the conversation does not end with a question, this question is empty, or does not fit even alone.
pub fn build(
    template: &Template,
    tokenizer: &Tokenizer,
    system: Option<&str>,
    turns: &[Turn],
    context: usize,
    reserve: usize,
) -> Result<BuiltPrompt, PromptError> {
    let question = turns.last().filter(|turn| turn.role == Role::User).ok_or(PromptError::NoQuestion)?;
    if question.is_empty() {
        return Err(PromptError::EmptyQuestion);
    }
    let renderer = Renderer::new(template, tokenizer, system);
    let reserve = reserve.min(context / 2);
    let (segments, dropped_turns) = fit_context(&renderer, turns, context - reserve)?;
    let positions = segments.positions();
    if positions > context - reserve {
        return Err(PromptError::QuestionTooLong { positions, limit: context - reserve, context, reserve });
    }
    Ok(BuiltPrompt { breakdown: segments.breakdown(), parts: segments.parts, dropped_turns, positions })
}

/// The rendering that keeps as many exchanges as `limit` positions hold, at least the last, and how many were dropped.
fn fit_context(
    renderer: &Renderer<'_>,
    turns: &[Turn],
    limit: usize,
) -> Result<(Segments, usize), PromptError> {
    let exchanges = exchanges(turns);
    let last = exchanges.len() - 1;
    let mut tail = Segments::default();
    let mut best = None;
    for (index, exchange) in exchanges.iter().enumerate().rev() {
        let mut whole = renderer.beginning(exchange)?;
        whole.append(&tail);
        whole.append(&renderer.answer_open()?);
        if whole.positions() > limit && index < last {
            break;
        }
        best = Some((whole, index));
        let mut longer = renderer.exchange(exchange, None)?;
        longer.append(&tail);
        tail = longer;
    }
    best.ok_or(PromptError::NoQuestion)
}

/// Cuts a conversation before each question but the first.
fn exchanges(turns: &[Turn]) -> Vec<&[Turn]> {
    let questions = (0..turns.len()).filter(|&i| turns[i].role == Role::User).skip(1);
    let starts: Vec<usize> = std::iter::once(0).chain(questions).collect();
    let ends = starts[1..].iter().copied().chain([turns.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &turns[start..end]).collect()
}

/// Turns turns into parts by a template.
struct Renderer<'a> {
    template: &'a Template,
    tokenizer: &'a Tokenizer,
    system: &'a str,
}

impl<'a> Renderer<'a> {
    fn new(template: &'a Template, tokenizer: &'a Tokenizer, system: Option<&'a str>) -> Self {
        let system = system.or(template.default_system.as_deref()).unwrap_or_default().trim();
        Self { template, tokenizer, system }
    }

    /// What a prompt begins with: the model's own first token, the system message, an exchange.
    fn beginning(&self, exchange: &[Turn]) -> Result<Segments, PromptError> {
        let mut segments = Segments::default();
        if self.tokenizer.adds_bos() {
            segments.tokens(self.tokenizer.bos_id().into_iter().collect());
        }
        match self.template.system {
            SystemPlace::OwnTurn if !self.system.is_empty() => {
                segments.tokens(self.tokenizer.encode_markup(&self.template.system_open)?);
                segments.tokens(self.tokenizer.encode_text(self.system)?);
                segments.tokens(self.tokenizer.encode_markup(&self.template.system_close)?);
                segments.append(&self.exchange(exchange, None)?);
            }
            SystemPlace::OwnTurn => segments.append(&self.exchange(exchange, None)?),
            SystemPlace::FirstQuestion => segments.append(&self.exchange(exchange, Some(self.system))?),
        }
        Ok(segments)
    }

    /// Turns up to the next question; `before` goes before the words of the first question among them.
    fn exchange(&self, turns: &[Turn], before: Option<&str>) -> Result<Segments, PromptError> {
        let mut before = before;
        let mut segments = Segments::default();
        for turn in turns {
            match turn.role {
                Role::User => self.question(&mut segments, turn, before.take().unwrap_or_default())?,
                Role::Assistant => self.answer(&mut segments, turn)?,
            }
        }
        Ok(segments)
    }

    fn question(&self, segments: &mut Segments, turn: &Turn, before: &str) -> Result<(), PromptError> {
        segments.tokens(self.tokenizer.encode_markup(&self.template.user_open)?);
        for (slot, embeddings) in &turn.embeddings {
            segments.parts.push(PromptPart::Embeddings(Arc::clone(embeddings)));
            if let Some(close) = self.template.slot_close.get(slot) {
                segments.tokens(self.tokenizer.encode_markup(close)?);
            }
        }
        segments.tokens(self.tokenizer.encode_text(&join(before, &turn.words()))?);
        segments.tokens(self.tokenizer.encode_markup(&self.template.user_close)?);
        Ok(())
    }

    /// An answer that was given, unchanged, so that its cache can be used again.
    fn answer(&self, segments: &mut Segments, turn: &Turn) -> Result<(), PromptError> {
        segments.append(&self.answer_open()?);
        segments.tokens(self.tokenizer.encode_text(&turn.text)?);
        segments.tokens(self.tokenizer.encode_markup(&self.template.assistant_close)?);
        Ok(())
    }

    fn answer_open(&self) -> Result<Segments, PromptError> {
        let mut segments = Segments::default();
        segments.tokens(self.tokenizer.encode_markup(&self.template.assistant_open)?);
        Ok(segments)
    }
}

/// Parts being put together; neighbouring tokens become one part.
#[derive(Debug, Clone, Default)]
struct Segments {
    parts: Vec<PromptPart>,
}

impl Segments {
    fn tokens(&mut self, ids: Vec<u32>) {
        match self.parts.last_mut() {
            _ if ids.is_empty() => {}
            Some(PromptPart::Tokens(open)) => open.extend(ids),
            _ => self.parts.push(PromptPart::Tokens(ids)),
        }
    }

    fn append(&mut self, other: &Self) {
        for part in &other.parts {
            match part {
                PromptPart::Tokens(ids) => self.tokens(ids.clone()),
                PromptPart::Embeddings(_) => self.parts.push(part.clone()),
            }
        }
    }

    fn positions(&self) -> usize {
        self.parts.iter().map(PromptPart::positions).sum()
    }

    fn breakdown(&self) -> Vec<PartUse> {
        let source = |part: &PromptPart| match part {
            PromptPart::Tokens(_) => TEXT.to_owned(),
            PromptPart::Embeddings(embeddings) => embeddings.source.clone(),
        };
        self.parts.iter().map(|p| PartUse { source: source(p), positions: p.positions() }).collect()
    }
}

/// Two texts with one space between, unless one is empty.
fn join(first: &str, second: &str) -> String {
    let space = if first.is_empty() || second.is_empty() { "" } else { " " };
    format!("{first}{space}{second}")
}
