//! Long work of plugins: a queue, and a process for each job that outlives this program.
//!
//! A job is a folder, `jobs/ID` in the home folder:
//!
//! ```text
//! job.json       what it is and where it stands: [`record`]
//! events.jsonl   what its process says on standard output, and where the job stood when: [`journal`]
//! log            what its process says on standard error
//! work/          the process's own
//! ```
//!
//! [`planner`] asks plugins what there is to do and what is to be run, [`process`] runs it, [`supervisor`] looks after what runs.
//! Whatever happens to this program, the folder says what was, and the process is known by its number and its time of birth:
//! the next start goes on looking after it, or finds it gone.

mod journal;
mod planner;
mod process;
mod products;
mod record;
mod supervisor;

pub use journal::{Line, Tail};
pub use planner::Planner;
pub use supervisor::supervise;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jnana_api::jobs::{Job, JobState, NewJob, Plan, Preview};
use tokio::sync::Notify;

use crate::error::ApiError;
use crate::storage::{new_id, now_ms};
use record::Record;

/// Folder in the home folder.
const FOLDER: &str = "jobs";

/// What went wrong with a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such job.
    #[error("there is no job {0}")]
    NotFound(String),
    /// The job stands where this is not possible.
    #[error("{0}")]
    Conflict(String),
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) => Self::not_found(error.to_string()),
            Error::Conflict(words) => Self::conflict(words),
            Error::Io { .. } => Self::internal(error),
        }
    }
}

/// All jobs. Every function may wait for the disk.
#[derive(Debug)]
pub struct Jobs {
    folder: PathBuf,
    /// By id, which sorts them by age.
    records: Mutex<BTreeMap<String, Record>>,
    /// Something is to be done for the supervisor.
    changed: Notify,
}

/// A folder for a job that may come of it; gone when nothing does.
#[derive(Debug)]
pub struct Draft {
    id: String,
    folder: PathBuf,
    is_kept: bool,
}

impl Draft {
    /// The folder of the process.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        record::work(&self.folder)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = std::fs::remove_dir_all(&self.folder)
        {
            tracing::warn!(%error, folder = %self.folder.display(), "the folder of a job that never was stays behind");
        }
    }
}

impl Jobs {
    /// Reads the jobs in `home`. One that cannot be read is left alone, and written down in the log.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(home: &Path) -> Result<Self, Error> {
        let folder = home.join(FOLDER);
        let records = record::all(&folder)?;
        Ok(Self { folder, records: Mutex::new(records), changed: Notify::new() })
    }

    /// The folder of all jobs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All jobs, the newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Job> {
        self.records().values().rev().map(|record| record.job.clone()).collect()
    }

    /// A job.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn get(&self, id: &str) -> Result<Job, Error> {
        Ok(find(&mut self.records(), id)?.job.clone())
    }

    /// Makes a folder to plan a job in.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn draft(&self) -> Result<Draft, Error> {
        let id = new_id();
        let folder = self.folder.join(&id);
        let work = record::work(&folder);
        std::fs::create_dir_all(&work).map_err(Error::io(&work))?;
        Ok(Draft { id, folder, is_kept: false })
    }

    /// Puts a job whose plan has a command into the queue.
    ///
    /// # Errors
    /// 422 for a plan that is a refusal, in its words; 500 when it cannot be written down.
    pub fn enqueue(&self, mut draft: Draft, new: NewJob, plan: Plan) -> Result<Job, ApiError> {
        let Some(command) = plan.command else {
            let words = plan.refusal.unwrap_or_default();
            return Err(ApiError::with_status(axum::http::StatusCode::UNPROCESSABLE_ENTITY, words));
        };
        let job = Job {
            id: draft.id.clone(),
            plugin: new.plugin,
            kind: new.kind,
            title: new.title,
            settings: new.settings,
            state: JobState::Queued,
            reason: String::new(),
            resumable: plan.resumable,
            created_at: now_ms(),
            started_at: None,
            ended_at: None,
            process: None,
            progress: None,
            estimate: plan.estimate,
            findings: plan.findings,
            products: Vec::new(),
        };
        let mut record = Record { job, command, promises: plan.products, process: None, asked_to_end: None };
        record.shift(&draft.folder, JobState::Queued, "")?;
        draft.is_kept = true;
        let job = record.job.clone();
        self.records().insert(job.id.clone(), record);
        self.changed.notify_one();
        Ok(job)
    }

    /// Asks the process of a job to end, or takes one that waits out of the queue.
    ///
    /// # Errors
    /// When it is not there, has ended already, or this cannot be written down.
    pub fn stop(&self, id: &str) -> Result<Job, Error> {
        let mut records = self.records();
        let record = find(&mut records, id)?;
        match record.job.state {
            JobState::Queued => record.shift(&self.of(id), JobState::Stopped, "before it was started")?,
            JobState::Running => {
                record.asked_to_end = Some(now_ms());
                record.shift(&self.of(id), JobState::Stopping, "")?;
                if let Some(process) = &record.process {
                    process.ask_to_end();
                }
            }
            JobState::Stopping => {}
            _ => return Err(Error::Conflict("the job does not run: there is nothing to stop".to_owned())),
        }
        self.changed.notify_one();
        Ok(record.job.clone())
    }

    /// Puts a job that ended before its time into the queue again.
    ///
    /// # Errors
    /// When it is not there, runs, has finished, or this cannot be written down.
    pub fn resume(&self, id: &str) -> Result<Job, Error> {
        let mut records = self.records();
        let record = find(&mut records, id)?;
        if !record.job.state.can_resume() {
            let words = match record.job.state {
                JobState::Finished => "the job has finished: start another one",
                _ => "the job waits or runs already",
            };
            return Err(Error::Conflict(words.to_owned()));
        }
        record.asked_to_end = None;
        record.shift(&self.of(id), JobState::Queued, "")?;
        self.changed.notify_one();
        Ok(record.job.clone())
    }

    /// Removes a job with all that it left behind.
    ///
    /// # Errors
    /// When it is not there, is not over, or its folder cannot be removed.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let mut records = self.records();
        if find(&mut records, id)?.job.state.is_active() {
            return Err(Error::Conflict("the job is not over: stop it first".to_owned()));
        }
        let folder = self.of(id);
        std::fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
        records.remove(id);
        Ok(())
    }

    /// The events of a job, from its first.
    #[must_use]
    pub fn tail(&self, id: &str) -> Tail {
        Tail::of(&self.of(id))
    }

    /// The end of a job's log, at most `most` bytes.
    ///
    /// # Errors
    /// When there is no such job, or the file cannot be read.
    pub fn log(&self, id: &str, most: u64) -> Result<String, Error> {
        self.get(id)?;
        let path = record::log(&self.of(id));
        journal::end_of(&path, most).map_err(Error::io(&path))
    }

    fn of(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<'a>(records: &'a mut BTreeMap<String, Record>, id: &str) -> Result<&'a mut Record, Error> {
    records.get_mut(id).ok_or_else(|| Error::NotFound(id.to_owned()))
}

