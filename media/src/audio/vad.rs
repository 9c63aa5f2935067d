//! Tells speech from everything else, so that a recogniser is not asked to invent words for silence.
//!
//! A small trained detector (the `earshot` crate) scores frames of 16 ms. Its score depends on loudness and on what it
//! heard before: noise near full scale looks like speech to it, and so does any abrupt beginning. Hence the sound is
//! brought to one level first, and the detector is warmed up on the mirrored beginning, so that noise that is there
//! from the start is already known. Buzz that is rich in harmonics looks like a voice at any level, but does not
//! change: what it finds must also vary in loudness.
//!
//! The figures were chosen on 86 recordings of speech, attenuated by up to 30 dB, against white, pink and brown noise,
//! tones, clicks and mains hum. Speech varies by 9 dB at least, everything steady by 1.3 dB at most.

use std::ops::Range;

use earshot::Detector;

use super::{Sound, VOICE_RATE};

/// Samples a decision: 16 ms at 16 kHz, what the detector takes.
const FRAME: usize = 256;
/// A span begins with a frame that scores this.
const ENTER: f32 = 0.6;
/// A span goes on while frames score this.
const STAY: f32 = 0.4;
/// Frames that a span must last to be a word and not a click (96 ms).
const SHORTEST: usize = 6;
/// Frames added before and after a span: the soft edges of words, and the pauses between them (192 ms).
const HANGOVER: usize = 12;
/// Frames of the mirrored beginning that the detector hears before the sound (half a second).
const WARM_UP: usize = 32;
/// The level that the loudest frames are brought to, as root mean square of full scale (-30 dBFS).
const LEVEL: f32 = 0.031_6;
/// The most that a quiet sound is raised (30 dB); what is still faint then is nobody speaking.
const LARGEST_GAIN: f32 = 31.6;
/// Which of the loudest frames tells the level: above a few clicks, below one short word.
const LOUD_RANK: usize = 10;

/// The least difference between the loudest and the faintest moment of speech, in dB.
const LEAST_CHANGE: f32 = 4.0;
/// Frames of such a moment (64 ms): longer than a period of any hum, shorter than a syllable.
const MOMENT: usize = 4;
/// First-order pre-emphasis: speech changes most in its upper bands, rumble and hum lie below.
const PRE_EMPHASIS: f32 = 0.97;

/// Where somebody speaks, as ranges of samples of `sound` (16 kHz), in order and apart from each other; none if
/// nobody does. Silence, steady noise, hum and clicks give none; ranges include about 0.2 s around the words.
pub fn speech_spans(sound: &Sound) -> Vec<Range<usize>> {
    debug_assert_eq!(sound.sample_rate, VOICE_RATE, "voice activity is judged at 16 kHz");
    let scores = scores(&sound.samples);
    let powers = emphasised_powers(&sound.samples);
    let mut spans: Vec<Range<usize>> = Vec::new();
    for run in runs(&scores).filter(|run| run.len() >= SHORTEST) {
        let frames = run.start.saturating_sub(HANGOVER)..run.end + HANGOVER;
        if change(&powers[frames.start..frames.end.min(powers.len())]) < LEAST_CHANGE {
            continue;
        }
        let (start, end) = (frames.start * FRAME, (frames.end * FRAME).min(sound.samples.len()));
        match spans.last_mut() {
            Some(last) if last.end >= start => last.end = end,
            _ => spans.push(start..end),
        }
    }
    spans
}

/// A score in 0..1 for each frame, the last one filled up with silence.
fn scores(samples: &[f32]) -> Vec<f32> {
    let gain = gain(samples);
    let mut detector = Detector::default();
    let mut buffer = [0.0; FRAME];
    let mut score = |frame: &mut dyn Iterator<Item = &f32>| {
        buffer.fill(0.0);
        for (slot, &sample) in buffer.iter_mut().zip(frame) {
            let raised = sample * gain;
            // `clamp` would let NaN through, which the detector would never forget.
            *slot = if raised.is_nan() { 0.0 } else { raised.clamp(-1.0, 1.0) };
        }
        detector.predict_f32(&buffer)
    };
    let beginning = &samples[..samples.len().min(WARM_UP * FRAME) / FRAME * FRAME];
    for frame in beginning.rchunks_exact(FRAME) {
        score(&mut frame.iter().rev());
    }
    samples.chunks(FRAME).map(|frame| score(&mut frame.iter())).collect()
}

