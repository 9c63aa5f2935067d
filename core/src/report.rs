//! An error with its causes as one line, for terminals and logs.

use std::error::Error;
use std::fmt::Write as _;

/// `error: cause: cause of the cause`. An error that already ends with its cause's own words says them once.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !line.ends_with(&words) {
            // Writing to a String cannot fail.
            let _ = write!(line, ": {words}");
        }
        cause = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read {path}: {source}")]
    struct Whole {
        path: &'static str,
        source: std::io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("loading")]
    struct Short(#[source] Whole);

    #[test]
    fn every_cause_is_said_once() {
        let whole = Whole { path: "config.json", source: std::io::Error::other("disk gone") };
        assert_eq!(with_causes(&Short(whole)), "loading: read config.json: disk gone");
    }
}
