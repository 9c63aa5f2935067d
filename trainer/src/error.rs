use std::fmt::Display;
use std::path::{Path, PathBuf};

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was tried: `open`, `read`, `write`, …
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A JSON file as a whole does not parse.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where in it and why.
        source: serde_json::Error,
    },

    /// A file is not what it should be.
    #[error("{path}: expected {expected}, got {got}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
    },

    /// A setting has no usable value.
    #[error("{key}: expected {expected}, got {got}")]
    Setting {
        /// The setting.
        key: String,
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
    },

    /// More is broken than may be skipped.
    #[error(
        "{broken} of {total} {what} are broken, more than the share of {allowed} that may be skipped; the first: {first}"
    )]
    TooManyFaults {
        /// Of what.
        what: String,
        /// How many were broken when it became too many.
        broken: usize,
        /// Out of how many.
        total: usize,
        /// Share that may be skipped, 0 to 1.
        allowed: f64,
        /// Some of them, each with its reason.
        first: String,
    },

    /// Somebody asked for an end.
    #[error("stopped while {while_doing}; what was done is kept")]
    Stopped {
        /// What was being done.
        while_doing: &'static str,
    },

    /// Another process has the run.
    #[error("the run in {folder} belongs to {holder}; wait for it or end it")]
    Locked {
        /// The run's folder.
        folder: PathBuf,
        /// Which process.
        holder: String,
    },

    /// A run goes on with the recipe that it was started with.
    #[error(
        "the run in {folder} was started with another recipe: {differences}; take another folder or the same recipe"
    )]
    OtherRecipe {
        /// The run's folder.
        folder: PathBuf,
        /// What differs.
        differences: String,
    },

    /// A run would go on with other examples than it began with.
    #[error(
        "{folder} was begun with other data (records, their weights, tokenizer or template have changed); bring those back, or take another folder for a new run"
    )]
    OtherData {
        /// The run's folder.
        folder: PathBuf,
    },

    /// The loss or its gradient went wrong; the variables are as they were before the step.
    #[error(
        "step {step} went wrong: loss {loss}, gradient's norm {norm}; its records: {records}; last checkpoint: {checkpoint}. \
         A lower rate or another seed may help"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Its gradient's norm.
        norm: f64,
        /// Ids of what it was to learn from.
        records: String,
        /// Folder of the last checkpoint.
        checkpoint: String,
    },

    /// A thread panicked.
    #[error("{thread} died; its message is above")]
    Thread {
        /// Which.
        thread: &'static str,
    },

    /// A model's files or its tokenizer.
    #[error(transparent)]
    Model(Box<jnana_models::Error>),

    /// A model folder's `jnana.json`.
    #[error(transparent)]
    Card(#[from] jnana_core::model_card::CardError),

    /// A model gave no answer.
    #[error(transparent)]
    Generate(#[from] crate::eval::generate::GenerateError),

    /// A tensor operation failed.
    #[error("{operation}: {source}")]
    Compute {
        /// What was being computed.
        operation: String,
        /// candle's message.
        source: Box<candle_core::Error>,
    },
}

impl From<jnana_models::Error> for Error {
    fn from(error: jnana_models::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { path: path.to_owned(), source }
    }

    pub(crate) fn compute(operation: impl Into<String>) -> impl FnOnce(candle_core::Error) -> Self {
        move |source| Self::Compute { operation: operation.into(), source: Box::new(source) }
    }

    pub(crate) fn setting(key: impl Into<String>, expected: &str, got: impl Display) -> Self {
        Self::Setting { key: key.into(), expected: expected.to_owned(), got: format!("{got}") }
    }
}
