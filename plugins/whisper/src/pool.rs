//! Recognisers on threads of their own, and the thread budget that they share.
//!
//! A window is recognised on a worker thread while the caller waits for it. So a caller that cancels gets its thread back at
//! once, although whisper.cpp looks at its abort callback only between the encoder and each token; and nothing that the
//! caller lent outlives the call. A worker gives its threads back when it is really done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use whisper_rs::{WhisperContext, WhisperError};

use crate::recogniser::{Options, Piece, Recogniser, Task};

/// How often a waiting caller looks whether it was cancelled.
const GLANCE: Duration = Duration::from_millis(10);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    /// The caller wants none.
    #[error("cancelled")]
    Cancelled,
    /// whisper.cpp failed.
    #[error("whisper.cpp: {0}")]
    Whisper(#[from] WhisperError),
    /// A worker thread is gone.
    #[error("the recogniser's thread has ended")]
    Ended,
}

/// One piece of work.
pub(crate) enum Work {
    /// A window into text.
    Transcribe(Task),
    /// The start of a recording into probabilities of languages.
    Languages(Vec<f32>),
}

/// What a worker made of it.
pub(crate) enum Done {
    /// Of [`Work::Transcribe`].
    Pieces(Vec<Piece>),
    /// Of [`Work::Languages`].
    Probabilities(Vec<f32>),
}

struct Job {
    work: Work,
    threads: usize,
    reply: SyncSender<Result<Done, PoolError>>,
}

struct Worker {
    jobs: Option<Sender<Job>>,
    abort: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is free at the moment.
struct Free {
    workers: Vec<usize>,
    threads: usize,
    /// Calls that are going on; they share the budget.
    calls: usize,
}

struct Shared {
    free: Mutex<Free>,
    changed: Condvar,
}

/// All workers of an instance. Dropping it stops and joins them.
pub(crate) struct Pool {
    workers: Vec<Worker>,
    shared: Arc<Shared>,
    budget: usize,
}

impl Pool {
    /// Starts `workers` threads; the first has its state ready when this returns.
    pub(crate) fn start(
        context: &Arc<WhisperContext>,
        options: Options,
        workers: usize,
        budget: usize,
    ) -> Result<Self, WhisperError> {
        let free = Free { workers: (0..workers).collect(), threads: budget, calls: 0 };
        let shared = Arc::new(Shared { free: Mutex::new(free), changed: Condvar::new() });
        let mut pool = Self { workers: Vec::with_capacity(workers), shared, budget };
        for index in 0..workers {
            let abort = Arc::new(AtomicBool::new(false));
            let mut recogniser = None;
            if index == 0 {
                recogniser = Some(Recogniser::new(context, options, Arc::clone(&abort))?);
            }
            let (jobs, queue) = mpsc::channel();
            let (shared, context, flag) = (Arc::clone(&pool.shared), Arc::clone(context), Arc::clone(&abort));
            let thread = std::thread::spawn(move || {
                let make = || Recogniser::new(&context, options, Arc::clone(&flag));
                serve(&queue, recogniser, make, |threads| shared.give_back(index, threads));
            });
            pool.workers.push(Worker { jobs: Some(jobs), abort, thread: Some(thread) });
        }
        Ok(pool)
    }

    /// Counts a call for as long as the guard lives.
    pub(crate) fn enter(&self) -> Visit<'_> {
        self.shared.lock().calls += 1;
        Visit { pool: self }
    }
}

/// A call that is going on.
pub(crate) struct Visit<'a> {
    pool: &'a Pool,
}

impl Visit<'_> {
    /// Has work done by the next free worker.
    pub(crate) fn run(&self, work: Work, cancelled: impl Fn() -> bool) -> Result<Done, PoolError> {
        let (index, threads) = self.acquire(&cancelled)?;
        let worker = &self.pool.workers[index];
        worker.abort.store(false, Ordering::Relaxed);
        let (reply, answer) = mpsc::sync_channel(1);
        let jobs = worker.jobs.as_ref().ok_or(PoolError::Ended)?;
        jobs.send(Job { work, threads, reply }).map_err(|_| PoolError::Ended)?;
        loop {
            match answer.recv_timeout(GLANCE) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(PoolError::Ended),
                Err(RecvTimeoutError::Timeout) if cancelled() => {
                    worker.abort.store(true, Ordering::Relaxed);
                    return Err(PoolError::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Waits for a worker and this call's share of the threads: all for a single call, half each for two.
    fn acquire(&self, cancelled: impl Fn() -> bool) -> Result<(usize, usize), PoolError> {
        let shared = &self.pool.shared;
        let mut free = shared.lock();
        loop {
            if cancelled() {
                return Err(PoolError::Cancelled);
            }
            let share = (self.pool.budget / free.calls.clamp(1, self.pool.workers.len())).max(1);
            if free.threads >= share
                && let Some(index) = free.workers.pop()
            {
                free.threads -= share;
                return Ok((index, share));
            }
            free =
                shared.changed.wait_timeout(free, GLANCE).map_or_else(|e| e.into_inner().0, |(free, _)| free);
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.pool.shared.lock().calls -= 1;
        self.pool.shared.changed.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.abort.store(true, Ordering::Relaxed);
            worker.jobs = None;
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                thread.join().ok();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, worker: usize, threads: usize) {
        let mut free = self.lock();
        free.workers.push(worker);
        free.threads += threads;
        self.changed.notify_all();
    }
}

/// A worker's life: takes jobs until the pool hangs up. Its recogniser is made for the first job at the latest.
fn serve(
    queue: &Receiver<Job>,
    mut recogniser: Option<Recogniser>,
    make: impl Fn() -> Result<Recogniser, WhisperError>,
    give_back: impl Fn(usize),
) {
    for job in queue {
        if recogniser.is_none() {
            recogniser = make().inspect_err(|error| log::error!("no further recogniser: {error}")).ok();
        }
        let result = match recogniser.as_mut() {
            None => Err(PoolError::Whisper(WhisperError::FailedToCreateState)),
            Some(recogniser) => work(recogniser, &job.work, job.threads),
        };
        give_back(job.threads);
        // The caller may have gone: then nobody wants the answer.
        job.reply.send(result).ok();
    }
}

fn work(recogniser: &mut Recogniser, work: &Work, threads: usize) -> Result<Done, PoolError> {
    Ok(match work {
        Work::Transcribe(task) => Done::Pieces(recogniser.transcribe(task, threads)?),
        Work::Languages(samples) => Done::Probabilities(recogniser.languages(samples, threads)?),
    })
}
