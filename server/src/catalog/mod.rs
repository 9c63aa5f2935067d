//! The models that Jnana knows by name, and their files on this machine.
//!
//! `models.toml` (built into the program) lists them; [`Library`] is the folder they are laid out in, as
//! `<folder>/<name>/<file>`.

mod archive;
mod built_in;
mod entry;
mod hub;
mod library;
mod package;
mod progress;

pub use entry::{Catalog, Entry, FileEntry, PackageMember, Source};
pub use library::{FileState, Library, Network};
pub use progress::Progress;

use std::path::PathBuf;

/// Why a model is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The list itself is wrong.
    #[error("the model list cannot be read: {0}")]
    List(#[from] toml::de::Error),
    /// No such name.
    #[error("no model is called {name:?}; known are {known}")]
    UnknownName {
        /// What was asked for.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// The file came, but is not the one that was wanted.
    #[error(
        "{file} from {source_name} has {what} {found}, expected {expected}: it is not the published file"
    )]
    Mismatch {
        /// Path inside the model's folder.
        file: String,
        /// Where it came from.
        source_name: String,
        /// What was compared: `bytes`, `sha256` or `sha1`.
        what: &'static str,
        /// As listed.
        expected: String,
        /// As found.
        found: String,
    },
    /// Every source failed.
    #[error("{model}/{file} could not be fetched: {}", reasons.join("; "))]
    NoSource {
        /// Model name.
        model: String,
        /// Path inside the model's folder.
        file: String,
        /// What each source said.
        reasons: Vec<String>,
    },
    /// Fetching is switched off.
    #[error(
        "{model} is not on this machine and fetching is switched off (--offline); run `jnana models pull {model}` first"
    )]
    Offline {
        /// Model name.
        model: String,
    },
    /// A child program failed.
    #[error("{program}: {message}")]
    Program {
        /// What was started.
        program: String,
        /// The last words it said.
        message: String,
    },
    /// An archive does not hold what it should.
    #[error("{archive} holds no {member}")]
    Member {
        /// File name of the archive.
        archive: String,
        /// Path inside it.
        member: String,
    },
    /// The program was built without one of its files.
    #[error("this program was built without {asset}")]
    NotBuiltIn {
        /// Path below `assets/models`.
        asset: String,
    },
    /// A hub's answer.
    #[error("{url}: {message}")]
    Hub {
        /// What was asked for.
        url: String,
        /// What came back.
        message: String,
    },
    /// The file system.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: std::io::Error,
    },
    /// A zip archive.
    #[error("{archive}: {source}")]
    Zip {
        /// File name of the archive.
        archive: String,
        /// What.
        source: zip::result::ZipError,
    },
}

impl Error {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
