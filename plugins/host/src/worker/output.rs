//! What a worker prints: some of it is wanted, a flood is not.

use std::time::Instant;

/// Bytes that may come at once.
const BURST: f64 = (4 << 20) as f64;
/// Bytes a second that may come for ever.
const RATE: f64 = (256 << 10) as f64;
/// Longest line that is logged.
const LINE: usize = 1 << 10;
/// How much of the end is kept for the words about a crash.
const TAIL: usize = 2 << 10;

/// How much a worker may still say: a bucket that fills while it is silent.
pub(super) struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// Takes bytes out; false when it is a flood.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + seconds * RATE).min(BURST) - bytes as f64;
        self.at = now;
        self.left >= 0.0
    }
}

/// A stream cut into lines, with its end kept.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    tail: Vec<u8>,
}

impl Lines {
    /// Takes what was read and gives each whole line to `hear`.
    pub(super) fn push(&mut self, bytes: &[u8], mut hear: impl FnMut(&str)) {
        self.tail.extend_from_slice(bytes);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                hear(String::from_utf8_lossy(&self.line).trim_end());
                self.line.clear();
            }
        }
    }

    /// The end of all that came.
    pub(super) fn tail(&self) -> String {
        String::from_utf8_lossy(&self.tail).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_told_from_a_stream() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert!((1..100).all(|second| allowance.take(200 << 10, start + Duration::from_secs(second))));
        let end = start + Duration::from_secs(100);
        assert!(!(0..100).all(|_| allowance.take(64 << 10, end)));
    }

    #[test]
    fn lines_come_whole_long_ones_cut_and_the_end_is_kept() {
        let mut lines = Lines::default();
        let mut heard = Vec::new();
        for bytes in [&b"one\ntw"[..], b"o\n", &[b'x'; 3 * LINE], b"\nlast"] {
            lines.push(bytes, |line| heard.push(line.to_owned()));
        }
        assert_eq!(heard[..2], ["one", "two"]);
        assert_eq!((heard.len(), heard[2].len()), (3, LINE));
        assert!(lines.tail().ends_with("x\nlast") && lines.tail().len() == TAIL);
    }
}
