//! One running request: what it has computed, what it computes next, what it makes of a drawn token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jnana_models::decoder::SequenceCache;
use jnana_models::tokenizer::{TokenStream, Tokenizer};
use tokio::sync::mpsc::UnboundedSender;

use crate::caches::{Acquired, Position};
use crate::guesses::Guesses;
use crate::request::{Embeddings, Event, FinishReason, PromptPart, Request, Usage};
use crate::sampler::{SampleError, Sampler};
use crate::step::Load;
use crate::stop::StopFilter;

/// A request with its way back.
#[derive(Debug)]
pub(crate) struct Job {
    pub request: Request,
    /// The identities of the prompt's positions.
    pub positions: Vec<Position>,
    pub events: UnboundedSender<Event>,
    pub cancelled: Arc<AtomicBool>,
    pub submitted: Instant,
}

impl Job {
    /// Nobody wants the answer any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.events.is_closed()
    }

    /// Ends a job that never ran.
    pub fn end(self, event: Event) {
        // A listener that went away needs no event.
        let _ = self.events.send(event);
    }
}

/// The identities of a prompt's positions.
pub(crate) fn identify(prompt: &[PromptPart]) -> Vec<Position> {
    let mut positions = Vec::new();
    for part in prompt {
        match part {
            PromptPart::Tokens(ids) => positions.extend(ids.iter().map(|&id| Position::Token(id))),
            PromptPart::Embeddings(e) => {
                positions.extend((0..part.positions() as u32).map(|row| Position::Row(e.key, row)));
            }
        }
    }
    positions
}

/// A run of the decoder's input.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// Token ids.
    Tokens(Vec<u32>),
    /// Embeddings from this row on, so many rows.
    Rows(&'a Embeddings, usize, usize),
}

/// Why a sequence cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdvanceError {
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Tokenizer(#[from] jnana_models::Error),
}

/// A running request.
pub(crate) struct Sequence {
    job: Job,
    /// Prompt and answer so far; the first `cache.len()` are computed.
    positions: Vec<Position>,
    /// Embeddings of the prompt, each with the position of its first row.
    embeddings: Vec<(usize, Arc<Embeddings>)>,
    pub cache: SequenceCache,
    guesses: Guesses,
    /// The step of its last turn to read its prompt, or the one at which it started.
    pub turn: u64,
    sampler: Sampler,
    text: TokenStream,
    stop: StopFilter,
    max_new: usize,
    usage: Usage,
}

impl Sequence {
    /// A sequence that starts to run at step `turn`. `max_new` is what the context allows at most.
    pub fn new(mut job: Job, acquired: Acquired, max_new: usize, turn: u64, tokenizer: &Tokenizer) -> Self {
        let positions = std::mem::take(&mut job.positions);
        let usage = Usage {
            prompt_positions: positions.len(),
            reused_positions: acquired.reused,
            ..Usage::default()
        };
        Self {
            sampler: Sampler::new(job.request.sampling.clone(), tokens(&positions)),
            text: tokenizer.stream(),
            stop: StopFilter::new(&job.request.stop.strings),
            embeddings: place_embeddings(&job.request.prompt),
            max_new: max_new.min(job.request.stop.max_tokens),
            cache: acquired.cache,
            guesses: Guesses::default(),
            turn,
            positions,
            job,
            usage,
        }
    }

    /// Nobody wants the answer any more.
    pub fn is_cancelled(&self) -> bool {
        self.job.is_cancelled()
    }

    /// Identities of prompt and answer so far.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// Positions that are known and not computed; one while an answer is being written.
    pub fn pending(&self) -> usize {
        self.positions.len() - self.cache.len()
    }

    /// What it waits for.
    pub fn load(&self) -> Load {
        Load { pending: self.pending(), turn: self.turn }
    }

    /// Guesses up to `most` tokens that follow the pending one. How many of them, those with a chance above `least`, the
    /// next step is to compute along: never more than the answer may still have.
    pub fn guess(&mut self, most: usize, least: f64) -> usize {
        // The step gives one token more than there are guesses.
        let room = (self.max_new - self.usage.completion_tokens).saturating_sub(1);
        self.guesses.look(&self.positions, most.min(room), &self.job.request.stop.ids);
        self.guesses.choose(room, least)
    }

    /// What it took so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// When the request came.
    pub fn submitted(&self) -> Instant {
        self.job.submitted
    }

