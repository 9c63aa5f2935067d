//! The host's end of one call in a worker.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use jnana_plugin_abi as abi;

use super::wire::{self, Call, Done, Heard, Said, bad};
use crate::call::CancelFlag;
use crate::collect::{Accepts, Collecting, check_times};
use crate::runner::Answer;
use crate::tensor;

/// How often a call that waits looks at its flag and at the time.
const POLL: Duration = Duration::from_millis(20);
/// How long a call may go on after it was cancelled.
const CANCELLED: Duration = Duration::from_secs(10);

/// A socket for one call at a time.
pub(super) struct Lane {
    pub(super) index: usize,
    socket: UnixStream,
}

/// Looks whether a call still has time, and passes on that it is no longer wanted.
pub(super) struct Watch<'a> {
    pub(super) cancel: &'a CancelFlag,
    /// Tells the worker.
    pub(super) tell: &'a dyn Fn(),
    pub(super) limit: Duration,
    /// The last sign of life.
    life: Instant,
    cancelled: Option<Instant>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(cancel: &'a CancelFlag, tell: &'a dyn Fn(), limit: Duration) -> Self {
        Self { cancel, tell, limit, life: Instant::now(), cancelled: None }
    }

    fn look(&mut self) -> io::Result<()> {
        let over = |words: String| Err(io::Error::new(io::ErrorKind::TimedOut, words));
        if self.cancelled.is_none() && self.cancel.is_cancelled() {
            (self.tell)();
            self.cancelled = Some(Instant::now());
        }
        if self.cancelled.is_some_and(|at| at.elapsed() > CANCELLED) {
            return over(format!(
                "it hung: a call did not end within {} s of being cancelled",
                CANCELLED.as_secs()
            ));
        }
        if self.life.elapsed() > self.limit {
            return over(format!("it hung: a call gave nothing for {} s", self.limit.as_secs_f64()));
        }
        Ok(())
    }
}

/// A socket whose reads and writes end when the watch says so.
struct Watched<'a, 'b> {
    socket: &'a UnixStream,
    watch: &'a mut Watch<'b>,
}

impl Watched<'_, '_> {
    fn patiently<T>(&mut self, mut attempt: impl FnMut(&mut &UnixStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            self.watch.look()?;
            match attempt(&mut self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}

impl Read for Watched<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patiently(|socket| socket.read(buffer))
    }
}

impl Write for Watched<'_, '_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.patiently(|socket| socket.write(buffer))
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.patiently(|socket| socket.write_vectored(parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lane {
    pub(super) fn new(index: usize, socket: UnixStream) -> io::Result<Self> {
        socket.set_read_timeout(Some(POLL))?;
        socket.set_write_timeout(Some(POLL))?;
        Ok(Self { index, socket })
    }

    /// Makes one call; with the answer comes the instance's status line. An error means that the worker cannot be used
    /// any more.
    pub(super) fn call(
        &self,
        call: &Call,
        input: &[u8],
        accepts: Accepts,
        watch: &mut Watch<'_>,
    ) -> io::Result<(Answer, String)> {
        let mut socket = Watched { socket: &self.socket, watch };
        wire::send(&mut socket, call, input)?;
        let mut collecting = Collecting::new(accepts);
        loop {
            match wire::receive::<Said>(&mut socket)? {
                (Said::Segment(segment), 0) => {
                    let wanted = match check_times(segment.start, segment.end) {
                        Ok(()) => take(|| collecting.segment(segment)),
                        Err(reason) => collecting.reject(reason),
                    };
                    wire::send(&mut socket, &Heard { wanted: wanted == abi::OK }, &[])?;
                    socket.watch.life = Instant::now();
                }
                (Said::Segment(_), bytes) => return Err(bad(format!("{bytes} bytes came with a segment"))),
                (Said::Done(done), bytes) => return finish(done, bytes, collecting, &mut socket),
            }
        }
    }
}

/// A reader's panic is not the worker's fault, nor this thread's.
fn take(reader: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(reader)).unwrap_or_else(|payload| {
        std::mem::forget(payload);
        abi::ERROR_INTERNAL
    })
}

/// Reads the rows, if any, and hands over what the call made.
fn finish(
    done: Done,
    bytes: u64,
    mut collecting: Collecting,
    socket: &mut Watched<'_, '_>,
) -> io::Result<(Answer, String)> {
    if let Some(shape) = done.shape {
        let expected = collecting.expected().map_err(|reason| bad(reason.to_owned()))?;
        let (positions, width) = expected.check(shape).map_err(bad)?;
        if bytes != (positions * width * size_of::<f32>()) as u64 {
            return Err(bad(format!("{bytes} bytes came for values of shape {shape:?}")));
        }
        let mut values = vec![0.0_f32; positions * width];
        socket.read_exact(bytemuck::cast_slice_mut(&mut values))?;
        match tensor::finite(values, positions, width) {
            Ok(rows) => collecting.collected.rows = Some(rows),
            Err(reason) => {
                collecting.reject(reason);
            }
        }
    } else if bytes > 0 {
        return Err(bad(format!("{bytes} bytes came without a shape")));
    }
    let mut collected = collecting.finish();
    collected.language = done.language;
    collected.failure = done.failure;
    collected.rejection = collected.rejection.or(done.rejection);
    let answer = done.status.map_or(Answer::NoFunction, |status| Answer::Returned(status, collected));
    Ok((answer, done.line))
}
