//! Which requests run, and what each step of the engine does for them.

use std::time::{Duration, Instant};

use jnana_models::decoder::Decoder;
use jnana_models::tokenizer::Tokenizer;

use crate::caches::{CachePool, LiveCache, capacity_for};
use crate::engine::EngineConfig;
use crate::guesses::break_even;
use crate::request::{Event, FinishReason, Usage};
use crate::sequence::{Job, Sequence};
use crate::stats::Stats;
use crate::step::{self, Drawable, Load};

/// What became of a job that was to start.
pub(crate) enum Start {
    /// It runs, or it has ended with an error.
    Done,
    /// A running sequence reads the beginning of its prompt: it shall start when that can be copied.
    Later(Job),
    /// Its cache has to wait for memory, and so have those behind it.
    NoMemory(Job),
}

/// The state of the engine thread.
pub(crate) struct Scheduler {
    decoder: Box<dyn Decoder>,
    tokenizer: Tokenizer,
    config: EngineConfig,
    pool: CachePool,
    live: Vec<Sequence>,
    stats: Stats,
}

impl Scheduler {
    pub fn new(decoder: Box<dyn Decoder>, tokenizer: Tokenizer, config: EngineConfig) -> Self {
        let dtype = config.cache_dtype.unwrap_or_else(|| decoder.dtype());
        let pool =
            CachePool::new(decoder.shape().clone(), dtype, decoder.device().clone(), config.cache_bytes);
        Self { decoder, tokenizer, config, pool, live: Vec::new(), stats: Stats::default() }
    }

    /// Nothing runs.
    pub fn is_idle(&self) -> bool {
        self.live.is_empty()
    }

    /// The figures so far.
    pub fn stats(&self) -> Stats {
        Stats {
            live: self.live.len(),
            live_cache_bytes: self.pool.live_bytes(),
            reusable_cache_bytes: self.pool.finished_bytes(),
            ..self.stats.clone()
        }
    }

    /// Another sequence may run.
    pub fn has_room(&self) -> bool {
        self.live.len() < self.config.max_live
    }

    /// Ends running sequences that nobody listens to, or all.
    pub fn sweep(&mut self, all: bool) {
        for index in (0..self.live.len()).rev() {
            if all || self.live[index].is_cancelled() {
                self.finish(index, FinishReason::Cancelled);
            }
        }
    }

    /// Starts a job, or gives it back when it has to wait.
    pub fn start(&mut self, job: Job) -> Start {
        let room = self.config.context - job.positions.len();
        let max_new = room.min(job.request.stop.max_tokens);
        let capacity = capacity_for(job.positions.len() + max_new, self.config.context);
        let live: Vec<LiveCache<'_>> = self.live.iter().map(|s| (s.positions(), &s.cache)).collect();
        if self.pool.is_being_read(&job.positions, &live) {
            return Start::Later(job);
        }
        match self.pool.acquire(&job.positions, capacity, &live) {
            Ok(Some(acquired)) => {
                let sequence = Sequence::new(job, acquired, max_new, self.stats.steps, &self.tokenizer);
                self.live.push(sequence);
                Start::Done
            }
            Ok(None) => Start::NoMemory(job),
            Err(error) => {
                tracing::error!(%error, capacity, "no cache for a request");
                self.stats.failed += 1;
                job.end(Event::Failed(format!("allocate a cache of {capacity} positions: {error}")));
                Start::Done
            }
        }
    }

    /// Computes one step of all running sequences and tells what came of it.
    pub fn step(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let loads: Vec<Load> = self.live.iter().map(Sequence::load).collect();
        let mut rows = self.share_rows(&loads);
        self.guess_ahead(&loads, &mut rows);
        let started = Instant::now();
        let outcome = step::run(self.decoder.as_ref(), &mut self.live, &rows);
        self.stats.count_step(&loads, &rows, started.elapsed());
        match outcome {
            Ok(drawable) => self.advance(drawable),
            Err(message) => self.fail_all(&message),
        }
    }

    /// Rows of each sequence, and who has had a turn by them. A step in which answers grow reads less of the prompts, for
    /// the answers' next tokens wait until it ends.
    fn share_rows(&mut self, loads: &[Load]) -> Vec<usize> {
        let budget = match loads.iter().any(|load| load.is_writing()) {
            true => self.config.prefill_rows_beside,
            false => self.config.prefill_rows,
        };
        let rows = step::plan(loads, budget);
        for ((sequence, load), &rows) in self.live.iter_mut().zip(loads).zip(&rows) {
            if load.had_turn(rows, budget) {
                sequence.turn = self.stats.steps + 1;
            }
        }
        rows
    }

    /// Adds rows for guesses to those of the answers, where they pay.
    fn guess_ahead(&mut self, loads: &[Load], rows: &mut [usize]) {
        if self.config.guess_rows == 0 {
            return;
        }
        let answers = loads.iter().filter(|load| load.is_writing()).count();
        let least = break_even(answers, self.config.row_cost);
        for ((sequence, load), rows) in self.live.iter_mut().zip(loads).zip(rows) {
            if load.is_writing() {
                *rows += sequence.guess(self.config.guess_rows, least);
            }
        }
    }

    /// Draws tokens for the sequences whose prompts are computed.
    fn advance(&mut self, drawable: Vec<Drawable>) {
        // From the back, so that ending one does not move those still to come.
        for Drawable { index, mut logits } in drawable.into_iter().rev() {
            match self.live[index].advance(&mut logits) {
                Ok(None) => {}
                Ok(Some(reason)) => self.finish(index, reason),
                Err(error) => self.fail(index, error.to_string()),
            }
        }
    }

    fn finish(&mut self, index: usize, reason: FinishReason) {
        let sequence = self.live.remove(index);
        self.stats.count_end(&sequence.usage(), reason, sequence.submitted().elapsed());
        let (positions, cache) = sequence.finish(reason);
        self.pool.release(positions, cache);
    }

    fn fail(&mut self, index: usize, message: String) {
        tracing::error!(message, "a request failed");
        self.stats.failed += 1;
        let cache = self.live.remove(index).fail(message);
        self.pool.discard(cache);
    }

    /// A step that failed leaves caches nobody should trust.
    fn fail_all(&mut self, message: &str) {
        for index in (0..self.live.len()).rev() {
            self.fail(index, message.to_owned());
        }
    }

    /// Ends a job that never ran because nobody waits for it.
    pub fn drop_waiting(&mut self, job: Job) {
        let usage = Usage { prompt_positions: job.positions.len(), ..Usage::default() };
        self.stats.count_end(&usage, FinishReason::Cancelled, Duration::ZERO);
        job.end(Event::Finished { reason: FinishReason::Cancelled, usage });
    }
}
