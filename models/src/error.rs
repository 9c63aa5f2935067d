use std::path::{Path, PathBuf};

/// What can go wrong between a file and a network.
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

    /// The path holds no model that this crate knows.
    #[error("{path} is not a model: expected {expected}, found {got}")]
    NotAModel {
        /// The file or folder given.
        path: PathBuf,
        /// What would have been accepted.
        expected: &'static str,
        /// What was there.
        got: String,
    },

    /// A file breaks its own format: truncated, overlapping or misaligned.
    #[error("{path} is damaged or not what its name says: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A JSON file does not parse or lacks a field.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where in it and why.
        source: serde_json::Error,
    },

    /// A metadata entry or configuration field has no usable value.
    #[error("{path}: {key}: expected {expected}, got {got}")]
    Field {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: String,
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
    },

    /// The file has no tensor of that name.
    #[error("{path} has no tensor {tensor}")]
    MissingTensor {
        /// File or folder.
        path: PathBuf,
        /// Name as in the Hugging Face checkpoint.
        tensor: String,
    },

    /// A tensor has other dimensions than the configuration says.
    #[error("{path}: tensor {tensor}: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Name as in the Hugging Face checkpoint.
        tensor: String,
        /// By the configuration.
        expected: Vec<usize>,
        /// In the file.
        got: Vec<usize>,
    },

    /// A number type that is not supported here.
    #[error("{path}: tensor {tensor}: expected {expected}, got {got}")]
    NumberType {
        /// The file.
        path: PathBuf,
        /// Name as in the Hugging Face checkpoint.
        tensor: String,
        /// The types that work.
        expected: &'static str,
        /// The one found.
        got: String,
    },

    /// Options that do not go together.
    #[error("cannot load with {option}: {reason}")]
    Options {
        /// The option.
        option: String,
        /// Why not.
        reason: String,
    },

    /// A tokenizer that cannot be built or used.
    #[error("tokenizer {origin}: {reason}")]
    Tokenizer {
        /// The file it comes from.
        origin: String,
        /// What is wrong.
        reason: String,
    },

    /// A tensor operation failed.
    #[error("{operation}: {source}")]
    Compute {
        /// What was being computed.
        operation: String,
        /// candle's message.
        source: candle_core::Error,
    },
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
        move |source| Self::Compute { operation: operation.into(), source }
    }
}
