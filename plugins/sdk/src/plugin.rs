//! The traits that an author implements.

use std::path::PathBuf;

use jnana_api::plugins::{Manifest, Segment};
use serde_json::{Map, Value};

/// One plugin. Instances are made by the host, called from its worker threads (at most `max_concurrency` at a time), and
/// dropped by it; dropping must end every thread the instance started.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// The static self-description. No I/O.
    fn manifest() -> Manifest;

    /// Makes an instance: loads weights, warms up.
    ///
    /// # Errors
    /// Say what is missing and what to do; the text is shown to the operator.
    fn create(create: Create) -> Result<Self, Error>;

    /// A short status line for people, such as `projector: untrained`; empty when there is nothing to say.
    fn status(&self) -> String {
        String::new()
    }

    /// `jnana.encoder/1`.
    fn encoder(&self) -> Option<&dyn Encoder> {
        None
    }

    /// `jnana.features/1`.
    fn features(&self) -> Option<&dyn Features> {
        None
    }

    /// `jnana.transcriber/1`.
    fn transcriber(&self) -> Option<&dyn Transcriber> {
        None
    }
}

/// `jnana.encoder/1`: an input becomes positions in the core's embedding space.
pub trait Encoder {
    /// Encodes one input. The rows must be `width` of [`Create`] wide.
    ///
    /// # Errors
    /// [`Code::InvalidInput`] when the input is to blame.
    fn encode(&self, input: &Input<'_>, call: &Call<'_>) -> Result<Embeddings, Error>;
}

/// `jnana.features/1`: the encoder before its projector, for alignment.
pub trait Features {
    /// The features of one input, as wide as the encoder makes them.
    ///
    /// # Errors
    /// [`Code::InvalidInput`] when the input is to blame.
    fn features(&self, input: &Input<'_>, call: &Call<'_>) -> Result<Embeddings, Error>;
}

/// `jnana.transcriber/1`: an input becomes text.
pub trait Transcriber {
    /// Transcribes one input and pushes its segments, in time order, with [`Call::segment`]. Pushing none means that there
    /// was nothing to hear. `options` may hold `language` (a code) and `prompt` (a hint); unknown keys are ignored.
    /// Returns the language when it is known.
    ///
    /// # Errors
    /// [`Code::InvalidInput`] when the input is to blame, [`Code::Cancelled`] when [`Call::cancelled`] said so.
    fn transcribe(
        &self,
        input: &Input<'_>,
        options: &Map<String, Value>,
        call: &Call<'_>,
    ) -> Result<Option<String>, Error>;
}

/// What the host gives to a new instance.
#[derive(Debug, Clone)]
pub struct Create {
    /// Embedding space that an encoder is asked to emit; empty for none.
    pub space: String,
    /// Width of that space; 0 for none.
    pub width: usize,
    /// Most threads that the instance may run at once, the caller's included.
    pub threads: usize,
    /// A folder of the plugin's own that survives restarts; may be emptied between them.
    pub cache_dir: PathBuf,
    /// The settings object, defaults not filled in; settings named in `Manifest::models` hold resolved paths.
    pub settings: Map<String, Value>,
}

/// An input in the form that the host chose from `Manifest::accepts`, borrowed for the call.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Interleaved rgb8, `[height, width, 3]`.
    Image {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// The bytes.
        pixels: &'a [u8],
    },
    /// Mono samples in −1..1.
    Audio {
        /// Samples a second.
        sample_rate: u32,
        /// The samples.
        samples: &'a [f32],
    },
    /// Bytes as they came.
    Raw {
        /// Their MIME type.
        mime: &'a str,
        /// The bytes.
        bytes: &'a [u8],
    },
}

impl<'a> Input<'a> {
    /// The bytes of a raw input.
    ///
    /// # Errors
    /// [`Code::InvalidInput`] for pixels and samples.
    pub fn bytes(&self) -> Result<&'a [u8], Error> {
        match *self {
            Self::Raw { bytes, .. } => Ok(bytes),
            Self::Image { .. } => Err(Error::invalid("expected bytes as they came, got pixels")),
            Self::Audio { .. } => Err(Error::invalid("expected bytes as they came, got samples")),
        }
    }

    /// The text of a raw input.
    ///
    /// # Errors
    /// As [`Self::bytes`], and for what is not UTF-8.
    pub fn text(&self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|error| Error::invalid(format!("expected text in UTF-8: {error}")))
    }
}

/// Rows that an encoder made: `[positions, width]`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// The values, `positions × width`.
    pub values: Vec<f32>,
    /// Width of a row.
    pub width: usize,
}

/// The host's side of a running call.
pub struct Call<'a> {
    pub(crate) cancelled: &'a (dyn Fn() -> bool + Sync),
    pub(crate) segment: &'a (dyn Fn(&Segment) -> bool + Sync),
}

impl<'a> Call<'a> {
    /// A call from two functions; the macro uses it, and so may a test.
    #[must_use]
    pub fn new(
        cancelled: &'a (dyn Fn() -> bool + Sync),
        segment: &'a (dyn Fn(&Segment) -> bool + Sync),
    ) -> Self {
        Self { cancelled, segment }
    }

    /// True once the caller wants no answer any more. Cheap, from any thread.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        (self.cancelled)()
    }

    /// Hands a piece of text on. False when the host wants no more.
    pub fn segment(&self, segment: &Segment) -> bool {
        (self.segment)(segment)
    }
}

/// Why a call failed, with words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind.
    pub code: Code,
    /// What happened, why, what to do.
    pub message: String,
}

impl Error {
    /// An error of a kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The input is to blame.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidInput, message)
    }

    /// The plugin is to blame.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The input is to blame: a 4xx.
    InvalidInput,
    /// Memory, a file, a device is missing: a 503.
    Resource,
    /// The caller cancelled.
    Cancelled,
    /// The plugin is to blame: a 502.
    Internal,
}
