//! Why a plugin cannot be used. The words are what `GET /api/plugins` shows.

use std::path::PathBuf;

/// A step on the way from a file to a running plugin failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was attempted, such as `reading`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `plugins.lock.json` is not what it should be.
    #[error("{} cannot be read: {reason}; repair it, or delete it and install the plugins again", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The library has no pin.
    #[error(
        "{file} is not pinned (sha256 {sha256}): if you trust it, `jnana plugin install` it, or `jnana plugin pin` it \
         where it lies"
    )]
    NotPinned {
        /// File name of the library.
        file: String,
        /// What it hashes to now.
        sha256: String,
    },
    /// The library is not the one that was pinned.
    #[error(
        "{file} has changed since it was pinned: expected sha256 {pinned}, found {found}; if you trust the new one, \
         install it again, else restore the old one"
    )]
    Changed {
        /// File name of the library.
        file: String,
        /// The pinned sha256.
        pinned: String,
        /// The sha256 of the bytes that are there.
        found: String,
    },
    /// The library is not the one that was asked for.
    #[error("expected sha256 {expected}, found {found}: it is another file than the one that was meant")]
    Unexpected {
        /// The sha256 that was given.
        expected: String,
        /// The sha256 of the bytes that are there.
        found: String,
    },
    /// The library was built for something else.
    #[error("the library cannot run here: {reason}; get the one for this machine")]
    Foreign {
        /// What was expected and what came.
        reason: String,
    },
    /// The signature is missing or wrong.
    #[error("the signature is not good: {reason}")]
    Signature {
        /// What is wrong with it.
        reason: String,
    },
    /// The list of keys is not what it should be.
    #[error("{} cannot be read: {reason}", path.display())]
    Keys {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No such plugin is installed.
    #[error("no installed plugin is called {name}; known: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Ids, and file names of those whose id is not known.
        known: Vec<String>,
    },
    /// The scanning child did not come back with a manifest.
    #[error("looking into the library failed: {reason}")]
    Scan {
        /// Crash, hang or garbage, in words.
        reason: String,
    },
    /// The scanning child found a fault and named it, in the words of one of the variants below.
    #[error("{reason}")]
    Unusable {
        /// The child's words.
        reason: String,
    },
    /// The library could not be loaded, or is no plugin.
    #[error("loading the library failed: {reason}")]
    Load {
        /// What the dynamic linker said, or which symbol is missing.
        reason: String,
    },
    /// The plugin speaks another version of the contract.
    #[error(
        "the plugin does not speak ABI {}.{}: {reason}",
        jnana_plugin_abi::ABI_MAJOR,
        jnana_plugin_abi::ABI_MINOR
    )]
    Abi {
        /// What was expected and what came.
        reason: String,
    },
    /// The manifest breaks a rule.
    #[error("the manifest is not valid: {reason}")]
    Manifest {
        /// Which field, what was expected, what came.
        reason: String,
    },
    /// The settings do not fit the plugin.
    #[error("the settings of plugin {plugin} are not valid: {reason}")]
    Settings {
        /// Id of the plugin.
        plugin: String,
        /// Which setting, what was expected, what came.
        reason: String,
    },
    /// `create` failed.
    #[error("making an instance failed: {reason}")]
    Create {
        /// The plugin's words.
        reason: String,
    },
    /// Two libraries have the same id.
    #[error("the id {id} is already taken by {other}; remove one of the two")]
    Duplicate {
        /// The id of both.
        id: String,
        /// File name of the library that has it.
        other: String,
    },
}

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}
