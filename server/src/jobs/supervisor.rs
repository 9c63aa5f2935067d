//! Looks after the processes of jobs: starts what waits, follows what runs, and says of what ended how it did.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use jnana_api::jobs::{JobEvent, JobState, Progress};

use super::journal::Tail;
use super::process::Identity;
use super::{Error, Jobs, journal, process, products, record};
use crate::storage::now_ms;

/// How often it is looked while something waits or runs.
const LOOK: Duration = Duration::from_millis(200);
/// Jobs that run at the same time: one has the machine to itself.
const AT_ONCE: usize = 1;
/// How long a process may take to end in good order, in milliseconds: a checkpoint of a large model takes its time.
const PATIENCE: i64 = 60_000;
/// Where in the log the last words are looked for, in bytes.
const LAST_WORDS: u64 = 4096;

/// Looks after the jobs until the program ends. Their processes go on without it.
pub async fn supervise(jobs: Arc<Jobs>) {
    let mut watches = Watches::new();
    loop {
        let looked = {
            let jobs = jobs.clone();
            let look = move || {
                let is_busy = look(&jobs, &mut watches);
                (watches, is_busy)
            };
            tokio::task::spawn_blocking(look).await
        };
        let is_busy = match looked {
            Ok((after, is_busy)) => {
                watches = after;
                is_busy
            }
            Err(error) => {
                tracing::error!(%error, "looking after the jobs failed; it is begun anew");
                watches = Watches::new();
                true
            }
        };
        match is_busy {
            true => tokio::time::sleep(LOOK).await,
            false => jobs.changed.notified().await,
        }
    }
}

/// By the job's id.
type Watches = HashMap<String, Watch>;

/// A process that is looked after.
struct Watch {
    /// Only this program's own processes tell how they ended.
    child: Option<Child>,
    tail: Tail,
    progress: Option<Progress>,
    end: Option<End>,
}

/// What a process said at its end.
#[derive(Debug)]
struct End {
    reason: String,
    message: Option<String>,
}

/// How a process ended, as far as the system tells.
#[derive(Debug, Clone, Copy)]
enum Exit {
    Code(i32),
    Signal(i32),
    /// It was another program's child.
    Unknown,
}

impl Watch {
    fn of(jobs: &Jobs, id: &str, child: Option<Child>) -> Self {
        Self { child, tail: jobs.tail(id), progress: None, end: None }
    }

    /// How the process ended; none while it runs.
    fn exit(&mut self, process: Option<&Identity>) -> Option<Exit> {
        let Some(child) = &mut self.child else {
            return (!process.is_some_and(Identity::lives)).then_some(Exit::Unknown);
        };
        match child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => {
                let signal = status.signal().map(Exit::Signal);
                Some(signal.or(status.code().map(Exit::Code)).unwrap_or(Exit::Unknown))
            }
            Err(error) => {
                tracing::warn!(%error, "a job's process cannot be waited for");
                Some(Exit::Unknown)
            }
        }
    }

    /// Takes up what the process said since the last look.
    fn listen(&mut self) {
        loop {
            let lines = self.tail.read().unwrap_or_else(|error| {
                tracing::warn!(%error, "a job's events cannot be read");
                Vec::new()
            });
            if lines.is_empty() {
                return;
            }
            lines.iter().filter_map(journal::Line::event).for_each(|event| self.take(event));
        }
    }

    fn take(&mut self, event: JobEvent) {
        match event {
            // What an earlier process said of its end is past.
            JobEvent::State { state: JobState::Running, .. } => self.end = None,
            JobEvent::Start { step, steps } => self.progress = Some(Progress { step, steps }),
            JobEvent::Step(step) => {
                if let Some(progress) = &mut self.progress {
                    progress.step = step.step;
                }
            }
            JobEvent::End { reason, message, .. } => self.end = Some(End { reason, message }),
            _ => {}
        }
    }
}

/// One look at everything; whether another one is due soon.
fn look(jobs: &Jobs, watches: &mut Watches) -> bool {
    let running: Vec<String> = ids(jobs, |state| matches!(state, JobState::Running | JobState::Stopping));
    let mut left = running.len();
    for id in &running {
        match follow(jobs, id, watches) {
            Ok(true) => {}
            Ok(false) => left -= 1,
            Err(error) => tracing::error!(%error, job = id, "a job cannot be looked after"),
        }
    }
    let waiting = ids(jobs, |state| state == JobState::Queued);
    for id in waiting.iter().take(AT_ONCE.saturating_sub(left)) {
        if let Err(error) = begin(jobs, id, watches) {
            tracing::error!(%error, job = id, "a job cannot be started");
        }
    }
    !running.is_empty() || !waiting.is_empty()
}

/// Ids of jobs, the oldest first.
fn ids(jobs: &Jobs, wanted: impl Fn(JobState) -> bool) -> Vec<String> {
    let records = jobs.records();
    records.iter().filter(|(_, record)| wanted(record.job.state)).map(|(id, _)| id.clone()).collect()
}

/// Starts a job that waits. One that cannot be started has failed.
fn begin(jobs: &Jobs, id: &str, watches: &mut Watches) -> Result<(), Error> {
    let mut records = jobs.records();
    let record = super::find(&mut records, id)?;
    let folder = jobs.of(id);
    // Stopped in the meantime.
    if record.job.state != JobState::Queued {
        return Ok(());
    }
    // Before it says anything itself: two do not write into one file at the same time.
    record.shift(&folder, JobState::Running, "")?;
    let child = match process::start(&record.command, &folder) {
        Ok(child) => child,
        Err(error) => {
            let words = format!("{} cannot be started: {error}", record.command.program);
            return record.shift(&folder, JobState::Failed, &words);
        }
    };
    tracing::info!(job = id, process = child.id(), "a job is started");
    record.process = Identity::of(child.id());
    watches.insert(id.to_owned(), Watch::of(jobs, id, Some(child)));
    record.save(&folder)
}

