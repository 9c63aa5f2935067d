//! A job's events: a file to which its process writes while it runs, and this program while it does not. A line's number is the
//! event's, so that it is the same for every reader and after every restart.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jnana_api::jobs::{JobEvent, JobState};
use serde_json::{Map, Value};

use super::Error;
use crate::files::append_private;
use crate::storage::now_ms;

/// Most bytes that are taken in one look.
const LOOK: u64 = 1 << 20;

/// The file in a job's folder.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("events.jsonl")
}

/// Adds where the job stands.
pub(super) fn note(folder: &Path, state: JobState, reason: &str) -> Result<(), Error> {
    let path = path(folder);
    let event = JobEvent::State { state, reason: reason.to_owned(), time: now_ms() };
    let add = || -> std::io::Result<()> {
        // A process that was killed may have left half a line behind.
        let lead = if ends_with_a_line(&path)? { "" } else { "\n" };
        append_private(&path, format!("{lead}{}\n", serde_json::to_string(&event)?).as_bytes())
    };
    add().map_err(Error::io(&path))
}

/// Whether the next byte begins a line.
fn ends_with_a_line(path: &Path) -> std::io::Result<bool> {
    let last = end_bytes(path, 1)?;
    Ok(last.first().is_none_or(|byte| *byte == b'\n'))
}

/// At most the last `most` bytes of a file, from the beginning of a line; nothing where there is no file.
pub(super) fn end_of(path: &Path, most: u64) -> std::io::Result<String> {
    let bytes = end_bytes(path, most)?;
    let text = String::from_utf8_lossy(&bytes);
    let is_cut = bytes.len() as u64 == most;
    Ok(text.split_once('\n').filter(|_| is_cut).map_or(text.as_ref(), |(_, rest)| rest).to_owned())
}

fn end_bytes(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A numbered event, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its number, from 1.
    pub seq: u64,
    event: Map<String, Value>,
}

impl Line {
    /// What it is, as far as this program knows it.
    pub(super) fn event(&self) -> Option<JobEvent> {
        serde_json::from_value(Value::Object(self.event.clone())).ok()
    }

    /// The event with its number.
    #[must_use]
    pub fn into_json(self) -> Value {
        let mut event = self.event;
        event.insert("seq".to_owned(), self.seq.into());
        Value::Object(event)
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.clone().into_json())
    }
}

/// Reads a job's events as they are written.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: Option<File>,
    lines: u64,
    /// What has come of a line that has no end yet.
    begun: Vec<u8>,
}

impl Tail {
    pub(super) fn of(folder: &Path) -> Self {
        Self { path: path(folder), file: None, lines: 0, begun: Vec::new() }
    }

    /// The events that came since the last look, or some of them: only when there are none has all been read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self) -> std::io::Result<Vec<Line>> {
        loop {
            let file = match &mut self.file {
                Some(file) => file,
                None => match File::open(&self.path) {
                    Ok(file) => self.file.insert(file),
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                },
            };
            let mut bytes = Vec::new();
            if file.take(LOOK).read_to_end(&mut bytes)? == 0 {
                return Ok(Vec::new());
            }
            let lines = self.cut(&bytes);
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    /// The lines that have an end now.
    fn cut(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.begun.extend_from_slice(bytes);
        let Some(last) = self.begun.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.begun.split_off(last + 1);
        let whole = std::mem::replace(&mut self.begun, rest);
        let mut lines = Vec::new();
        for line in whole[..last].split(|byte| *byte == b'\n') {
            self.lines += 1;
            lines.extend(read_line(line).map(|event| Line { seq: self.lines, event }));
        }
        lines
    }
}

/// The event in a line; what is none becomes a note, and nothing becomes nothing.
fn read_line(line: &[u8]) -> Option<Map<String, Value>> {
    if let Ok(Value::Object(event)) = serde_json::from_slice(line)
        && event.get("event").is_some_and(Value::is_string)
    {
        return Some(event);
    }
    let message = String::from_utf8_lossy(line).trim().to_owned();
    let note = serde_json::to_value(JobEvent::Note { message: message.clone() }).ok();
    note.and_then(|note| note.as_object().cloned()).filter(|_| !message.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    fn write(folder: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path(folder)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn texts(lines: &[Line]) -> Vec<String> {
        lines.iter().map(Line::to_string).collect()
    }

    #[test]
    fn events_come_when_their_lines_have_an_end_and_keep_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail::of(folder.path());
        assert!(tail.read().unwrap().is_empty());
        write(folder.path(), "{\"event\":\"step\",\"step\":1}\n\nplain words\n{\"event\":\"st");
        let first = texts(&tail.read().unwrap());
        assert_eq!(
            first,
            [r#"{"event":"step","seq":1,"step":1}"#, r#"{"event":"note","message":"plain words","seq":3}"#]
        );
        assert!(tail.read().unwrap().is_empty());
        write(folder.path(), "ep\",\"step\":2}\n");
        assert_eq!(texts(&tail.read().unwrap()), [r#"{"event":"step","seq":4,"step":2}"#]);
        let all = texts(&Tail::of(folder.path()).read().unwrap());
        assert_eq!(all.len(), 3);
        assert_eq!(all[..2], first);
    }

    #[test]
    fn half_a_line_of_a_killed_process_spoils_nothing_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "{\"event\":\"step\",\"ste");
        note(folder.path(), JobState::Interrupted, "killed").unwrap();
        note(folder.path(), JobState::Queued, "").unwrap();
        let lines = Tail::of(folder.path()).read().unwrap();
        let states: Vec<_> = lines.iter().filter_map(Line::event).collect();
        assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(matches!(states[0], JobEvent::Note { .. }));
        assert!(matches!(states[1], JobEvent::State { state: JobState::Interrupted, .. }));
        assert!(matches!(states[2], JobEvent::State { state: JobState::Queued, .. }));
    }

    #[test]
    fn the_end_of_a_log_begins_with_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(end_of(&path, 10).unwrap(), "");
        std::fs::write(&path, "first\nsecond\nthird\n").unwrap();
        assert_eq!(end_of(&path, 100).unwrap(), "first\nsecond\nthird\n");
        assert_eq!(end_of(&path, 10).unwrap(), "third\n");
    }
}
