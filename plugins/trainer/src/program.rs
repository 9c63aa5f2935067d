//! Asks the program something and waits for its answer.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jnana_plugin_sdk::{Call, Code, Error};
use serde::de::DeserializeOwned;

/// How often it is looked whether the answer is still wanted.
const POLL: Duration = Duration::from_millis(10);

/// The JSON that the program prints when it is run with `arguments`.
///
/// # Errors
/// When it cannot be run, fails, or prints something else; when the call was cancelled.
pub(crate) fn ask<T: DeserializeOwned>(
    program: &Path,
    arguments: &[String],
    call: &Call<'_>,
) -> Result<T, Error> {
    let failed = |what: String| Error::new(Code::Resource, format!("{}: {what}", program.display()));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    // Both are read while it runs, so that it never waits for a reader.
    let (ended, out, err) = std::thread::scope(|scope| {
        let (out, err) = (scope.spawn(|| read(out)), scope.spawn(|| read(err)));
        let ended = wait(&mut child, call);
        (ended, out.join().unwrap_or_default(), err.join().unwrap_or_default())
    });
    let succeeded = ended?.map_err(|error| failed(error.to_string()))?;
    if !succeeded {
        let words = err.trim().lines().last().unwrap_or("it failed without a word").to_owned();
        return Err(failed(words));
    }
    serde_json::from_str(&out)
        .map_err(|error| failed(format!("it gave another answer than expected: {error}")))
}

/// Waits for its end: whether it ended well. The outer error says that nobody wants to know any more.
fn wait(child: &mut Child, call: &Call<'_>) -> Result<std::io::Result<bool>, Error> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Ok(status.success())),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
        if call.cancelled() {
            // It may have ended by itself just now, which is as good.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::new(Code::Cancelled, "cancelled while the data was looked at"));
        }
        std::thread::sleep(POLL);
    }
}

fn read(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What came until it broke off is all there is.
        let _ = from.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
