//! The log of what administrators did: one JSON object a line, for ever, readable by the owner only.
//!
//! A line is written before the thing is done, and nothing is done that cannot be written down.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Error;
use crate::files::append_private;
use crate::storage::now_ms;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A new token was made.
    TokenMade,
    /// Somebody brought the token.
    SignedIn,
    /// Somebody brought another one.
    SignInRefused,
    /// A call that changes something is about to be carried out.
    Asked,
    /// That call was answered.
    Answered,
    /// A call that would change something came without the proof that the session's page sent it.
    Refused,
}

/// A line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// Address of the caller; absent at the terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Name of the session; it opens nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Method and path of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Entry {
    /// An entry that says no more than this.
    #[must_use]
    pub fn of(event: Event) -> Self {
        Self { event, from: None, session: None, action: None, status: None }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    /// Unix milliseconds.
    at: i64,
    #[serde(flatten)]
    entry: &'a Entry,
}

/// The log.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
}

impl Audit {
    pub(super) fn of(folder: &Path) -> Self {
        Self { path: folder.join("audit.jsonl") }
    }

    /// Adds a line, in one write at the file's end: lines of several processes do not mix. The file is opened each time, so
    /// that it can be moved away.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, entry: &Entry) -> Result<(), Error> {
        let error = |source| Error::Io { path: self.path.clone(), source };
        let line = serde_json::to_string(&Line { at: now_ms(), entry });
        let line = line.map_err(|reason| error(reason.into()))? + "\n";
        append_private(&self.path, line.as_bytes()).map_err(error)
    }

    /// The same, off the async threads.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn note(&self, entry: Entry) -> Result<(), Error> {
        let audit = self.clone();
        let writing = tokio::task::spawn_blocking(move || audit.write(&entry));
        writing.await.map_err(|error| Error::Thread(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_a_line_with_its_time() {
        let home = tempfile::tempdir().unwrap();
        let audit = Audit::of(&home.path().join("admin"));
        audit.write(&Entry::of(Event::TokenMade)).unwrap();
        let action = Some("POST /a\n\"b\"".to_owned());
        audit.write(&Entry { action, status: Some(204), ..Entry::of(Event::Answered) }).unwrap();
        let text = std::fs::read_to_string(&audit.path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0]["at"].as_i64().unwrap() > 1_700_000_000_000);
        assert_eq!(lines[0]["event"], "token-made");
        assert!(lines[0].get("from").is_none());
        assert_eq!(lines[1]["action"], "POST /a\n\"b\"");
        assert_eq!(lines[1]["status"], 204);
        #[cfg(unix)]
        {
            let mode = std::fs::metadata(&audit.path).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        }
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("admin"), "a file where the folder should be").unwrap();
        let audit = Audit::of(&home.path().join("admin"));
        assert!(audit.write(&Entry::of(Event::SignedIn)).is_err());
    }
}
