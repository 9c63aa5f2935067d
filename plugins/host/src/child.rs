//! Runs a child process that may do anything: crash, hang, print without end.

#![allow(unsafe_code)] // Ends a child with all that it started.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Most that is kept of each stream of the child.
const MAX_OUTPUT: usize = 4 << 20;
/// How much of the child's standard error goes into the words about it.
const TAIL: usize = 400;
const POLL: Duration = Duration::from_millis(5);
/// How long the streams may stay open after the child ended.
const DRAIN: Duration = Duration::from_secs(1);

/// A child that is gone, with what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// How it ended; none when its time was up.
    pub status: Option<ExitStatus>,
    /// Its standard output; of a flood the end.
    pub stdout: String,
    /// Its standard error; of a flood the end.
    pub stderr: String,
}

/// Runs a program in a process group of its own, at most for `limit`; then ends what is left of the group.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, limit);
    let (stdout, stderr) = (stdout.recv_timeout(DRAIN), stderr.recv_timeout(DRAIN));
    Ok(Ended { status: status?, stdout: stdout.unwrap_or_default(), stderr: stderr.unwrap_or_default() })
}

/// How a child ended, in words.
#[must_use]
pub fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended the process with status {code}"),
        (None, Some(libc::SIGSEGV)) => "it crashed with a segmentation fault (SIGSEGV)".to_owned(),
        (None, Some(libc::SIGABRT)) => "it crashed: it aborted the process (SIGABRT)".to_owned(),
        (None, signal) => format!("it crashed with signal {}", signal.unwrap_or_default()),
    }
}

/// The end of what the child wrote to standard error, as an addition to a sentence.
#[must_use]
pub fn said(stderr: &str) -> String {
    let text = stderr.trim();
    if text.is_empty() {
        return String::new();
    }
    format!("; it wrote: {}", &text[text.ceil_char_boundary(text.len().saturating_sub(TAIL))..])
}

/// Reads a stream on a thread of its own, so that a full pipe cannot stop the child and an open one cannot stop us.
fn drain(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let end = stream.map_or_else(Vec::new, read_end);
        // Nobody listens any more when the drain took too long.
        let _ = sender.send(String::from_utf8_lossy(&end).into_owned());
    });
    receiver
}

/// Reads a stream to its end, however long: a child whose output nobody takes would fail at that, not at its task.
fn read_end(mut stream: impl Read) -> Vec<u8> {
    let (mut kept, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    // What was read before an error still counts.
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..read]);
        if kept.len() > 2 * MAX_OUTPUT {
            kept.drain(..kept.len() - MAX_OUTPUT);
        }
    }
    kept.drain(..kept.len().saturating_sub(MAX_OUTPUT));
    kept
}

/// Waits for the child, at most for the limit, then ends what is left of its process group. `None`: it did not end.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(None) if start.elapsed() < limit => std::thread::sleep(POLL),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_prints_much_ends_as_it_would_and_its_end_is_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "yes words | head -c 20000000; echo; echo last"]);
        let ended = run(&mut command, Duration::from_secs(60)).unwrap();
        assert!(ended.status.is_some_and(|status| status.success()));
        assert!(ended.stdout.ends_with("\nlast\n") && ended.stdout.len() == MAX_OUTPUT);
    }
}
