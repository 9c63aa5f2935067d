//! A plugin in a process of its own.
//!
//! The host starts its own program again as `PROGRAM plugin-worker PARENT CONTROL LANE…`, with the sealed library as
//! standard input and sockets under the given numbers. The worker ([`child`]) locks itself in, loads the library and makes
//! the instance; from then on each call takes one of the lanes: a request, segments with their answers, a result, each of
//! them one frame ([`wire`]). Nothing else uses a lane meanwhile, so the thread that asks is the one that reads, and a big
//! result costs one write and one read. What is not part of a call goes over the control socket.
//!
//! On this side [`Worker`] makes the calls, and a thread for each worker ([`keeper`]) watches the process: what it prints,
//! how much memory it holds, how it ends. Whatever goes wrong ends the worker, and the reason is told to every call that
//! ran in it. The same code as in the server's process runs in the worker (`Native`, `Sinks`), but the host believes
//! nothing of what comes out of it: lengths, shapes, values and times are checked again.

pub(crate) mod child;
mod client;
mod keeper;
mod lane;
mod memory;
mod news;
mod output;
mod wire;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use client::{Recipe, Worker};
pub(crate) use wire::Hello;

use jnana_api::plugins::Runs;

use crate::lock::Trust;

/// The hidden command of the host's program.
pub const WORKER_COMMAND: &str = "plugin-worker";
/// Most calls that run in one worker at a time, whatever the manifest says: each takes a thread and a socket.
pub(crate) const MAX_LANES: u32 = 32;

/// Which plugins run where, and what workers may use.
#[derive(Debug, Clone)]
pub struct RunPolicy {
    /// Plugins that were pinned with full trust.
    pub trusted: Runs,
    /// All others.
    pub contained: Runs,
    /// By id: the operator's word, over the two above.
    pub plugins: HashMap<String, Runs>,
    /// What each worker may use.
    pub limits: WorkerLimits,
}

impl Default for RunPolicy {
    fn default() -> Self {
        Self {
            trusted: Runs::InProcess,
            contained: Runs::Worker,
            plugins: HashMap::new(),
            limits: WorkerLimits::default(),
        }
    }
}

impl RunPolicy {
    /// Where a plugin runs that was pinned with this trust.
    #[must_use]
    pub fn of(&self, id: &str, trust: Trust) -> Runs {
        let by_trust = match trust {
            Trust::Full => self.trusted,
            Trust::Contained => self.contained,
        };
        self.plugins.get(id).copied().unwrap_or(by_trust)
    }
}

/// What a worker may use. Over a limit it is ended.
#[derive(Debug, Clone)]
pub struct WorkerLimits {
    /// Most memory in bytes.
    pub memory: u64,
    /// How long a call may take without giving a segment or a result.
    pub call: Duration,
    /// How long making an instance may take.
    pub create: Duration,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
            memory: memory::of_machine() / 2,
            call: Duration::from_secs(120),
            create: Duration::from_secs(600),
        }
    }
}

/// Variables that a child keeps; the others may hold what is none of a plugin's business.
const ENVIRONMENT: &[&str] = &[
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "PATH",
    "RAYON_NUM_THREADS",
    "RUST_BACKTRACE",
    "TZ",
];

/// The environment of a child that runs a plugin's code.
pub(crate) fn environment() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    ENVIRONMENT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)))
}

/// What a worker is started with.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The host's program.
    pub(crate) exe: PathBuf,
    /// Id of the plugin, for the log.
    pub(crate) plugin: String,
    /// Its own folder: temporary files belong there, too.
    pub(crate) folder: PathBuf,
    pub(crate) limits: WorkerLimits,
}
