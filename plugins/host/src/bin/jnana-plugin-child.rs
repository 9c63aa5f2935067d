//! The host's children as a program of their own: `jnana-plugin-child plugin-scan LIBRARY` prints a library's manifest,
//! `plugin-worker` runs a plugin for a host. The server answers the same commands itself; this one serves tests, and authors
//! who want to look into a library.

use std::path::Path;
use std::process::ExitCode;

use jnana_plugin_host::{SCAN_COMMAND, WORKER_COMMAND, scan_child_main, worker_child_main};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [SCAN_COMMAND, path] => scan_child_main(Path::new(path)),
        [WORKER_COMMAND, parent, ref sockets @ ..] => worker(parent, sockets).unwrap_or_else(usage),
        _ => usage(),
    }
}

fn worker(parent: &str, sockets: &[&str]) -> Option<ExitCode> {
    let sockets = sockets.iter().map(|number| number.parse()).collect::<Result<Vec<_>, _>>().ok()?;
    Some(worker_child_main(parent.parse().ok()?, &sockets))
}

fn usage() -> ExitCode {
    eprintln!("usage: jnana-plugin-child {SCAN_COMMAND} LIBRARY");
    ExitCode::from(2)
}
