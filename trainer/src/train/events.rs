//! What happens in a run, one JSON object a line: for the server, for plots, for people afterwards.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A step of the optimiser.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Epochs done, with a fraction.
    pub epoch: f64,
    /// Mean cross entropy of the tokens that counted, in nats.
    pub loss: f64,
    /// The learning rate.
    pub rate: f64,
    /// Norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Positions a second, padding not counted.
    pub positions_per_second: f64,
    /// Bytes of memory that the process has, where the system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A run starts, or goes on.
    Start {
        /// Name of the recipe.
        recipe: String,
        /// sha256 of the recipe's text without `[keep]`.
        recipe_hash: String,
        /// Steps done before.
        step: u64,
        /// Steps to do in all.
        steps: u64,
        /// Numbers that are trained.
        trainable: u64,
        /// Records to learn from.
        records: u64,
    },
    /// A step is done.
    Step(StepReport),
    /// Held-out data was measured.
    Evaluation {
        /// Steps done.
        step: u64,
        /// Values by name, such as `loss` or `accuracy`.
        metrics: BTreeMap<String, f64>,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Its folder.
        folder: PathBuf,
        /// True when no earlier one measured better.
        best: bool,
    },
    /// Something is wrong, but not so that the run would end.
    Warning {
        /// In words.
        message: String,
    },
    /// The run ends.
    End {
        /// Steps done.
        step: u64,
        /// Why.
        reason: EndReason,
        /// In words, for a failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
}

/// Why a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// All steps are done.
    Finished,
    /// The held-out loss no longer fell.
    Early,
    /// Somebody asked; it can go on.
    Interrupted,
    /// An error.
    Failed,
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// RFC 3339, UTC.
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// A file of events that only grows.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    path: PathBuf,
}

impl EventLog {
    /// Opens or creates the file. Half a line that a kill left at its end is cut off.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
            let whole = whole_lines(&mut file)?;
            file.set_len(whole)?;
            Ok(file)
        };
        let file = open().map_err(Error::io("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends an event that happens now.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, event: Event) -> Result<()> {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let mut line = serde_json::to_vec(&Entry { time, event }).map_err(Error::json(&self.path))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write", &self.path))
    }
}

/// Bytes up to the last end of a line.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    /// Looked at in one piece from the end; longer than any event.
    const TAIL: u64 = 1 << 20;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    (&*file).take(TAIL).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last as u64 + 1);
    Ok(start + whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(path: &Path) -> Vec<Entry> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn events_are_lines_that_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let step = Event::Step(StepReport { step: 3, loss: 2.5, rate: 1e-3, ..StepReport::default() });
        let metrics = BTreeMap::from([("loss".to_owned(), 2.25)]);
        let events =
            [step, Event::Evaluation { step: 3, metrics }, Event::Warning { message: "a\nb".into() }];
        let mut log = EventLog::open(&path).unwrap();
        events.iter().for_each(|event| log.write(event.clone()).unwrap());
        let read = entries(&path);
        assert_eq!(read.iter().map(|entry| entry.event.clone()).collect::<Vec<_>>(), events);
        let time = humantime::parse_rfc3339(&read[0].time).unwrap();
        assert!(time.elapsed().unwrap().as_secs() < 60);
        let first = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert!(first.contains(r#""event":"step","step":3,"epoch":0.0,"loss":2.5"#), "{first}");
    }

    #[test]
    fn half_a_line_goes_when_the_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let warn = |message: &str| {
            EventLog::open(&path).unwrap().write(Event::Warning { message: message.into() }).unwrap();
        };
        warn("one");
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, [whole.as_slice(), &whole[..cut]].concat()).unwrap();
            warn("two");
            let read = entries(&path);
            assert_eq!(read.len(), 2, "cut after {cut} bytes");
            assert_eq!(read[1].event, Event::Warning { message: "two".into() });
        }
    }
}
