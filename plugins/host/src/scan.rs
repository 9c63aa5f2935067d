//! Looks into a library in a child process: its constructors, its entry and its `manifest` may crash, hang, or write what
//! they like, and only the child pays.
//!
//! The child is the host's own program, started again as `PROGRAM plugin-scan PATH`; that command calls
//! [`scan_child_main`]. It prints one line, `jnana-plugin-scan {"manifest": …}` or `… {"error": …}`. Before it loads the
//! library it locks itself in: to be looked at, a plugin needs no file, no network and no other process.

#![allow(unsafe_code)] // Ends a child with all that it started.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jnana_api::plugins::Manifest;
use serde::{Deserialize, Serialize};

use crate::ending::{ended, said};
use crate::error::Error;
use crate::sandbox::Sandbox;
use crate::sealed::Sealed;
use crate::{library, manifest, worker};

/// The hidden command of the host's program.
pub const SCAN_COMMAND: &str = "plugin-scan";

const MARK: &str = "jnana-plugin-scan ";
/// Most memory of the child.
const MEMORY: u64 = 1 << 30;
/// Most that is read of each stream of the child.
const MAX_OUTPUT: u64 = 4 << 20;
const POLL: Duration = Duration::from_millis(5);
/// How long the streams may stay open after the child ended.
const DRAIN: Duration = Duration::from_secs(1);

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
    let mut child = spawn(exe, bytes)
        .map_err(|error| failed(format!("starting {} {SCAN_COMMAND}: {error}", exe.display())))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, timeout);
    let (stdout, stderr) = (stdout.recv_timeout(DRAIN), stderr.recv_timeout(DRAIN));
    let stderr = stderr.unwrap_or_default();
    let Some(status) = status.map_err(|error| failed(error.to_string()))? else {
        let seconds = timeout.as_secs_f64();
        return Err(failed(format!("it hung: no manifest within {seconds} s{}", said(&stderr))));
    };
    match report(&stdout.unwrap_or_default()) {
        Some(Report::Manifest(json)) => Ok(json),
        Some(Report::Error(reason)) => Err(Error::Unusable { reason }),
        None => Err(failed(format!("{} without a manifest{}", ended(status), said(&stderr)))),
    }
}

fn spawn(exe: &Path, bytes: File) -> std::io::Result<Child> {
    Command::new(exe)
        .args([SCAN_COMMAND, "/proc/self/fd/0"])
        .env_clear()
        .envs(worker::environment())
        .stdin(Stdio::from(bytes))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Reads a stream on a thread of its own, so that a full pipe cannot stop the child and an open one cannot stop us.
fn drain(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // What was read before an error still counts.
            let _ = stream.take(MAX_OUTPUT).read_to_end(&mut bytes);
        }
        // Nobody listens any more when the drain took too long.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// Waits for the child, at most for the timeout, then ends what is left of its process group. `None`: it did not end.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(None) if start.elapsed() < timeout => std::thread::sleep(POLL),
            other => break other,
        }
    };
    let group = child.id().cast_signed();
    // SAFETY: sends a signal to the group that the child was made the leader of; a group that is gone is an error only.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    if !matches!(status, Ok(Some(_))) {
        child.wait()?;
    }
    status
}

fn report(stdout: &str) -> Option<Report> {
    // The library may print what looks like ours, and the C library's buffer may come after it.
    stdout.lines().filter_map(|line| line.strip_prefix(MARK)).find_map(|json| serde_json::from_str(json).ok())
}