/// What brings the loudest frames to [`LEVEL`].
fn gain(samples: &[f32]) -> f32 {
    let power = |frame: &[f32]| frame.iter().map(|sample| sample * sample).sum::<f32>() / FRAME as f32;
    let mut powers: Vec<f32> = samples.chunks(FRAME).map(power).filter(|power| power.is_finite()).collect();
    if powers.is_empty() {
        return 1.0;
    }
    let rank = LOUD_RANK.min(powers.len() - 1);
    let (_, power, _) = powers.select_nth_unstable_by(rank, |a, b| b.total_cmp(a));
    (LEVEL / power.sqrt()).min(LARGEST_GAIN)
}

/// The power of each whole frame after pre-emphasis.
fn emphasised_powers(samples: &[f32]) -> Vec<f32> {
    let mut previous = 0.0;
    let mut power = |frame: &[f32]| {
        let squares = frame.iter().map(|&sample| {
            let emphasised = sample - PRE_EMPHASIS * previous;
            previous = sample;
            emphasised * emphasised
        });
        squares.sum::<f32>()
    };
    samples.chunks_exact(FRAME).map(&mut power).collect()
}

/// How far the loudest moment lies above the faintest, in dB.
fn change(powers: &[f32]) -> f32 {
    let moments = powers.windows(MOMENT).map(|moment| moment.iter().sum::<f32>());
    let (faintest, loudest) =
        moments.fold((f32::MAX, 0.0f32), |(least, most), x| (least.min(x), most.max(x)));
    10.0 * (loudest / faintest.max(f32::MIN_POSITIVE)).log10()
}

/// Runs of frames from one that scores [`ENTER`] to the last that scores [`STAY`].
fn runs(scores: &[f32]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + scores[at..].iter().position(|&score| score >= ENTER)?;
        let length = scores[start..].iter().take_while(|&&score| score >= STAY).count();
        at = start + length;
        Some(start..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_begin_high_and_end_low() {
        let scores = [0.1, 0.5, 0.7, 0.5, 0.41, 0.39, 0.5, 0.9];
        assert_eq!(runs(&scores).collect::<Vec<_>>(), [2..5, 7..8]);
        assert_eq!(runs(&[]).count(), 0);
    }

    #[test]
    fn gain_brings_loud_frames_to_one_level_and_leaves_silence_faint() {
        let constant = |value: f32| vec![value; 20 * FRAME];
        assert!((gain(&constant(0.5)) * 0.5 - LEVEL).abs() < 1e-6);
        assert_eq!(gain(&constant(1e-5)), LARGEST_GAIN);
        assert_eq!(gain(&constant(0.0)), LARGEST_GAIN);
        assert_eq!(gain(&[]), 1.0);
    }

    #[test]
    fn change_is_that_of_loudness() {
        assert!(change(&[0.5; 40]).abs() < 1e-4);
        let falling: Vec<f32> = (0..40).map(|frame| 10f32.powi(-(frame / 10))).collect();
        assert!((change(&falling) - 30.0).abs() < 1e-3);
    }

    #[test]
    fn broken_samples_do_no_harm() {
        for value in [f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX] {
            let sound = Sound { sample_rate: VOICE_RATE, samples: vec![value; 10_000] };
            assert!(speech_spans(&sound).is_empty(), "{value}");
        }
        assert!(speech_spans(&Sound { sample_rate: VOICE_RATE, samples: vec![0.1; 5] }).is_empty());
    }
}
