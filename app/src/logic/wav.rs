//! PCM samples as a WAV file, and how loud they are.

/// Bytes of the header that [`encode`] writes.
pub const HEADER_BYTES: usize = 44;

/// Mono 16-bit WAV (RIFF, format 1) of samples in −1..1; what lies outside is clipped.
#[must_use]
pub fn encode(samples: &[f32], sample_rate: u32) -> Vec<u8> {
    let data_bytes = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX - 36);
    let mut wav = Vec::with_capacity(HEADER_BYTES + samples.len() * 2);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16u32.to_le_bytes());
    wav.extend_from_slice(&1u16.to_le_bytes()); // PCM
    wav.extend_from_slice(&1u16.to_le_bytes()); // channels
    wav.extend_from_slice(&sample_rate.to_le_bytes());
    wav.extend_from_slice(&(sample_rate * 2).to_le_bytes()); // bytes a second
    wav.extend_from_slice(&2u16.to_le_bytes()); // bytes a frame
    wav.extend_from_slice(&16u16.to_le_bytes()); // bits a sample
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&data_bytes.to_le_bytes());
    for sample in samples {
        wav.extend_from_slice(&to_i16(*sample).to_le_bytes());
    }
    wav
}

#[allow(clippy::cast_possible_truncation)] // clamped to the range of i16
fn to_i16(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * 32767.0).round() as i16
}

/// Loudness for a meter: root mean square on a decibel scale, 0 at −60 dB or less, 1 at full scale.
#[must_use]
#[allow(clippy::cast_precision_loss)] // a few thousand samples
pub fn level(samples: &[f32]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
    let decibels = 10.0 * power.max(1e-9).log10();
    (decibels / 60.0 + 1.0).clamp(0.0, 1.0)
}

/// Whether the samples are digital silence: a muted device gives exact zeros, a quiet room does not.
#[must_use]
pub fn is_silent(samples: &[f32]) -> bool {
    samples.iter().all(|sample| sample.abs() < 1e-5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn the_header_describes_the_samples() {
        let wav = encode(&[0.0; 160], 16_000);
        assert_eq!(wav.len(), HEADER_BYTES + 320);
        assert_eq!(&wav[..4], b"RIFF");
        assert_eq!(u32_at(&wav, 4) as usize, wav.len() - 8);
        assert_eq!(&wav[8..16], b"WAVEfmt ");
        assert_eq!(u32_at(&wav, 24), 16_000);
        assert_eq!(u32_at(&wav, 28), 32_000);
        assert_eq!(&wav[36..40], b"data");
        assert_eq!(u32_at(&wav, 40), 320);
    }

    #[test]
    fn samples_are_scaled_and_clipped() {
        let wav = encode(&[0.0, 0.5, 1.0, -1.0, 3.0, -3.0], 16_000);
        let samples: Vec<i16> =
            wav[HEADER_BYTES..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        assert_eq!(samples, [0, 16_384, 32_767, -32_767, 32_767, -32_767]);
    }

    #[test]
    fn the_meter_follows_loudness() {
        assert!(level(&[]) < f32::EPSILON);
        assert!(level(&[0.0; 64]) < f32::EPSILON);
        assert!((level(&[1.0; 64]) - 1.0).abs() < 1e-6);
        let quiet = level(&[0.01; 64]); // −40 dB
        assert!((quiet - 1.0 / 3.0).abs() < 1e-3, "{quiet}");
    }

    #[test]
    fn only_zeros_are_digital_silence() {
        assert!(is_silent(&[0.0; 8]));
        assert!(!is_silent(&[0.0, 0.001]));
    }
}