    /// The next `rows` positions as runs of one kind; what is more than pending are guesses.
    pub fn inputs(&self, rows: usize) -> impl Iterator<Item = Input<'_>> {
        let mut at = self.cache.len();
        let known = rows.min(self.pending());
        let runs = self.positions[at..at + known].chunk_by(Position::continues_in).map(move |run| {
            let first = at;
            at += run.len();
            match run[0] {
                Position::Token(_) => Input::Tokens(tokens(run).collect()),
                Position::Row(_, row) => Input::Rows(self.embeddings_at(first), row as usize, run.len()),
            }
        });
        runs.chain((rows > known).then(|| Input::Tokens(self.guesses.computed().to_vec())))
    }

    /// The embeddings that cover this position of the prompt.
    fn embeddings_at(&self, position: usize) -> &Embeddings {
        // Rows stand only where `place_embeddings` found them, so one starts at or before the position.
        &self.embeddings[self.embeddings.partition_point(|&(first, _)| first <= position) - 1].1
    }

    /// Draws the next token and says it, and one more behind each guess that came true; `Some` when the answer is whole.
    /// `logits` are those behind the last position and behind each guess that was computed along.
    ///
    /// # Errors
    /// When the logits are nonsense, or the tokenizer cannot say a token.
    pub fn advance(&mut self, logits: &mut [Vec<f32>]) -> Result<Option<FinishReason>, AdvanceError> {
        let known = self.positions.len();
        let mut right = 0;
        let mut end = None;
        for logits in logits.iter_mut() {
            let token = self.sampler.sample(logits)?;
            end = self.take(token)?;
            let came_true = self.guesses.came_true(right, token);
            right += usize::from(came_true);
            if !came_true || end.is_some() {
                break;
            }
        }
        self.usage.proposed_tokens += logits.len() - 1;
        self.usage.accepted_tokens += right;
        // What was computed behind the first wrong guess is none of the answer's.
        self.cache.truncate(known + right);
        Ok(end)
    }

    /// Says a token that was drawn; `Some` when it ends the answer.
    fn take(&mut self, token: u32) -> Result<Option<FinishReason>, AdvanceError> {
        if self.job.request.stop.ids.contains(&token) {
            return Ok(Some(FinishReason::Stop));
        }
        self.usage.completion_tokens += 1;
        self.positions.push(Position::Token(token));
        if let Some(text) = self.text.push(token)?
            && self.say(&text)
        {
            return Ok(Some(FinishReason::Stop));
        }
        Ok((self.usage.completion_tokens >= self.max_new).then_some(FinishReason::Length))
    }

    /// Sends what cannot be part of a stop string; true when one was found.
    fn say(&mut self, text: &str) -> bool {
        let passed = self.stop.push(text);
        self.send_text(passed.text);
        passed.stopped
    }

    fn send_text(&self, text: String) {
        if !text.is_empty() {
            self.send(Event::Text(text));
        }
    }

    fn send(&self, event: Event) {
        // A listener that went away is noticed before the next step.
        let _ = self.job.events.send(event);
    }

    /// Tells the end; gives back the cache with what it may hold.
    pub fn finish(mut self, reason: FinishReason) -> (Vec<Position>, SequenceCache) {
        // The filter lets nothing of this through after a stop string; after any other end it is part of the answer.
        match self.text.finish() {
            Ok(Some(rest)) => drop(self.say(&rest)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the last token of an answer has no text"),
        }
        let held = self.stop.finish();
        self.send_text(held);
        self.send(Event::Finished { reason, usage: self.usage });
        (self.positions, self.cache)
    }

    /// Tells that the request could not go on.
    pub fn fail(self, message: String) -> SequenceCache {
        self.send(Event::Failed(message));
        self.cache
    }
}

/// The token ids among these positions.
fn tokens(positions: &[Position]) -> impl Iterator<Item = u32> {
    positions.iter().filter_map(|position| match position {
        Position::Token(id) => Some(*id),
        Position::Row(..) => None,
    })
}

fn place_embeddings(prompt: &[PromptPart]) -> Vec<(usize, Arc<Embeddings>)> {
    let mut placed = Vec::new();
    let mut at = 0;
    for part in prompt {
        if let PromptPart::Embeddings(embeddings) = part {
            placed.push((at, Arc::clone(embeddings)));
        }
        at += part.positions();
    }
    placed
}
