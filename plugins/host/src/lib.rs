//! Find, verify, load and call plugins.
//!
//! A plugins folder holds libraries (`*.so`) and `plugins.lock.json` with the sha256 of each. [`PluginHost::open`] takes
//! every library through the same steps, and a plugin that fails one is listed with the reason while the others go on:
//!
//! 1. `sealed`: the bytes are read once, compared with the pin and sealed; all later steps use the sealed copy.
//! 2. `elf`: target and ABI are read out of those bytes.
//! 3. [`scan`]: a child process that is locked in loads them and prints the manifest. A crash or a hang at load ends the
//!    child only.
//! 4. The manifest and the settings are checked.
//! 5. The library is loaded, never to be unloaded, and an instance is made: in a worker process ([`RunPolicy`]), or here
//!    when it is trusted as the server itself.
//!
//! Calls go through [`Instance`]: they block, at most `max_concurrency` run at a time, their input is brought to a form
//! that the plugin accepts, and what the plugin pushes is checked before anyone sees it. A panic costs the instance, which
//! is made anew; wrong output costs the call. A worker that crashes, hangs, takes too much memory or floods its output
//! costs the calls that ran in it; it is started again.
//!
//! What is *not* contained: a plugin in this process that calls `abort()` or `exit()`, reads or writes memory that is
//! not its own, or never returns.
//!
//! Linux only: libraries are sealed in a memfd and loaded through `/proc/self/fd`. A plugin therefore cannot find its
//! dependencies with an rpath of `$ORIGIN`; they have to be linked in or be installed on the system.

mod build;
mod call;
pub mod child;
mod collect;
pub mod contract;
mod ear;
mod elf;
mod error;
mod faults;
mod input;
pub mod install;
mod instance;
mod jobs;
mod library;
pub mod lock;
mod manifest;
mod native;
mod registry;
mod runner;
mod sandbox;
pub mod scan;
mod sealed;
mod services;
mod settings;
mod signature;
mod sink;
mod statistics;
mod strings;
mod tensor;
mod worker;

pub use call::{CallError, CallErrorKind, CancelFlag, EncodedRows, RawInput, Transcript};
pub use error::Error;
pub use install::{InstallOptions, Installed, install};
pub use instance::Instance;
pub use jnana_api::plugins::Runs;
pub use lock::{Pin, Trust, pin};
pub use manifest::{ENCODER, FEATURES, JOBS, TRANSCRIBER};
pub use registry::{HostConfig, ModelResolver, PluginHost};
pub use scan::{SCAN_COMMAND, scan_child_main};
pub use settings::check as check_settings;
pub use signature::Keys;
pub use statistics::Statistics;
pub use worker::child::worker_child_main;
pub use worker::{RunPolicy, WORKER_COMMAND, WorkerLimits};
