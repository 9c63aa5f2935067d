//! The engine: one thread that owns the decoder and the caches, and the handle to it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use candle_core::DType;
use jnana_models::decoder::{Decoder, DecoderShape};
use jnana_models::tokenizer::Tokenizer;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::caches::capacity_for;
use crate::request::{Event, PromptPart, Request};
use crate::sampler::SamplingError;
use crate::scheduler::{Scheduler, Start};
use crate::sequence::{Job, identify};
use crate::stats::Stats;

/// Bounds of what one refused request is told to wait.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How much an engine may do at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineConfig {
    /// Positions of prompt and answer together; at most what the decoder was made for.
    pub context: usize,
    /// Requests that run at the same time.
    pub max_live: usize,
    /// Requests that may wait; one more is refused.
    pub max_queued: usize,
    /// Rows of prompts in a step while no answer grows.
    pub prefill_rows: usize,
    /// Rows of prompts in a step beside the rows of answers. Less keeps answers flowing while a long prompt is read, more
    /// reads it faster.
    pub prefill_rows_beside: usize,
    /// Most tokens that are guessed for one answer in a step; 0 never guesses. Answers are the same with any number, but for
    /// what rounding decides where weights are not packed.
    pub guess_rows: usize,
    /// What a row more costs, as a share of a step of one row, from 0 to 1. The higher, the surer a guess has to be.
    pub row_cost: f64,
    /// Bytes for all key/value caches together.
    pub cache_bytes: usize,
    /// Number type of the caches; `None` is the decoder's.
    pub cache_dtype: Option<DType>,
}

impl Default for EngineConfig {
    /// 2,048 positions, 8 running and 32 waiting requests, 128 prefill rows and 32 beside answers, 8 guesses, a third of a
    /// step for a row more (quantised weights on two cores), 1 GiB of caches of the decoder's type.
    fn default() -> Self {
        Self {
            context: 2048,
            max_live: 8,
            max_queued: 32,
            prefill_rows: 128,
            prefill_rows_beside: 32,
            guess_rows: 8,
            row_cost: 0.33,
            cache_bytes: 1 << 30,
            cache_dtype: None,
        }
    }
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The queue is full; the client should come back.
    #[error("the model is busy: {queued} requests wait already; try again in {} s", retry_after.as_secs())]
    Busy {
        /// Requests that wait.
        queued: usize,
        /// When to try again, from how long requests take at the moment.
        retry_after: Duration,
    },
    /// The engine was shut down.
    #[error("the model is shutting down")]
    ShutDown,
    /// A prompt without positions.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The prompt leaves no position for an answer.
    #[error("the prompt takes {positions} positions, the context has {context} for prompt and answer")]
    ContextFull {
        /// Positions of the prompt.
        positions: usize,
        /// Positions of the context.
        context: usize,
    },
    /// The cache could never be had, even alone.
    #[error("the request needs a cache of {needed} bytes, {budget} are allowed; ask for a shorter answer")]
    CacheTooLarge {
        /// Bytes for prompt and longest answer.
        needed: usize,
        /// Bytes for all caches.
        budget: usize,
    },
    /// A token outside the vocabulary.
    #[error("token {id} is not below the vocabulary's {vocab_size}")]
    Token {
        /// The token.
        id: u32,
        /// Rows of the embedding table.
        vocab_size: usize,
    },
    /// Embeddings of another shape than `[n, width]`.
    #[error("embeddings of {origin} have shape {shape:?}, expected [n, {width}] with n above 0")]
    Embeddings {
        /// Who made them.
        origin: String,
        /// Their shape.
        shape: Vec<usize>,
        /// The decoder's width.
        width: usize,
    },
    /// `max_tokens` is 0.
    #[error("max_tokens is 0, expected at least 1")]
    NoTokens,
    /// A sampling setting out of range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
}

/// An answer being made.
#[derive(Debug)]
pub struct Answer {
    /// What the engine tells. It ends after `Finished` or `Failed`; without either, the engine is gone. Dropping the
    /// receiver cancels the request.
    pub events: UnboundedReceiver<Event>,
    /// Ends the answer early.
    pub cancel: CancelHandle,
}

/// Ends an answer at the engine's next step. Dropping the handle does nothing.
#[derive(Debug, Clone)]
pub struct CancelHandle(Arc<AtomicBool>);

