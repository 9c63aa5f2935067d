//! Work done ahead on other threads, handed over in order.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use crate::{Error, Result};

/// Results of jobs in the jobs' order, made ahead.
///
/// Jobs are dealt to the threads like cards: thread `k` of `n` does jobs `k`, `k + n`, … and has a queue of its own, so taking
/// from the queues in turn gives the jobs' order.
#[derive(Debug)]
pub struct Loader<T> {
    lanes: Vec<Lane<T>>,
    next: usize,
}

#[derive(Debug)]
struct Lane<T> {
    results: Receiver<Result<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Loader<T> {
    /// Starts `threads` threads that do `work` on `jobs`, each at most `ahead` results ahead of the reader. Every thread
    /// walks through the jobs on its own.
    ///
    /// # Errors
    /// When a thread cannot be started.
    #[allow(clippy::needless_pass_by_value, reason = "an iterator is handed over")]
    pub fn start<J>(
        jobs: impl Iterator<Item = J> + Clone + Send + 'static,
        work: impl Fn(J) -> Result<T> + Send + Sync + 'static,
        threads: usize,
        ahead: usize,
    ) -> std::io::Result<Self> {
        let (work, threads) = (Arc::new(work), threads.max(1));
        let lane = |lane: usize| {
            let (sender, results) = sync_channel(ahead.max(1));
            let (work, jobs) = (Arc::clone(&work), jobs.clone().skip(lane).step_by(threads));
            let run = move || {
                for job in jobs {
                    if sender.send(work(job)).is_err() {
                        return;
                    }
                }
            };
            let thread = thread::Builder::new().name(format!("loader-{lane}")).spawn(run)?;
            Ok(Lane { results, thread: Some(thread) })
        };
        Ok(Self { lanes: (0..threads).map(lane).collect::<std::io::Result<_>>()?, next: 0 })
    }
}

impl<T> Iterator for Loader<T> {
    type Item = Result<T>;

    /// The next result; `None` when there are no more jobs.
    fn next(&mut self) -> Option<Result<T>> {
        let count = self.lanes.len();
        let lane = self.lanes.get_mut(self.next % count.max(1))?;
        if let Ok(result) = lane.results.recv() {
            self.next += 1;
            return Some(result);
        }
        let died = lane.thread.take().is_some_and(|thread| thread.join().is_err());
        died.then_some(Err(Error::Thread { thread: "a loader thread" }))
    }
}

impl<T> Drop for Loader<T> {
    fn drop(&mut self) {
        for Lane { results, thread } in self.lanes.drain(..) {
            // Without a reader the thread ends at its next result.
            drop(results);
            // A panic was either told by `next` or concerns nobody any more.
            let _ = thread.map(JoinHandle::join);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_whatever_each_takes() {
        let work = |job: u64| {
            thread::sleep(Duration::from_micros(job * 7919 % 700));
            Ok(job)
        };
        for threads in [1, 2, 5] {
            let got: Vec<u64> = Loader::start(0..40, work, threads, 3).unwrap().map(Result::unwrap).collect();
            assert_eq!(got, (0..40).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    fn it_runs_ahead_but_not_away() {
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        let work = move |job: usize| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(job)
        };
        let mut loader = Loader::start(0.., work, 2, 3).unwrap();
        assert_eq!(loader.next().unwrap().unwrap(), 0);
        // Each thread fills its queue of three and holds one more; one result was taken.
        while done.load(Ordering::SeqCst) < 9 {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(30));
        assert_eq!(done.load(Ordering::SeqCst), 9);
        // Dropping it ends threads that wait for a reader.
        drop(loader);
    }

    #[test]
    fn errors_take_their_place_and_a_panic_is_told() {
        let work = |job: u32| match job {
            1 => Err(Error::setting("job", "another", job)),
            3 => panic!("as wanted"),
            _ => Ok(job),
        };
        let mut loader = Loader::start(0..9, work, 2, 2).unwrap();
        assert_eq!(loader.next().unwrap().unwrap(), 0);
        assert!(matches!(loader.next(), Some(Err(Error::Setting { .. }))));
        assert_eq!(loader.next().unwrap().unwrap(), 2);
        assert!(matches!(loader.next(), Some(Err(Error::Thread { .. }))));
        assert!(loader.next().is_none());
    }
}
