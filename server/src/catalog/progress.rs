//! Progress of a fetch on standard error: one line a second at most.

use std::io::Write;
use std::time::{Duration, Instant};

/// Says how far a fetch is.
#[derive(Debug)]
pub struct Progress {
    label: String,
    total: Option<u64>,
    done: u64,
    started: Instant,
    said: Option<Instant>,
}

impl Progress {
    /// Starts a line. `total` in bytes, when it is known.
    #[must_use]
    pub fn new(label: impl Into<String>, total: Option<u64>) -> Self {
        Self { label: label.into(), total, done: 0, started: Instant::now(), said: None }
    }

    /// Adds bytes that are there.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.said.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.said = Some(Instant::now());
            self.say();
        }
    }

    /// So many bytes are there in all.
    pub fn reach(&mut self, bytes: u64) {
        self.add(bytes.saturating_sub(self.done));
    }

    /// Ends the line.
    pub fn finish(&self) {
        let seconds = self.started.elapsed().as_secs_f64();
        note(&format!("{}: {} in {seconds:.1} s", self.label, megabytes(self.done)));
    }

    fn say(&self) {
        let total = self.total.filter(|total| *total > 0);
        let of = total.map(|total| {
            format!(" of {} ({:.0} %)", megabytes(total), self.done as f64 * 100.0 / total as f64)
        });
        note(&format!("{}: {}{}", self.label, megabytes(self.done), of.unwrap_or_default()));
    }
}

/// A line for the person at the terminal. A closed standard error is no reason to stop.
pub(super) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
