//! What came of a check, for people and for programs.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The promise is kept.
    Passed,
    /// The promise is broken.
    Failed {
        /// What was expected, what came.
        why: String,
    },
    /// The process ended in the middle of it.
    Crashed {
        /// How.
        how: String,
    },
    /// It took too long.
    TimedOut {
        /// The limit in seconds.
        limit: f64,
    },
    /// The plugin promises nothing of the kind.
    Skipped {
        /// What is not there.
        why: String,
    },
}

/// A test with what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// Name of the test.
    pub name: String,
    /// What it looks at.
    pub promise: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// A measurement, or last words; empty for none.
    #[serde(default)]
    pub note: String,
    /// How long it took.
    pub seconds: f64,
}

/// A whole check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was checked.
    pub library: PathBuf,
    /// Where its randomness came from.
    pub seed: u64,
    /// Every test that was run.
    pub tests: Vec<TestResult>,
}

impl Outcome {
    /// Whether the plugin has to be changed.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        !matches!(self, Self::Passed | Self::Skipped { .. })
    }
}

impl Report {
    /// Whether no test found anything.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.tests.iter().any(|test| test.outcome.is_bad())
    }
}

impl fmt::Display for TestResult {
    /// One line, and one more for what is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, more) = match &self.outcome {
            Outcome::Passed => ("ok", String::new()),
            Outcome::Failed { why } => ("FAILED", why.clone()),
            Outcome::Crashed { how } => ("CRASHED", how.clone()),
            Outcome::TimedOut { limit } => ("TIMED OUT", format!("it did not end within {limit} s")),
            Outcome::Skipped { why } => ("skipped", why.clone()),
        };
        write!(f, "{:<18} {word:<10} {}", self.name, self.promise)?;
        if !self.note.is_empty() {
            write!(f, " ({})", self.note)?;
        }
        if !more.is_empty() {
            write!(f, "\n{:<18} {more}", "")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    /// The sum of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count =
            |wanted: fn(&Outcome) -> bool| self.tests.iter().filter(|test| wanted(&test.outcome)).count();
        let (passed, bad) = (count(|outcome| *outcome == Outcome::Passed), count(Outcome::is_bad));
        let skipped = self.tests.len() - passed - bad;
        write!(
            f,
            "{}: {passed} passed, {bad} failed, {skipped} skipped (seed {})",
            self.library.display(),
            self.seed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(outcome: Outcome) -> TestResult {
        let (name, promise) = ("shapes".to_owned(), "rows are as promised".to_owned());
        TestResult { name, promise, outcome, note: String::new(), seconds: 0.5 }
    }

    #[test]
    fn a_report_is_good_when_nothing_is_bad_and_goes_through_json() {
        let skipped = result(Outcome::Skipped { why: "no encoder".to_owned() });
        let mut report =
            Report { library: "x.so".into(), seed: 7, tests: vec![result(Outcome::Passed), skipped] };
        assert!(report.is_good() && report.to_string().contains("1 passed, 0 failed, 1 skipped (seed 7)"));
        report.tests.push(result(Outcome::Crashed { how: "SIGSEGV".to_owned() }));
        assert!(!report.is_good() && report.tests[2].to_string().contains("CRASHED"));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}
