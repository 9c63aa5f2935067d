//! Sound: from bytes to the 16 kHz mono that speech recognisers take.

mod pcm;
mod resample;
mod vad;
mod wav;

pub use pcm::{decode_audio, decode_pcm};
pub use resample::{MAX_RATE, MIN_RATE, resample};
pub use vad::speech_spans;
pub use wav::{decode_wav, encode_wav};

use crate::Error;

/// The sample rate of speech recognition, in Hz; [`speech_spans`] takes no other.
pub const VOICE_RATE: u32 = 16_000;

/// Mono sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Samples a second, in Hz.
    pub sample_rate: u32,
    /// Amplitudes; full scale is -1..1.
    pub samples: Vec<f32>,
}

impl Sound {
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }
}

/// How large a sound may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioLimits {
    /// Bytes of the file.
    pub max_bytes: usize,
    /// Length in seconds; checked before samples are allocated.
    pub max_seconds: f64,
}

impl Default for AudioLimits {
    /// 32 MiB and ten minutes.
    fn default() -> Self {
        Self { max_bytes: 32 << 20, max_seconds: 600.0 }
    }
}

impl AudioLimits {
    /// Refuses a file that is too long in bytes.
    fn check_bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.max_bytes {
            return Err(Error::TooManyBytes { what: "sound", came: bytes.len(), limit: self.max_bytes });
        }
        Ok(())
    }

    /// Refuses a rate that cannot be resampled and a number of frames that lasts too long.
    fn check_frames(&self, frames: usize, rate: u32) -> Result<(), Error> {
        if !(MIN_RATE..=MAX_RATE).contains(&rate) {
            return Err(Error::SampleRate { rate });
        }
        let seconds = frames as f64 / f64::from(rate);
        if seconds > self.max_seconds {
            return Err(Error::TooLong { seconds, limit: self.max_seconds });
        }
        Ok(())
    }
}

/// Averages the channels of interleaved samples into one and clips to full scale, as a sound card would.
///
/// `values` gives whole frames of `channels` samples each; what is left of an unfinished frame is dropped.
fn downmix(
    values: impl Iterator<Item = Result<f32, Error>>,
    channels: usize,
    frames: usize,
) -> Result<Vec<f32>, Error> {
    let mut mono = Vec::with_capacity(frames);
    let (mut sum, mut filled) = (0.0, 0);
    for (index, value) in values.take(frames * channels).enumerate() {
        let value = value?;
        if !value.is_finite() {
            return Err(Error::NotFinite { index });
        }
        sum += value;
        filled += 1;
        if filled == channels {
            mono.push((sum / channels as f32).clamp(-1.0, 1.0));
            (sum, filled) = (0.0, 0);
        }
    }
    Ok(mono)
}