/// What a plan says before anything is started.
#[must_use]
pub fn preview(plan: Plan) -> Preview {
    Preview { refusal: plan.refusal, estimate: plan.estimate, findings: plan.findings }
}

#[cfg(test)]
mod tests {
    use jnana_api::jobs::Command;

    use super::*;

    fn plan(refusal: Option<&str>) -> Plan {
        let command = Command { program: "/bin/true".to_owned(), arguments: vec![] };
        Plan {
            command: refusal.is_none().then_some(command),
            refusal: refusal.map(str::to_owned),
            ..Plan::default()
        }
    }

    fn new() -> NewJob {
        let name = |name: &str| name.to_owned();
        NewJob { plugin: name("p"), kind: name("k"), title: name("t"), settings: serde_json::Map::new() }
    }

    #[test]
    fn a_job_waits_is_stopped_and_waits_again_over_restarts() {
        let home = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(home.path()).unwrap();
        let first = jobs.enqueue(jobs.draft().unwrap(), new(), plan(None)).unwrap();
        let second = jobs.enqueue(jobs.draft().unwrap(), new(), plan(None)).unwrap();
        assert!(matches!(jobs.remove(&first.id), Err(Error::Conflict(_))));
        assert!(matches!(jobs.resume(&first.id), Err(Error::Conflict(_))));
        assert_eq!(jobs.stop(&first.id).unwrap().state, JobState::Stopped);
        assert!(matches!(jobs.stop(&first.id), Err(Error::Conflict(_))));

        let jobs = Jobs::open(home.path()).unwrap();
        let ids: Vec<String> = jobs.list().into_iter().map(|job| job.id).collect();
        assert_eq!(ids, [second.id.clone(), first.id.clone()]);
        assert_eq!(jobs.get(&first.id).unwrap().state, JobState::Stopped);
        assert_eq!(jobs.resume(&first.id).unwrap().state, JobState::Queued);
        let states: Vec<String> =
            jobs.tail(&first.id).read().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(states.len(), 3);
        assert!(states[1].contains(r#""state":"stopped""#) && states[1].contains(r#""seq":2"#), "{states:?}");

        jobs.stop(&first.id).unwrap();
        jobs.remove(&first.id).unwrap();
        assert!(matches!(jobs.get(&first.id), Err(Error::NotFound(_))));
        assert!(!jobs.of(&first.id).exists());
    }

    #[test]
    fn a_refused_job_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(home.path()).unwrap();
        let error = jobs.enqueue(jobs.draft().unwrap(), new(), plan(Some("no data"))).unwrap_err();
        assert_eq!((error.status.as_u16(), error.message.as_str()), (422, "no data"));
        assert!(jobs.list().is_empty());
        assert_eq!(std::fs::read_dir(jobs.folder()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_job_does_not_hide_the_others() {
        let home = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(home.path()).unwrap();
        let job = jobs.enqueue(jobs.draft().unwrap(), new(), plan(None)).unwrap();
        let damaged = jobs.folder().join("damaged");
        std::fs::create_dir(&damaged).unwrap();
        std::fs::write(damaged.join("job.json"), "{").unwrap();
        assert_eq!(Jobs::open(home.path()).unwrap().list(), [job]);
    }
}
