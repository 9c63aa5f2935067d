//! What can be wrong with an upload, in words a person can act on.

/// Why bytes could not be turned into a picture or a sound.
///
/// The message is meant for whoever sent the bytes: it names what came, what was expected and, where there is
/// one, the way on. It never contains the bytes themselves.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The upload has more bytes than the limits allow.
    #[error("the {what} has {came} bytes, more than the {limit} allowed; send a smaller one")]
    TooManyBytes {
        /// `picture` or `sound`.
        what: &'static str,
        /// Bytes that came.
        came: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The picture's header announces more pixels than the limits allow.
    #[error(
        "the picture is {width}×{height}, more than {max_pixels} pixels or {} a side; send a smaller one",
        crate::image::MAX_SIDE
    )]
    TooManyPixels {
        /// Announced width in pixels.
        width: u32,
        /// Announced height in pixels.
        height: u32,
        /// Pixels allowed.
        max_pixels: u64,
    },
    /// Decoding would take more memory than a picture within the limits needs.
    #[error("the {format} picture takes more memory than its limits allow; send a smaller or simpler one")]
    TooMuchMemory {
        /// `JPEG`, `PNG` or `WebP`.
        format: &'static str,
    },
    /// The sound is longer than the limits allow.
    #[error("the sound lasts {seconds:.1} s, more than the {limit} s allowed; send a shorter one")]
    TooLong {
        /// Length that came, in seconds.
        seconds: f64,
        /// Length allowed, in seconds.
        limit: f64,
    },
    /// The bytes are of a known type that is not decoded here.
    #[error("{found} is not supported; send {accepted}{hint}")]
    Unsupported {
        /// The type that was recognised, as people call it.
        found: String,
        /// What to send instead.
        accepted: &'static str,
        /// Where known, how to get there; starts with its own separator.
        hint: &'static str,
    },
    /// The bytes are of no type that is known here.
    #[error("these bytes are not a {what} of a known type; send {accepted}")]
    Unrecognised {
        /// `picture` or `sound`.
        what: &'static str,
        /// What to send instead.
        accepted: &'static str,
    },
    /// The codec gave up on the picture.
    #[error("the {format} picture is damaged: {source}")]
    DamagedImage {
        /// `JPEG`, `PNG` or `WebP`.
        format: &'static str,
        /// What the codec said.
        source: ::image::ImageError,
    },
    /// A buffer of pixels does not have the size that its picture states.
    #[error("a {width}×{height} picture needs {expected} bytes of RGB, {came} came")]
    PixelCount {
        /// Stated width in pixels.
        width: u32,
        /// Stated height in pixels.
        height: u32,
        /// Bytes needed, `3·width·height`.
        expected: u64,
        /// Bytes that came.
        came: usize,
    },
    /// The structure of a WAV file is broken.
    #[error("the WAV file is damaged: {reason}")]
    DamagedWav {
        /// What was expected and what came.
        reason: String,
    },
    /// A raw PCM upload does not agree with its media type, or the media type is incomplete.
    #[error("raw PCM as `{mime}`: {reason}; expected audio/pcm;rate=16000;format=s16le or format=f32le")]
    Pcm {
        /// The media type as it came.
        mime: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// A sample is NaN or infinite.
    #[error("sample {index} is not a finite number")]
    NotFinite {
        /// Position of the first such sample, counted over all channels.
        index: usize,
    },
    /// The sample rate is outside of what resampling handles.
    #[error(
        "a sample rate of {rate} Hz is not supported; use {} to {} Hz",
        crate::audio::MIN_RATE,
        crate::audio::MAX_RATE
    )]
    SampleRate {
        /// The rate that came, in Hz.
        rate: u32,
    },
    /// The resampler refused its input.
    #[error("resampling from {from} Hz to {to} Hz: {reason}")]
    Resample {
        /// Source rate in Hz.
        from: u32,
        /// Target rate in Hz.
        to: u32,
        /// What the resampler said.
        reason: String,
    },
}

/// The family of an [`Error`], for mapping to a status (413, 415, 400) without reading its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Over a limit of bytes, pixels or seconds.
    TooLarge,
    /// A type of file that is not decoded here.
    Unsupported,
    /// Damaged, incomplete or contradictory input.
    Malformed,
}

impl Error {
    /// The family this error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooManyBytes { .. }
            | Self::TooManyPixels { .. }
            | Self::TooMuchMemory { .. }
            | Self::TooLong { .. } => ErrorKind::TooLarge,
            Self::Unsupported { .. } | Self::Unrecognised { .. } | Self::SampleRate { .. } => {
                ErrorKind::Unsupported
            }
            Self::DamagedImage { .. }
            | Self::PixelCount { .. }
            | Self::DamagedWav { .. }
            | Self::Pcm { .. }
            | Self::NotFinite { .. }
            | Self::Resample { .. } => ErrorKind::Malformed,
        }
    }
}
