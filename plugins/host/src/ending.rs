//! How a child process ended, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How much of the child's standard error goes into the words.
const TAIL: usize = 400;

pub(crate) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended the process with status {code}"),
        (None, Some(libc::SIGSEGV)) => "it crashed with a segmentation fault (SIGSEGV)".to_owned(),
        (None, Some(libc::SIGABRT)) => "it crashed: it aborted the process (SIGABRT)".to_owned(),
        (None, signal) => format!("it crashed with signal {}", signal.unwrap_or_default()),
    }
}

/// The end of what the child wrote to standard error, as an addition to a sentence.
pub(crate) fn said(stderr: &str) -> String {
    let text = stderr.trim();
    if text.is_empty() {
        return String::new();
    }
    format!("; it wrote: {}", &text[text.ceil_char_boundary(text.len().saturating_sub(TAIL))..])
}
