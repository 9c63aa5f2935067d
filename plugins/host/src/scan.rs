//! Looks into a library in a child process: its constructors, its entry and its `manifest` may crash, hang, or write what
//! they like, and only the child pays.
//!
//! The child is the host's own program, started again as `PROGRAM plugin-scan PATH`; that command calls
//! [`scan_child_main`]. It prints one line, `jnana-plugin-scan {"manifest": …}` or `… {"error": …}`. Before it loads the
//! library it locks itself in: to be looked at, a plugin needs no file, no network and no other process.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use jnana_api::plugins::Manifest;
use serde::{Deserialize, Serialize};

use crate::child::{self, said, words};
use crate::error::Error;
use crate::sandbox::Sandbox;
use crate::sealed::Sealed;
use crate::{library, manifest, worker};

/// The hidden command of the host's program.
pub const SCAN_COMMAND: &str = "plugin-scan";

const MARK: &str = "jnana-plugin-scan ";
/// Most memory of the child.
const MEMORY: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Report {
    Manifest(String),
    Error(String),
}

/// The scanning child: loads the library, prints its manifest for the parent and ends with 0, or prints why not and ends
/// with 1. For nothing but the host's own hidden command.
#[must_use]
pub fn scan_child_main(path: &Path) -> ExitCode {
    let report = match look(path) {
        Ok(json) => Report::Manifest(json),
        Err(error) => Report::Error(error.to_string()),
    };
    let Ok(line) = serde_json::to_string(&report) else { return ExitCode::FAILURE };
    let mut stdout = std::io::stdout().lock();
    // The library may have left a line unfinished.
    if writeln!(stdout, "\n{MARK}{line}").and_then(|()| stdout.flush()).is_err() {
        return ExitCode::FAILURE;
    }
    match report {
        Report::Manifest(_) => ExitCode::SUCCESS,
        Report::Error(_) => ExitCode::FAILURE,
    }
}

fn look(path: &Path) -> Result<String, Error> {
    let sandbox = Sandbox { memory: Some(MEMORY), ..Sandbox::default() };
    sandbox.enter().map_err(|reason| Error::Load { reason })?;
    library::load(path)?.manifest()
}

/// Looks into a library that need not be pinned, running its code in a child, and returns its checked manifest. `exe` is
/// a program that answers `plugin-scan PATH` with [`scan_child_main`].
///
/// # Errors
/// [`Error::Scan`] with the child's end in words, [`Error::Unusable`] with what it found, or [`Error::Manifest`].
pub fn scan(exe: &Path, library: &Path, timeout: Duration) -> Result<Manifest, Error> {
    let sealed = Sealed::read(library)?;
    manifest::parse(&scan_sealed(exe, &sealed, timeout)?)
}

/// As [`scan`], on sealed bytes; the manifest as text.
pub(crate) fn scan_sealed(exe: &Path, sealed: &Sealed, timeout: Duration) -> Result<String, Error> {
    let failed = |reason: String| Error::Scan { reason };
    let bytes = sealed.handle().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(exe);
    command.args([SCAN_COMMAND, "/proc/self/fd/0"]).env_clear().envs(worker::environment());
    let ended = child::run(command.stdin(Stdio::from(bytes)), timeout)
        .map_err(|error| failed(format!("starting {} {SCAN_COMMAND}: {error}", exe.display())))?;
    let Some(status) = ended.status else {
        let seconds = timeout.as_secs_f64();
        return Err(failed(format!("it hung: no manifest within {seconds} s{}", said(&ended.stderr))));
    };
    match report(&ended.stdout) {
        Some(Report::Manifest(json)) => Ok(json),
        Some(Report::Error(reason)) => Err(Error::Unusable { reason }),
        None => Err(failed(format!("{} without a manifest{}", words(status), said(&ended.stderr)))),
    }
}

fn report(stdout: &str) -> Option<Report> {
    // The library may print what looks like ours, and the C library's buffer may come after it.
    stdout.lines().filter_map(|line| line.strip_prefix(MARK)).find_map(|json| serde_json::from_str(json).ok())
}