impl CancelHandle {
    /// Asks for the end; `Finished` with [`Cancelled`](crate::request::FinishReason::Cancelled) follows, unless the answer
    /// ended before.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What handle and thread share.
#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    stats: Mutex<Stats>,
}

#[derive(Debug, Default)]
struct Inbox {
    waiting: VecDeque<Job>,
    /// Jobs that were taken out to be started and may come back.
    tried: usize,
    /// No more requests are taken.
    closed: bool,
    /// Those taken end at the next step.
    cancel_all: bool,
    refused: u64,
}

impl Inbox {
    fn queued(&self) -> usize {
        self.waiting.len() + self.tried
    }
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of an engine; share it in an `Arc`. Dropping it cancels what runs and joins the thread.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    shape: DecoderShape,
    config: EngineConfig,
    cache_bytes_per_position: usize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts the thread. Numbers in `config` that make no sense are brought to the nearest that do.
    #[must_use]
    pub fn start(decoder: Box<dyn Decoder>, tokenizer: Tokenizer, config: EngineConfig) -> Self {
        let shape = decoder.shape().clone();
        let config = EngineConfig {
            context: config.context.clamp(1, shape.max_positions.max(1)),
            max_live: config.max_live.max(1),
            max_queued: config.max_queued.max(1),
            prefill_rows: config.prefill_rows.max(1),
            prefill_rows_beside: config.prefill_rows_beside.clamp(1, config.prefill_rows.max(1)),
            row_cost: config.row_cost.clamp(0., 1.),
            ..config
        };
        let dtype = config.cache_dtype.unwrap_or_else(|| decoder.dtype());
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            let scheduler = Scheduler::new(decoder, tokenizer, config);
            std::thread::spawn(move || on_a_pool_of_its_own(|| work(&shared, scheduler)))
        };
        Self {
            cache_bytes_per_position: shape.cache_bytes_per_position(dtype),
            shared,
            shape,
            config,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// The limits in force.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The shapes of the decoder.
    #[must_use]
    pub fn shape(&self) -> &DecoderShape {
        &self.shape
    }

    /// Hands a request to the engine; never blocks for long.
    ///
    /// # Errors
    /// When the request cannot be served now (`Busy`, `ShutDown`) or ever (the others).
    pub fn submit(&self, request: Request) -> Result<Answer, SubmitError> {
        self.check(&request)?;
        let (sender, events) = unbounded_channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let cancel = CancelHandle(Arc::clone(&cancelled));
        let positions = identify(&request.prompt);
        let job = Job { request, positions, events: sender, cancelled, submitted: Instant::now() };
        let mut inbox = self.shared.inbox();
        if inbox.closed {
            return Err(SubmitError::ShutDown);
        }
        let queued = inbox.queued();
        if queued >= self.config.max_queued {
            inbox.refused += 1;
            drop(inbox);
            return Err(SubmitError::Busy { queued, retry_after: self.retry_after(queued) });
        }
        inbox.waiting.push_back(job);
        self.shared.wake.notify_one();
        Ok(Answer { events, cancel })
    }

    /// The figures so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (queued, refused) = {
            let inbox = self.shared.inbox();
            (inbox.queued(), inbox.refused)
        };
        Stats { queued, refused, ..self.shared.stats().clone() }
    }

    /// Takes no more requests, lets those taken end, then ends the thread. Blocks until then;
    /// [`cancel_all`](Self::cancel_all) cuts it short.
    pub fn shutdown(&self) {
        self.shared.inbox().closed = true;
        self.shared.wake.notify_one();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread had panicked");
        }
    }

    /// Takes no more requests and cancels those taken at the next step.
    pub fn cancel_all(&self) {
        let mut inbox = self.shared.inbox();
        inbox.closed = true;
        inbox.cancel_all = true;
        self.shared.wake.notify_one();
    }

    fn retry_after(&self, queued: usize) -> Duration {
        let rounds = queued as f64 / self.config.max_live as f64;
        let wait = Duration::try_from_secs_f64(self.shared.stats().mean_request_seconds * rounds);
        wait.unwrap_or(RETRY_AFTER.1).clamp(RETRY_AFTER.0, RETRY_AFTER.1)
    }

    /// Whether the request can be served at all.
    fn check(&self, request: &Request) -> Result<(), SubmitError> {
        request.sampling.validate()?;
        if request.stop.max_tokens == 0 {
            return Err(SubmitError::NoTokens);
        }
        for part in &request.prompt {
            self.check_part(part)?;
        }
        let context = self.config.context;
        let positions: usize = request.prompt.iter().map(PromptPart::positions).sum();
        if positions == 0 {
            return Err(SubmitError::EmptyPrompt);
        }
        if positions >= context {
            return Err(SubmitError::ContextFull { positions, context });
        }
        let longest = positions + request.stop.max_tokens.min(context - positions);
        let needed = capacity_for(longest, context) * self.cache_bytes_per_position;
        let budget = self.config.cache_bytes;
        if needed > budget { Err(SubmitError::CacheTooLarge { needed, budget }) } else { Ok(()) }
    }

    fn check_part(&self, part: &PromptPart) -> Result<(), SubmitError> {
        match part {
            PromptPart::Tokens(ids) => {
                let vocab_size = self.shape.vocab_size;
                match ids.iter().find(|&&id| id as usize >= vocab_size) {
                    Some(&id) => Err(SubmitError::Token { id, vocab_size }),
                    None => Ok(()),
                }
            }
            PromptPart::Embeddings(embeddings) => match *embeddings.rows.dims() {
                [n, width] if n > 0 && width == self.shape.width => Ok(()),
                _ => Err(SubmitError::Embeddings {
                    origin: embeddings.source.clone(),
                    shape: embeddings.rows.dims().to_vec(),
                    width: self.shape.width,
                }),
            },
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.cancel_all();
        self.shutdown();
    }
}

