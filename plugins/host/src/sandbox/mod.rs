//! What a process that runs a plugin's code may still do: the least that its manifest and its settings ask for.
//!
//! Entered before the library is loaded, never left, inherited by every thread. Four layers, each for what the others
//! cannot see: [`limits`] (memory, open files), no capabilities and no new privileges, [`files`] (Landlock: which files),
//! [`calls`] (seccomp: no processes, no sockets, nothing that reaches another process).
//!
//! What it cannot do: a plugin that needs `process` may leave its group and live on, and time and caches of the processor
//! are shared with everybody.

mod calls;
mod files;
mod limits;

pub(crate) use limits::die_with;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a plugin may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    /// The manifest's needs.
    pub(crate) needs: Vec<String>,
    /// Files and folders that it may read.
    pub(crate) reads: Vec<PathBuf>,
    /// The one folder that it may change; none for no folder at all.
    pub(crate) writes: Option<PathBuf>,
    /// Most memory in bytes; none for no limit.
    pub(crate) memory: Option<u64>,
}

impl Sandbox {
    fn needs(&self, need: &str) -> bool {
        self.needs.iter().any(|needed| needed == need)
    }

    /// Locks this process in. The answer says what the kernel cannot keep it from; empty for nothing.
    ///
    /// # Errors
    /// When a layer that this kernel has could not be put up.
    pub(crate) fn enter(&self) -> Result<String, String> {
        limits::apply(self.memory).map_err(|error| format!("limiting memory and files: {error}"))?;
        let gaps = files::restrict(self)?;
        calls::restrict(self)?;
        // Last: until here a process of root could still lift its limits.
        limits::drop_capabilities().map_err(|error| format!("giving up privileges: {error}"))?;
        Ok(gaps)
    }
}