/// Looks at a job that runs, or ran when this program was started; whether it still does.
fn follow(jobs: &Jobs, id: &str, watches: &mut Watches) -> Result<bool, Error> {
    let record = super::find(&mut jobs.records(), id)?.clone();
    let watch = watches.entry(id.to_owned()).or_insert_with(|| Watch::of(jobs, id, None));
    // In this order: what it said before its end is then in its file.
    let exit = watch.exit(record.process.as_ref());
    watch.listen();
    if let Ok(record) = super::find(&mut jobs.records(), id) {
        record.job.progress = watch.progress.or(record.job.progress);
    }
    let Some(exit) = exit else {
        let is_over = record.asked_to_end.is_some_and(|asked| now_ms() - asked > PATIENCE);
        if let Some(process) = record.process.as_ref().filter(|_| is_over) {
            process.kill();
        }
        return Ok(true);
    };
    let folder = jobs.of(id);
    let log = journal::end_of(&record::log(&folder), LAST_WORDS).unwrap_or_default();
    let last_words = log.trim().lines().last().unwrap_or_default();
    let (state, reason) = outcome(watch.end.as_ref(), exit, record.asked_to_end.is_some(), last_words);
    watches.remove(id);
    // Outside of the lock: a model of many gigabytes takes its time.
    let products = match state {
        JobState::Finished => products::of(&record.promises, &record::work(&folder)),
        _ => Vec::new(),
    };
    tracing::info!(job = id, ?state, reason, "a job has ended");
    let mut records = jobs.records();
    let record = super::find(&mut records, id)?;
    record.job.products = products;
    record.shift(&folder, state, &reason).map(|()| false)
}

/// Where a job stands whose process has ended, and why.
fn outcome(end: Option<&End>, exit: Exit, is_asked: bool, last_words: &str) -> (JobState, String) {
    let said = |end: &End| end.message.clone().unwrap_or_default();
    match (end, end.map(|end| end.reason.as_str()), exit) {
        (Some(end), Some("finished"), _) => (JobState::Finished, said(end)),
        (Some(_), Some("early"), _) => {
            (JobState::Finished, "before its last step, since nothing got better any more".to_owned())
        }
        _ if is_asked => (JobState::Stopped, String::new()),
        (Some(end), Some("failed"), _) => (JobState::Failed, said(end)),
        (Some(_), ..) => (JobState::Interrupted, "something asked its process to end".to_owned()),
        (None, _, Exit::Signal(signal)) => {
            let words = format!("its process was ended by signal {signal}; 9 is often a lack of memory");
            (JobState::Interrupted, words)
        }
        (None, _, Exit::Code(0)) => {
            (JobState::Failed, "its process ended without a word of success".to_owned())
        }
        (None, _, Exit::Code(code)) if last_words.is_empty() => {
            (JobState::Failed, format!("its process ended with status {code}"))
        }
        (None, _, Exit::Code(_)) => (JobState::Failed, last_words.to_owned()),
        (None, _, Exit::Unknown) => {
            let words = "its process is gone: it was killed, or the machine went down. Its log says more";
            (JobState::Interrupted, words.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(reason: &str) -> End {
        End { reason: reason.to_owned(), message: Some("why".to_owned()) }
    }

    #[test]
    fn what_a_process_says_and_how_it_ends_decide_where_its_job_stands() {
        use JobState::{Failed, Finished, Interrupted, Stopped};
        let cases = [
            (Some("finished"), Exit::Code(0), false, Finished),
            (Some("finished"), Exit::Unknown, true, Finished),
            (Some("early"), Exit::Code(0), false, Finished),
            (Some("failed"), Exit::Code(1), false, Failed),
            (Some("failed"), Exit::Code(1), true, Stopped),
            (Some("interrupted"), Exit::Code(0), true, Stopped),
            (Some("interrupted"), Exit::Code(0), false, Interrupted),
            (None, Exit::Signal(9), false, Interrupted),
            (None, Exit::Signal(9), true, Stopped),
            (None, Exit::Code(0), false, Failed),
            (None, Exit::Code(2), false, Failed),
            (None, Exit::Unknown, false, Interrupted),
            (None, Exit::Unknown, true, Stopped),
        ];
        for (reason, exit, is_asked, expected) in cases {
            let end = reason.map(end);
            let (state, words) = outcome(end.as_ref(), exit, is_asked, "");
            assert_eq!(state, expected, "{reason:?} {exit:?} {is_asked}");
            assert!(state == Stopped || !words.is_empty(), "{reason:?} {exit:?}");
        }
        assert_eq!(outcome(None, Exit::Code(1), false, "no data").1, "no data");
    }

    #[test]
    fn the_end_of_an_earlier_process_is_not_that_of_the_next() {
        let home = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(home.path()).unwrap();
        let mut watch = Watch::of(&jobs, "a", None);
        watch.take(JobEvent::Start { step: 0, steps: 60 });
        watch.take(JobEvent::End { step: 9, reason: "interrupted".to_owned(), message: None });
        watch.take(JobEvent::State { state: JobState::Running, reason: String::new(), time: 0 });
        assert!(watch.end.is_none());
        assert_eq!(watch.progress, Some(Progress { step: 0, steps: 60 }));
    }
}
