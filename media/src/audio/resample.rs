//! Changes the sample rate of a whole sound, band-limited.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

use super::Sound;
use crate::Error;

/// The lowest sample rate that is taken, in Hz.
pub const MIN_RATE: u32 = 4_000;
/// The highest sample rate that is taken, in Hz; it bounds the size of the transforms.
pub const MAX_RATE: u32 = 384_000;

/// Input samples a transform, at least: the longer it is, the steeper the filter.
const BLOCK: usize = 2_048;

/// Resamples to `rate` Hz with an anti-alias filter, without delay: sample *n* of the result lies at the time
/// *n*/`rate` of the source. The result has ⌈length·rate/source rate⌉ samples.
///
/// # Errors
/// [`Error::SampleRate`] unless both rates lie in [`MIN_RATE`]`..=`[`MAX_RATE`]; [`Error::Resample`] if the
/// resampler refuses.
pub fn resample(sound: &Sound, rate: u32) -> Result<Sound, Error> {
    let source = sound.sample_rate;
    for rate in [source, rate] {
        if !(MIN_RATE..=MAX_RATE).contains(&rate) {
            return Err(Error::SampleRate { rate });
        }
    }
    if source == rate || sound.samples.is_empty() {
        return Ok(Sound { sample_rate: rate, samples: sound.samples.clone() });
    }
    let refuse = |reason: String| Error::Resample { from: source, to: rate, reason };
    let samples = run(&sound.samples, source as usize, rate as usize).map_err(refuse)?;
    Ok(Sound { sample_rate: rate, samples })
}

fn run(samples: &[f32], from: usize, to: usize) -> Result<Vec<f32>, String> {
    let window = WindowFunction::BlackmanHarris2;
    let chunk = chunk_size(from, to);
    let mut resampler =
        Fft::<f32>::new_custom(from, to, chunk, 1, 1, window, FixedSync::Input).map_err(|e| e.to_string())?;
    let mut out = vec![0.0; resampler.process_all_needed_output_len(samples.len())];
    let frames = out.len();
    let source = InterleavedSlice::new(samples, 1, samples.len()).map_err(|e| e.to_string())?;
    let mut target = InterleavedSlice::new_mut(&mut out, 1, frames).map_err(|e| e.to_string())?;
    resampler
        .process_all_into_buffer(&source, &mut target, samples.len(), None)
        .map_err(|e| e.to_string())?;
    out.truncate((samples.len() * to).div_ceil(from));
    Ok(out)
}

/// Input samples a transform. The smallest unit in which both rates have whole samples is taken an even number of
/// times: the filter's delay is half a transform, and only whole samples can be cut off.
fn chunk_size(from: usize, to: usize) -> usize {
    let unit = from / gcd(from, to);
    unit * BLOCK.div_ceil(unit).next_multiple_of(2)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// `seconds` of `wave(t)` at `rate`, faded in and out over 50 ms so that its ends are band-limited too.
    fn sampled(rate: u32, seconds: f64, wave: impl Fn(f64) -> f64) -> Sound {
        let fade = |t: f64| (0.5 - 0.5 * (TAU / 2.0 * (t / 0.05).clamp(0.0, 1.0)).cos()) as f32;
        let samples = (0..(f64::from(rate) * seconds) as usize)
            .map(|n| n as f64 / f64::from(rate))
            .map(|t| wave(t) as f32 * fade(t) * fade(seconds - t))
            .collect();
        Sound { sample_rate: rate, samples }
    }

    fn power(samples: &[f32]) -> f64 {
        samples.iter().map(|&sample| f64::from(sample).powi(2)).sum()
    }

    /// The true samples at the new rate are known: the sweep itself, evaluated there.
    #[test]
    fn a_sweep_up_to_7_khz_keeps_60_db() {
        let sweep = |t: f64| 0.5 * (TAU * (100.0 * t + 3_450.0 * t * t)).sin();
        let wanted = sampled(16_000, 1.0, sweep);
        for rate in [16_001, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000] {
            let came = resample(&sampled(rate, 1.0, sweep), 16_000).unwrap();
            assert_eq!(came.samples.len(), 16_000, "from {rate} Hz");
            let error: Vec<f32> = came.samples.iter().zip(&wanted.samples).map(|(a, b)| a - b).collect();
            let snr = 10.0 * (power(&wanted.samples) / power(&error)).log10();
            assert!(snr >= 60.0, "{snr:.1} dB from {rate} Hz");
        }
    }

    #[test]
    fn upsampling_keeps_60_db_too() {
        let sweep = |t: f64| 0.5 * (TAU * (100.0 * t + 1_700.0 * t * t)).sin();
        let wanted = sampled(16_000, 1.0, sweep);
        for rate in [8_000, 11_025] {
            let came = resample(&sampled(rate, 1.0, sweep), 16_000).unwrap();
            let error: Vec<f32> = came.samples.iter().zip(&wanted.samples).map(|(a, b)| a - b).collect();
            let snr = 10.0 * (power(&wanted.samples) / power(&error)).log10();
            assert!(snr >= 60.0, "{snr:.1} dB from {rate} Hz");
        }
    }

    #[test]
    fn tones_above_8_khz_are_60_db_down() {
        for rate in [44_100, 48_000, 96_000] {
            for tone in [8_050.0, 9_000.0, 12_345.0, 16_000.0, 20_000.0] {
                let source = sampled(rate, 0.5, |t| 0.5 * (TAU * tone * t).sin());
                let came = resample(&source, 16_000).unwrap();
                let left = power(&came.samples) / 16_000.0 * f64::from(rate) / power(&source.samples);
                assert!(
                    10.0 * left.log10() <= -60.0,
                    "{:.1} dB of {tone} Hz from {rate} Hz",
                    10.0 * left.log10()
                );
            }
        }
    }

    #[test]
    fn lengths_are_exact() {
        for (rate, length) in [(48_000, 1), (48_000, 48_001), (44_100, 44_100), (8_000, 5), (44_101, 1_000)] {
            let sound = Sound { sample_rate: rate, samples: vec![0.1; length] };
            let wanted = (length * 16_000).div_ceil(rate as usize);
            assert_eq!(resample(&sound, 16_000).unwrap().samples.len(), wanted, "{length} at {rate} Hz");
        }
        let empty = Sound { sample_rate: 48_000, samples: Vec::new() };
        assert!(resample(&empty, 16_000).unwrap().samples.is_empty());
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        let sound = Sound { sample_rate: 1, samples: vec![0.0; 10] };
        assert!(matches!(resample(&sound, 16_000), Err(Error::SampleRate { rate: 1 })));
        let sound = Sound { sample_rate: 16_000, ..sound };
        assert!(matches!(resample(&sound, u32::MAX), Err(Error::SampleRate { .. })));
    }
}
