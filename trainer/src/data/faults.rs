//! Broken pictures and records: counted, named, skipped, and too many of them stop the run.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How many faults an error names.
const NAMED: usize = 5;

/// Something that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A record, a picture, a line.
    pub what: String,
    /// Why it cannot be used.
    pub reason: String,
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}

/// The broken ones among a known number of things.
#[derive(Debug)]
pub struct Faults {
    what: String,
    total: usize,
    allowed: f64,
    list: Vec<Fault>,
}

impl Faults {
    /// For `total` things called `what` (such as `records of flickr8k`), of which a share of `allowed` (0 to 1) may be broken.
    #[must_use]
    pub fn new(what: impl Into<String>, total: usize, allowed: f64) -> Self {
        Self { what: what.into(), total, allowed, list: Vec::new() }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// When it is one too many: the run should not go on.
    pub fn skip(&mut self, what: impl Into<String>, reason: impl Display) -> Result<()> {
        self.list.push(Fault { what: what.into(), reason: reason.to_string() });
        if self.list.len() as f64 <= self.allowed * self.total as f64 {
            return Ok(());
        }
        let named = self.list.iter().take(NAMED).map(|fault| format!("{} ({})", fault.what, fault.reason));
        Err(Error::TooManyFaults {
            what: self.what.clone(),
            broken: self.list.len(),
            total: self.total,
            allowed: self.allowed,
            first: named.collect::<Vec<_>>().join("; "),
        })
    }

    /// The good ones among `results`, the broken ones counted by the name beside them.
    ///
    /// # Errors
    /// When there are too many broken ones.
    pub fn sift<T>(
        &mut self,
        results: impl IntoIterator<Item = (String, Result<T, String>)>,
    ) -> Result<Vec<T>> {
        let mut good = Vec::new();
        for (what, result) in results {
            match result {
                Ok(value) => good.push(value),
                Err(reason) => self.skip(what, reason)?,
            }
        }
        Ok(good)
    }

    /// How many so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// All so far, in the order in which they were met.
    #[must_use]
    pub fn into_list(self) -> Vec<Fault> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_decides_and_the_error_names_them() {
        let mut faults = Faults::new("pictures", 100, 0.02);
        faults.skip("a.jpg", "damaged").unwrap();
        faults.skip("b.jpg", "missing").unwrap();
        let words = faults.skip("c.jpg", "empty").unwrap_err().to_string();
        assert!(words.starts_with("3 of 100 pictures are broken, more than the share of 0.02"), "{words}");
        assert!(words.ends_with("a.jpg (damaged); b.jpg (missing); c.jpg (empty)"), "{words}");
    }

    #[test]
    fn nothing_may_be_broken_when_the_share_is_zero() {
        assert!(Faults::new("records", 1000, 0.0).skip("1", "no answer").is_err());
    }
}
