//! The process of a job: it belongs to nobody's terminal, outlives this program, and is known again by the next.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, setpriority_process};
use serde::{Deserialize, Serialize};

use super::{journal, record};

/// How far a job stands back behind whoever waits for an answer: the system's own scale, from -20 to 19.
const NICENESS: i32 = 10;
/// How gladly the system ends a job, before anything else, when memory runs out: from -1000 to 1000.
const OUT_OF_MEMORY: &str = "800";
/// Variables of this program's settings, its token among them.
const OURS: &str = "JNANA_";

/// Which process it is. Numbers are given again, but not at the same time since the same start of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Its number.
    pub(super) id: u32,
    /// The machine's start, and the time of its own since then.
    born: String,
}

impl Identity {
    /// Of a process that is there.
    pub(super) fn of(id: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name of the program, in brackets, may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        if matches!(state, "Z" | "X") {
            return None;
        }
        // proc(5): the state is field 3, the start field 22.
        let start = fields.nth(18)?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self { id, born: format!("{}/{start}", boot.trim()) })
    }

    /// Whether it is still there.
    pub(super) fn lives(&self) -> bool {
        Self::of(self.id).as_ref() == Some(self)
    }

    /// Asks it to end in good order.
    pub(super) fn ask_to_end(&self) {
        self.signal(kill_process, Signal::TERM);
    }

    /// Ends it and what it started.
    pub(super) fn kill(&self) {
        self.signal(kill_process_group, Signal::KILL);
    }

    fn signal(&self, send: fn(Pid, Signal) -> rustix::io::Result<()>, signal: Signal) {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        if let Some(id) = id.filter(|_| self.lives())
            && let Err(error) = send(id, signal)
        {
            tracing::warn!(%error, process = self.id, "a job's process did not take a signal");
        }
    }
}

/// Starts the process of the job in `folder`. It leads a group of its own, so that no terminal's Ctrl-C reaches it.
pub(super) fn start(command: &jnana_api::jobs::Command, folder: &Path) -> std::io::Result<Child> {
    let append = |path: &Path| OpenOptions::new().append(true).create(true).open(path);
    let ours =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with(OURS));
    let mut process = Command::new(&command.program);
    for name in ours {
        process.env_remove(name);
    }
    let child = process
        .args(&command.arguments)
        .current_dir(record::work(folder))
        .stdin(Stdio::null())
        .stdout(append(&journal::path(folder))?)
        .stderr(append(&record::log(folder))?)
        .process_group(0)
        .spawn()?;
    step_back(&child);
    Ok(child)
}

/// The chat comes first; a job that cannot be told so runs all the same.
fn step_back(child: &Child) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Err(error) = setpriority_process(id, NICENESS) {
        tracing::warn!(%error, "a job runs with the server's own priority");
    }
    if let Err(error) = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), OUT_OF_MEMORY) {
        tracing::warn!(%error, "when memory runs out, the system may end the server before a job");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_until_it_ends_and_its_number_is_not_enough() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(record::work(folder.path())).unwrap();
        let arguments = ["-c", "echo out; echo err >&2; exec sleep 60"].map(str::to_owned).to_vec();
        let command = jnana_api::jobs::Command { program: "/bin/sh".to_owned(), arguments };
        let mut child = start(&command, folder.path()).unwrap();
        let identity = Identity::of(child.id()).unwrap();
        assert!(identity.lives());
        assert!(!Identity { born: "another start/1".to_owned(), ..identity.clone() }.lives());
        Identity { born: "another start/1".to_owned(), ..identity.clone() }.kill();
        assert!(child.try_wait().unwrap().is_none());
        while std::fs::read_to_string(record::log(folder.path())).unwrap() != "err\n" {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        identity.ask_to_end();
        assert!(!child.wait().unwrap().success());
        assert!(!identity.lives());
        assert_eq!(std::fs::read_to_string(journal::path(folder.path())).unwrap(), "out\n");
    }
}
