//! Cuts a recording at its pauses into windows that the recogniser takes at once.

use std::ops::Range;

use jnana_media::{Sound, speech_spans};

/// Samples a second.
pub(crate) const RATE: usize = crate::mel::SAMPLE_RATE as usize;
/// Whisper hears 30 s at once; with a margin on both sides a window stays below that.
const LONGEST: usize = 28 * RATE;
/// Windows part at pauses longer than this: silence costs time and tempts the model to fill it.
const PAUSE: usize = 2 * RATE;
/// Sound kept around speech: first and last consonants are quiet.
const MARGIN: usize = RATE * 3 / 10;
/// Detected speech shorter than this in all is a knock or a click.
const LEAST: usize = RATE / 10;

/// Sound searched for speech at a time: between such pieces a call can be cancelled.
const PIECE: usize = 10 * RATE;
/// Sound before a piece that the detector hears again, to be in its stride when the piece begins.
const RUN_UP: usize = RATE;

/// Where somebody speaks, in samples; `None` when `cancelled` said so first.
pub(crate) fn speech(samples: &[f32], cancelled: impl Fn() -> bool) -> Option<Vec<Range<usize>>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for start in (0..samples.len()).step_by(PIECE) {
        if cancelled() {
            return None;
        }
        let from = start.saturating_sub(RUN_UP);
        let piece = &samples[from..samples.len().min(start + PIECE)];
        let sound = Sound { sample_rate: crate::mel::SAMPLE_RATE, samples: piece.to_vec() };
        for span in speech_spans(&sound) {
            let span = (from + span.start).max(start)..from + span.end;
            match spans.last_mut() {
                _ if span.is_empty() => {}
                Some(last) if last.end >= span.start => last.end = span.end,
                _ => spans.push(span),
            }
        }
    }
    Some(spans)
}

/// Windows over `length` samples in which somebody speaks at `spans` (in order, apart). They are in order, may be longer than
/// [`LONGEST`] when somebody speaks without a pause, and do not overlap.
pub(crate) fn plan(spans: &[Range<usize>], length: usize) -> Vec<Range<usize>> {
    if spans.iter().map(ExactSizeIterator::len).sum::<usize>() < LEAST {
        return Vec::new();
    }
    let mut windows: Vec<Range<usize>> = Vec::new();
    for span in spans {
        match windows.last_mut() {
            Some(last) if span.start - last.end <= PAUSE && span.end - last.start <= LONGEST => {
                last.end = span.end;
            }
            _ => windows.push(span.clone()),
        }
    }
    widen(&mut windows, length);
    windows
}

/// Adds the margin, at most up to the middle of the pause between two windows.
fn widen(windows: &mut [Range<usize>], length: usize) {
    let mut floor = 0;
    for i in 0..windows.len() {
        let next = windows.get(i + 1).map(|next| next.start);
        let window = &mut windows[i];
        let ceiling = next.map_or(length, |next| usize::midpoint(window.end, next));
        window.start = window.start.saturating_sub(MARGIN).max(floor);
        window.end = (window.end + MARGIN).min(ceiling);
        floor = ceiling;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(spans: &[(f64, f64)]) -> Vec<Range<usize>> {
        let samples = |s: f64| (s * RATE as f64).round() as usize;
        spans.iter().map(|&(a, b)| samples(a)..samples(b)).collect()
    }

    #[test]
    fn close_spans_share_a_window_with_margins() {
        let windows = plan(&seconds(&[(1.0, 2.0), (3.0, 4.0)]), 10 * RATE);
        assert_eq!(windows, seconds(&[(0.7, 4.3)]));
    }

    #[test]
    fn margins_stay_inside_and_apart() {
        let windows = plan(&seconds(&[(0.1, 20.0), (20.2, 29.0)]), 29 * RATE);
        assert_eq!(windows, seconds(&[(0.0, 20.1), (20.1, 29.0)]));
    }

    #[test]
    fn long_pauses_part_windows() {
        let windows = plan(&seconds(&[(0.0, 1.0), (5.0, 6.0)]), 6 * RATE);
        assert_eq!(windows, seconds(&[(0.0, 1.3), (4.7, 6.0)]));
    }

    #[test]
    fn clicks_are_no_speech() {
        assert!(plan(&seconds(&[(1.0, 1.05)]), 3 * RATE).is_empty());
        assert!(plan(&[], 3 * RATE).is_empty());
    }
}
