//! The threads that an instance runs on, and no others.

use std::thread::JoinHandle;

use jnana_plugin_sdk::{Code, Error};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// A rayon pool of a fixed size whose threads have ended once it is dropped. candle's CPU code takes the pool that it
/// is called from, so work under [`run`](Self::run) stays within the host's thread budget.
#[derive(Debug)]
pub(crate) struct Workers {
    /// Only `None` while it is dropped.
    pool: Option<ThreadPool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn new(count: usize) -> Result<Self, Error> {
        let mut threads = Vec::new();
        let pool = ThreadPoolBuilder::new()
            .num_threads(count.max(1))
            .spawn_handler(|worker| {
                let name = format!("vision-{}", worker.index());
                threads.push(std::thread::Builder::new().name(name).spawn(|| worker.run())?);
                Ok(())
            })
            .build()
            .map_err(|error| Error::new(Code::Resource, format!("cannot start {count} threads: {error}")))?;
        Ok(Self { pool: Some(pool), threads })
    }

    /// Runs `work` on the pool; the caller waits.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Dropping the pool tells its threads to end.
        self.pool = None;
        for thread in self.threads.drain(..) {
            // A worker's panic was already handed to the call that it belonged to.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_sees_only_the_threads_that_were_asked_for() {
        let workers = Workers::new(3).unwrap();
        assert_eq!(workers.run(rayon::current_num_threads), 3);
        assert_eq!(Workers::new(0).unwrap().run(rayon::current_num_threads), 1);
    }
}
