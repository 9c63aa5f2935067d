//! What is written down of generations: enough to serve the same weights after a restart, and to know that they are the same.

use std::path::Path;

use jnana_api::generations as wire;
use serde::{Deserialize, Serialize};

use crate::assistant::{Identity, Sources};
use crate::files::replace_private;

/// Version of the file that this program writes and reads.
const FORMAT: u32 = 1;

/// Name of the file.
const FILE: &str = "serving.json";

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its place in the order, from 1.
    pub(super) number: u32,
    /// When it first served; Unix milliseconds.
    pub(super) since: i64,
    /// Name of the session that promoted it.
    pub(super) by: Option<String>,
    /// True for the model of the settings, whose files may change from one start to the next.
    pub(super) configured: bool,
    /// Which weights these are.
    pub(super) identity: Identity,
    /// Where they lie.
    pub(super) sources: Sources,
}

impl Record {
    pub(super) fn shown(&self, loaded: bool) -> wire::Generation {
        wire::Generation {
            number: self.number,
            id: self.identity.id.clone(),
            since: self.since,
            by: self.by.clone(),
            loaded,
            weights: self.identity.weights.clone(),
            files: self.sources.shown(),
        }
    }
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    format: u32,
    /// The model of the settings when this was written: weights that were promoted over one say nothing about another.
    pub(super) model: String,
    pub(super) current: Record,
    pub(super) before: Option<Record>,
}

impl Kept {
    pub(super) fn of(model: String, current: Record, before: Option<Record>) -> Self {
        Self { format: FORMAT, model, current, before }
    }

    /// Reads the file of a folder; `None` where nothing was ever promoted. The error is in words for people.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, String> {
        let path = folder.join(FILE);
        let wrong = |why: String| format!("{} cannot be read: {why}", path.display());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let kept: Self = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        match kept.format {
            FORMAT => Ok(Some(kept)),
            other => Err(wrong(format!("it has format {other}, this program reads format {FORMAT}"))),
        }
    }

    /// Whether something below `folder` is part of it.
    pub(super) fn uses(&self, folder: &Path) -> bool {
        let records = [Some(&self.current), self.before.as_ref()];
        records.into_iter().flatten().any(|record| record.sources.lie_below(folder))
    }

    /// Replaces the file of a folder.
    pub(super) fn write(&self, folder: &Path) -> std::io::Result<()> {
        replace_private(&folder.join(FILE), &serde_json::to_vec_pretty(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_back_what_was_written_and_a_damaged_one_says_so() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Kept::read(folder.path()), Ok(None));
        let sources = Sources {
            model: "m".into(),
            weights: "m/w.gguf".into(),
            adapter: None,
            name: None,
            space: Some("s".to_owned()),
            projectors: [("see".to_owned(), "p".into())].into(),
        };
        let identity = Identity { id: "0123456789ab".to_owned(), weights: Default::default() };
        let record = Record { number: 2, since: 7, by: None, configured: false, identity, sources };
        let kept = Kept::of("m".to_owned(), record.clone(), Some(Record { number: 1, ..record }));
        kept.write(folder.path()).unwrap();
        assert_eq!(Kept::read(folder.path()), Ok(Some(kept)));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        let words = Kept::read(folder.path()).unwrap_err();
        assert!(words.contains(FILE) && words.contains("EOF"), "{words}");
    }
}
