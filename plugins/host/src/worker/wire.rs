//! Frames between host and worker: how long, a message in JSON, then raw bytes for what is big.
//!
//! A frame starts with two numbers in the machine's own order: the length of the JSON (u32) and that of the bytes (u64).
//! Neither side believes the other's numbers: who receives says how much it takes.

use std::io::{self, IoSlice, Read, Write};
use std::path::PathBuf;

use jnana_api::plugins::Segment;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::input::Head;
use crate::sandbox::Sandbox;
use crate::tensor::Expected;

/// Longest JSON of a frame: a text of 1 MiB, every byte of it escaped.
pub(super) const MAX_JSON: usize = 8 << 20;
/// Bytes before the JSON.
pub(super) const HEAD: usize = 12;

/// The first frame on the control socket, from the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The manifest as the scanning child showed it; the worker must see the same.
    pub(crate) manifest: String,
    pub(crate) space: String,
    pub(crate) width: u32,
    pub(crate) threads: u32,
    pub(crate) cache_dir: PathBuf,
    pub(crate) settings: Map<String, Value>,
    pub(crate) sandbox: Sandbox,
}

/// All that follows from the host on the control socket: a call is no longer wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cancel {
    pub(super) lane: usize,
    pub(super) call: u64,
}

/// From the worker on the control socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum News {
    /// The instance is made.
    Ready {
        /// Its status line.
        line: String,
        /// What the kernel does not let the sandbox do, in words; empty for nothing.
        gaps: String,
    },
    /// There is no instance, and why.
    Failed { reason: String },
    /// A line of the plugin's log.
    Log { level: i32, message: String },
    /// A breach of the contract that cost no call.
    Fault { fault: String },
}

/// A call, from the host on a lane; the input's bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Call {
    /// Never given twice in one worker.
    pub(super) call: u64,
    pub(super) function: Name,
    /// Options of a transcription.
    pub(super) options: String,
    /// What an encoder may push.
    pub(super) expected: Option<Expected>,
    pub(super) input: Head,
}

/// Which function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Name {
    Encode,
    Features,
    Transcribe,
}

/// From the worker on a lane, while a call runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said {
    /// A segment; the worker waits for a [`Heard`].
    Segment(Segment),
    /// The call is over; the values of its rows follow.
    Done(Done),
}

/// Whether the reader wants more segments.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Heard {
    pub(super) wanted: bool,
}

/// How a call ended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Done {
    /// What the function returned; none when the instance has no such function.
    pub(super) status: Option<i32>,
    pub(super) failure: Option<(i32, String)>,
    pub(super) rejection: Option<String>,
    pub(super) language: Option<String>,
    /// Shape of the rows.
    pub(super) shape: Option<[i64; 2]>,
    /// The instance's status line now.
    pub(super) line: String,
}

/// Sends a frame in as few writes as the socket allows.
pub(super) fn send<T: Serialize>(to: &mut impl Write, message: &T, bytes: &[u8]) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length as usize <= MAX_JSON);
    let length = length.ok_or_else(|| bad(format!("a message of {} bytes is too long", json.len())))?;
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&length.to_ne_bytes());
    head[4..].copy_from_slice(&(bytes.len() as u64).to_ne_bytes());
    let mut parts = [IoSlice::new(&head), IoSlice::new(&json), IoSlice::new(bytes)];
    let mut left = &mut parts[..];
    while !left.is_empty() {
        match to.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Receives the message of a frame, and how many bytes follow it.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<(T, u64)> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let (json, bytes) = lengths(head)?;
    let mut text = vec![0; json];
    from.read_exact(&mut text)?;
    Ok((parse(&text)?, bytes))
}

/// The two numbers that a frame starts with.
pub(super) fn lengths(head: [u8; HEAD]) -> io::Result<(usize, u64)> {
    let [a, b, c, d, bytes @ ..] = head;
    let json = u32::from_ne_bytes([a, b, c, d]) as usize;
    if json > MAX_JSON {
        return Err(bad(format!("a message of {json} bytes was announced, at most {MAX_JSON} are taken")));
    }
    Ok((json, u64::from_ne_bytes(bytes)))
}

/// A message out of its JSON.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> io::Result<T> {
    serde_json::from_slice(text).map_err(|error| bad(format!("a message cannot be read: {error}")))
}

/// An error for what breaks the rules above.
pub(super) fn bad(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let mut pipe = Vec::new();
        send(&mut pipe, &Cancel { lane: 3, call: 9 }, b"bulk").unwrap();
        send(&mut pipe, &Heard { wanted: true }, &[]).unwrap();
        let mut rest = pipe.as_slice();
        let (cancel, bytes) = receive::<Cancel>(&mut rest).unwrap();
        assert_eq!((cancel.lane, cancel.call, bytes), (3, 9, 4));
        let (bulk, mut rest) = rest.split_at(4);
        assert_eq!(bulk, b"bulk");
        assert!(receive::<Heard>(&mut rest).unwrap().0.wanted);
        assert_eq!(receive::<Heard>(&mut rest).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn lengths_that_nobody_needs_are_refused_before_memory_is_taken() {
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(lengths(head).unwrap_err().to_string().contains("at most"));
        assert!(parse::<Cancel>(b"{}").unwrap_err().to_string().contains("lane"));
    }
}
