//! What is kept of a job beside its events.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jnana_api::jobs::{Command, Job, JobState, Promise};
use serde::{Deserialize, Serialize};

use super::Error;
use super::journal;
use super::process::Identity;
use crate::files::replace_private;
use crate::storage::now_ms;

/// A job as its file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// What people are told.
    pub(super) job: Job,
    /// What is run.
    pub(super) command: Command,
    /// What it should leave behind.
    pub(super) promises: Vec<Promise>,
    /// Its process, as long as it is not known to have ended.
    pub(super) process: Option<Identity>,
    /// When its process was asked to end; Unix milliseconds.
    pub(super) asked_to_end: Option<i64>,
}

impl Record {
    /// Notes in the job's `folder` where it stands from now on, and why.
    pub(super) fn shift(&mut self, folder: &Path, state: JobState, reason: &str) -> Result<(), Error> {
        self.job.state = state;
        reason.clone_into(&mut self.job.reason);
        match state {
            JobState::Running => self.job.started_at = Some(now_ms()),
            JobState::Queued | JobState::Stopping => {}
            _ => {
                self.process = None;
                self.job.ended_at = Some(now_ms());
            }
        }
        self.save(folder)?;
        journal::note(folder, state, reason)
    }

    /// Writes it into the job's `folder`.
    pub(super) fn save(&mut self, folder: &Path) -> Result<(), Error> {
        self.job.process = self.process.as_ref().map(|process| process.id);
        let path = folder.join("job.json");
        let text = serde_json::to_vec_pretty(self).map_err(|error| Error::io(&path)(error.into()))?;
        replace_private(&path, &text).map_err(Error::io(&path))
    }
}

/// The folder of a job's process.
pub(super) fn work(folder: &Path) -> PathBuf {
    folder.join("work")
}

/// The log of a job's process.
pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// All that can be read in the folder of jobs, by id.
pub(super) fn all(folder: &Path) -> Result<BTreeMap<String, Record>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Error::io(folder)(error)),
    };
    let mut records = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(Error::io(folder))?.path();
        match read(&path) {
            Ok(record) => drop(records.insert(record.job.id.clone(), record)),
            Err(error) => tracing::warn!(%error, folder = %path.display(), "no job can be read there"),
        }
    }
    Ok(records)
}

fn read(folder: &Path) -> std::io::Result<Record> {
    let record: Record = serde_json::from_slice(&std::fs::read(folder.join("job.json"))?)?;
    match folder.file_name().is_some_and(|name| name == record.job.id.as_str()) {
        true => Ok(record),
        false => Err(std::io::Error::other(format!("it says that it is job {}", record.job.id))),
    }
}
