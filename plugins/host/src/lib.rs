//! Find, verify, load and call plugins.
//!
//! A plugins folder holds libraries (`*.so`) and `plugins.lock.json` with the sha256 of each. [`PluginHost::open`] takes
//! every library through the same steps, and a plugin that fails one is listed with the reason while the others go on:
//!
//! 1. [`trust`]: the bytes are read once, compared with the pin and sealed; all later steps use the sealed copy.
//! 2. [`scan`]: a child process loads them and prints the manifest. A crash or a hang at load ends the child only.
//! 3. The manifest and the settings are checked.
//! 4. The library is loaded into this process, never to be unloaded, and an instance is made.
//!
//! Calls go through [`Instance`]: they block, at most `max_concurrency` run at a time, their input is brought to a form
//! that the plugin accepts, and what the plugin pushes is checked before anyone sees it. A panic costs the instance, which
//! is made anew; wrong output costs the call.
//!
//! What is *not* contained: a plugin in this process that calls `abort()` or `exit()`, reads or writes memory that is
//! not its own, or never returns. whisper.cpp and other C libraries do abort on broken model files. Only pin what you trust.
//!
//! Linux only: libraries are sealed in a memfd and loaded through `/proc/self/fd`. A plugin therefore cannot find its
//! dependencies with an rpath of `$ORIGIN`; they have to be linked in or be installed on the system.

mod call;
mod error;
mod input;
mod instance;
mod library;
mod manifest;
mod native;
mod registry;
pub mod scan;
mod services;
mod settings;
mod sink;
mod statistics;
mod strings;
mod tensor;
pub mod trust;

pub use call::{CallError, CallErrorKind, CancelFlag, EncodedRows, RawInput, Transcript};
pub use error::Error;
pub use instance::Instance;
pub use manifest::{ENCODER, FEATURES, TRANSCRIBER};
pub use registry::{HostConfig, ModelResolver, PluginHost};
pub use scan::{SCAN_COMMAND, scan_child_main};
pub use statistics::Statistics;
pub use trust::{install, pin};
