//! What goes into a call and what comes out of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jnana_api::plugins::Segment;

/// An input as a person sent it.
#[derive(Debug, Clone, Copy)]
pub struct RawInput<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Declared MIME type, with parameters where it has some (`audio/pcm;rate=16000;format=s16le`). Empty for unknown.
    pub mime: &'a str,
}

/// A switch that ends a call early. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag: calls that wait for their turn end at once, running ones when the plugin looks.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Rows that a plugin made of an input: `[positions, width]`, row-major, all finite.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedRows {
    /// The values, `positions × width`.
    pub values: Vec<f32>,
    /// Number of rows, at least 1.
    pub positions: usize,
    /// Length of a row, at least 1.
    pub width: usize,
}

/// Text that a plugin made of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// Pieces in the order of time; none when there was nothing to hear.
    pub segments: Vec<Segment>,
    /// Language code, when the plugin told.
    pub language: Option<String>,
    /// Length of the input in seconds; for inputs that are not sound, the end of the last segment.
    pub duration: f64,
}

impl Transcript {
    /// The whole text: the segments' texts one after the other, trimmed.
    #[must_use]
    pub fn text(&self) -> String {
        let joined: String = self.segments.iter().map(|segment| segment.text.as_str()).collect();
        joined.trim().to_owned()
    }
}

/// Kinds of failure of a call, with the HTTP status that they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The input is damaged or not what the plugin can work with: 400.
    InvalidInput,
    /// The input is over a limit of bytes, pixels or seconds: 413.
    TooLarge,
    /// The input is of a type that the plugin does not take, or the plugin has no such function: 415.
    Unsupported,
    /// Memory, a file, a device is missing, or the plugin is being made anew: 503.
    Resource,
    /// The caller's flag was set, or the reader of segments wanted no more: 409.
    Cancelled,
    /// The plugin is to blame: it failed, panicked, or gave back what breaks the contract: 502.
    Plugin,
}

/// Why a call failed, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin}: {message}")]
pub struct CallError {
    /// Who is to blame.
    pub kind: CallErrorKind,
    /// Id of the plugin.
    pub plugin: String,
    /// What happened, why, what to do.
    pub message: String,
}
