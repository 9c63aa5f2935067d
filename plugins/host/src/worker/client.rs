//! A plugin's instance in a worker, as the host sees it.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Start;
use super::keeper::Keeper;
use super::lane::{Lane, Watch};
use super::wire::{self, Call, Cancel, Hello, Name};
use crate::call::CancelFlag;
use crate::collect::Accepts;
use crate::faults::Faults;
use crate::input::Prepared;
use crate::native::Function;
use crate::runner::Answer;
use crate::sealed::Sealed;

/// How long a word to a worker may take that does not read it.
const TELL: Duration = Duration::from_secs(1);

/// What every worker of a plugin is started with.
pub(crate) struct Recipe {
    pub(crate) start: Start,
    pub(crate) library: Sealed,
    pub(crate) hello: Hello,
    pub(crate) lanes: u32,
    pub(crate) faults: Arc<Faults>,
}

/// A worker with a live instance. Dropping it ends the process.
pub(crate) struct Worker {
    keeper: Keeper,
    control: UnixStream,
    lanes: Mutex<Vec<Lane>>,
    next_call: AtomicU64,
    limit: Duration,
    /// The status line of the instance, as of its last call.
    line: Mutex<String>,
    /// What the sandbox cannot hold back.
    gaps: String,
}

impl Worker {
    /// Starts a worker and waits until its instance is made.
    pub(crate) fn start(recipe: &Recipe) -> Result<Self, String> {
        let failed = |error: io::Error| format!("making the sockets of a worker: {error}");
        std::fs::create_dir_all(&recipe.hello.cache_dir)
            .map_err(|error| format!("making {}: {error}", recipe.hello.cache_dir.display()))?;
        let (control, theirs) = UnixStream::pair().map_err(failed)?;
        let mut sockets = vec![OwnedFd::from(theirs)];
        let mut lanes = Vec::new();
        for index in 0..recipe.lanes as usize {
            let (ours, theirs) = UnixStream::pair().map_err(failed)?;
            lanes.push(Lane::new(index, ours).map_err(failed)?);
            sockets.push(theirs.into());
        }
        let library = recipe.library.handle().map_err(failed)?;
        let (hearing, faults) = (control.try_clone().map_err(failed)?, Arc::clone(&recipe.faults));
        let keeper = Keeper::start(&recipe.start, library, hearing, sockets, faults)?;
        if let Err(error) = wire::send(&mut &control, &recipe.hello, &[]) {
            return Err(keeper.death_after(&format!("it took no settings: {error}")));
        }
        control.set_write_timeout(Some(TELL)).map_err(failed)?;
        let (line, gaps) = match keeper.ready(recipe.start.limits.create) {
            Ok(ready) => ready,
            Err(reason) => {
                keeper.end("its instance could not be made");
                return Err(reason);
            }
        };
        if !gaps.is_empty() {
            tracing::warn!(plugin = recipe.start.plugin, "the sandbox of the worker has a gap: {gaps}");
        }
        Ok(Self {
            keeper,
            control,
            lanes: Mutex::new(lanes),
            next_call: AtomicU64::new(1),
            limit: recipe.start.limits.call,
            line: Mutex::new(line),
            gaps,
        })
    }

    /// Calls a function. No more calls may run at a time than there are lanes.
    pub(crate) fn call(
        &self,
        function: &Function<'_>,
        input: &Prepared<'_>,
        accepts: Accepts,
        cancel: &CancelFlag,
    ) -> Answer {
        let lane = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(lane) = lane else {
            return Answer::Died("more calls came than it can take at a time".to_owned());
        };
        let call = self.describe(function, input, &accepts);
        let tell = || self.cancel(lane.index, call.call);
        let mut watch = Watch::new(cancel, &tell, self.limit);
        match lane.call(&call, input.bytes(), accepts, &mut watch) {
            Ok((answer, line)) => {
                *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
                self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
                answer
            }
            Err(error) => Answer::Died(self.end(&error)),
        }
    }

    fn describe(&self, function: &Function<'_>, input: &Prepared<'_>, accepts: &Accepts) -> Call {
        let (name, options) = match function {
            Function::Encode => (Name::Encode, String::new()),
            Function::Features => (Name::Features, String::new()),
            Function::Transcribe { options } => (Name::Transcribe, options.to_string_lossy().into_owned()),
            Function::JobKinds => (Name::JobKinds, String::new()),
            Function::PrepareJob => (Name::PrepareJob, String::new()),
        };
        let expected = match accepts {
            Accepts::Tensor(expected) => Some(*expected),
            Accepts::Nothing | Accepts::Text(_) => None,
        };
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        Call { call, function: name, options, expected, input: input.head() }
    }

    fn cancel(&self, lane: usize, call: u64) {
        // A worker that does not take it is ended when the call does not.
        if let Err(error) = wire::send(&mut &self.control, &Cancel { lane, call }, &[]) {
            tracing::debug!(%error, "a worker did not take that a call was cancelled");
        }
    }

    /// Ends a worker whose lane failed; the answer says why.
    fn end(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::TimedOut => self.keeper.end(&error.to_string()),
            io::ErrorKind::InvalidData => self.keeper.end(&format!("it broke the rules of workers: {error}")),
            _ => self.keeper.death_after(&format!("its worker cannot be reached: {error}")),
        }
    }

    /// The status line.
    pub(crate) fn status(&self) -> String {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (line.as_str(), self.gaps.as_str()) {
            (_, "") => line,
            ("", gaps) => gaps.to_owned(),
            (line, gaps) => format!("{line}; {gaps}"),
        }
    }

    /// How the worker ended, if it has.
    pub(crate) fn death(&self) -> Option<String> {
        self.keeper.death()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of the stream asks the worker to destroy the instance and end; it has some time for it.
        let _ = self.control.shutdown(Shutdown::Write);
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.keeper.death_after("it did not end when it was asked to");
    }
}