/// Works on a thread of a pool: from outside, every parallel operation would hand over to the pool and sleep. The pool is
/// the engine's own, since its loop never gives its thread back.
fn on_a_pool_of_its_own(work: impl FnOnce() + Send) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(candle_core::utils::get_num_threads()).build();
    match pool {
        Ok(pool) => pool.install(work),
        Err(error) => {
            tracing::warn!(%error, "no thread pool of its own: the engine runs on the common one");
            work();
        }
    }
}

/// The thread: sleeps until there is work, then goes step by step.
fn work(shared: &Shared, mut scheduler: Scheduler) {
    let _closing = CloseOnExit(shared);
    while wait_for_work(shared, &scheduler) {
        let_go(shared, &mut scheduler);
        admit(shared, &mut scheduler);
        scheduler.step();
        *shared.stats() = scheduler.stats();
    }
}

/// Blocks while there is nothing to do; false when the engine is closed and everything has ended.
fn wait_for_work(shared: &Shared, scheduler: &Scheduler) -> bool {
    let idle = |inbox: &mut Inbox| scheduler.is_idle() && inbox.waiting.is_empty() && !inbox.closed;
    let inbox = shared.wake.wait_while(shared.inbox(), idle).unwrap_or_else(PoisonError::into_inner);
    !(inbox.closed && inbox.waiting.is_empty() && scheduler.is_idle())
}

/// Ends what was cancelled, running or waiting.
fn let_go(shared: &Shared, scheduler: &mut Scheduler) {
    let mut inbox = shared.inbox();
    let all = inbox.cancel_all;
    let (dropped, kept): (VecDeque<Job>, _) =
        inbox.waiting.drain(..).partition(|job| all || job.is_cancelled());
    inbox.waiting = kept;
    drop(inbox);
    for job in dropped {
        scheduler.drop_waiting(job);
    }
    scheduler.sweep(all);
}

/// Starts waiting jobs, the oldest first, while there is room. The inbox stays open meanwhile: a cache takes time to make.
fn admit(shared: &Shared, scheduler: &mut Scheduler) {
    let mut back = Vec::new();
    while scheduler.has_room() {
        let mut inbox = shared.inbox();
        let Some(job) = inbox.waiting.pop_front() else { break };
        inbox.tried = back.len() + 1;
        drop(inbox);
        match scheduler.start(job) {
            Start::Done => {}
            Start::Later(job) => back.push(job),
            Start::NoMemory(job) => {
                back.push(job);
                break;
            }
        }
    }
    let mut inbox = shared.inbox();
    inbox.tried = 0;
    for job in back.into_iter().rev() {
        inbox.waiting.push_front(job);
    }
}

/// When the thread ends, even by a panic, nobody shall wait for it.
struct CloseOnExit<'a>(&'a Shared);

impl Drop for CloseOnExit<'_> {
    fn drop(&mut self) {
        let mut inbox = self.0.inbox();
        inbox.closed = true;
        inbox.waiting.clear();
    }
}
