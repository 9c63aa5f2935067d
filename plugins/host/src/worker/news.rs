//! Reads what a worker says over the control socket without ever waiting for it: half a message must not hold the keeper.

#![allow(unsafe_code)] // recv without waiting, on a socket whose writers do wait.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::wire::{HEAD, News, bad, lengths, parse};

/// Longest message: a line of the log of 1 MiB, escaped.
const MAX_NEWS: usize = 8 << 20;

/// What has come so far.
#[derive(Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// Takes what is there, at most as much as `buffer` holds; 0 at the end of the stream.
    pub(super) fn read(&mut self, socket: &UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: an open socket and a buffer of this length.
        let read = unsafe {
            libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
        };
        let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
        self.bytes.extend_from_slice(&buffer[..read]);
        Ok(read)
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> io::Result<Option<News>> {
        let Some(head) = self.bytes.first_chunk::<HEAD>() else { return Ok(None) };
        let (json, bytes) = lengths(*head)?;
        if json > MAX_NEWS || bytes > 0 {
            return Err(bad(format!("a message of {json} and {bytes} bytes was announced")));
        }
        let Some(text) = self.bytes.get(HEAD..HEAD + json) else { return Ok(None) };
        let news = parse(text)?;
        self.bytes.drain(..HEAD + json);
        Ok(Some(news))
    }
}
