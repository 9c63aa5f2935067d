//! One window of sound through whisper.cpp: parameters, the length that is encoded, and what is believed of the result.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperError, WhisperSegment, WhisperState};

use crate::guard;
use crate::windows::RATE;

/// The encoder makes 50 positions a second.
const POSITIONS_A_SECOND: usize = 50;
/// Positions of silence after the sound.
const POSITION_MARGIN: usize = 64;
/// Fewest positions: 10 s. Measured with tiny.en on read sentences of 2 to 3 s: 31 % of the words were wrong with 256 positions,
/// 20 % with 512 and no fewer with 768.
const LEAST_POSITIONS: usize = 512;
const POSITION_STEP: usize = 64;
/// A window of so many seconds is one segment. Else whisper.cpp encodes again from the last time that the model named on, and
/// in a short recording little but silence is left there.
const SINGLE: usize = 10;
/// Sound that the language is told from: what whisper.cpp encodes at once, in seconds.
const LANGUAGE_SECONDS: usize = 30;
/// Temperatures tried in the second pass: 0, then steps of this.
const TEMPERATURE_STEP: f32 = 0.4;

/// What to do with a window.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// Samples at 16 kHz.
    pub(crate) samples: Vec<f32>,
    /// Language code.
    pub(crate) language: &'static str,
    /// Tokens of a hint; may be empty.
    pub(crate) prompt: Arc<[i32]>,
}

/// A piece of text in a window; times in seconds from the window's start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) text: String,
    /// Mean natural logarithm of the tokens' probabilities.
    pub(crate) confidence: f32,
    /// Probability that nobody speaks.
    pub(crate) silence: f32,
}

/// How results are judged, and how much is encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) no_speech_threshold: f32,
    pub(crate) full_window: bool,
}

/// whisper.cpp's state of one recognition at a time.
pub(crate) struct Recogniser {
    state: WhisperState,
    options: Options,
    /// Positions that the model has.
    positions: usize,
    /// Read by whisper.cpp's abort callback.
    abort: Arc<AtomicBool>,
    /// Kept for each language: whisper-rs never frees the strings and closures that it hands to C, so parameters are made
    /// once and copied.
    params: HashMap<&'static str, FullParams<'static, 'static>>,
}

impl Recogniser {
    /// Makes the state: key/value caches and work memory.
    pub(crate) fn new(
        context: &WhisperContext,
        options: Options,
        abort: Arc<AtomicBool>,
    ) -> Result<Self, WhisperError> {
        let positions = usize::try_from(context.n_audio_ctx()).unwrap_or(0);
        Ok(Self { state: context.create_state()?, options, positions, abort, params: HashMap::new() })
    }

    /// Transcribes a window. A short one is encoded at its own length; when the outcome looks wrong it is done again with the
    /// full 30 s and with temperatures, which is what the model was trained for.
    pub(crate) fn transcribe(&mut self, task: &Task, threads: usize) -> Result<Vec<Piece>, WhisperError> {
        let seconds = task.samples.len() as f64 / RATE as f64;
        let reduced = if self.options.full_window { 0 } else { reduced(task.samples.len(), self.positions) };
        let first = self.pass(task, threads, reduced, 0.0)?;
        let pieces = if guard::degenerate(&first, seconds) {
            let second = self.pass(task, threads, 0, TEMPERATURE_STEP)?;
            guard::better(first, second, seconds)
        } else {
            first
        };
        Ok(guard::believe(pieces, seconds, self.options.no_speech_threshold))
    }

    /// Probabilities of the languages, in the order of whisper.cpp's ids, from the start of a window. All positions are encoded:
    /// with fewer, German was taken for English.
    pub(crate) fn languages(&mut self, samples: &[f32], threads: usize) -> Result<Vec<f32>, WhisperError> {
        let samples = &samples[..samples.len().min(LANGUAGE_SECONDS * RATE)];
        let mut params = self.params(crate::language::ENGLISH).clone();
        params.set_n_threads(count(threads));
        params.set_audio_ctx(0);
        // A pass over less than it takes to encode: it makes the spectrogram and resets the number of positions, no more.
        params.set_duration_ms(100);
        self.state.full(params, samples)?;
        Ok(self.state.lang_detect(0, threads)?.1)
    }

    fn pass(
        &mut self,
        task: &Task,
        threads: usize,
        positions: usize,
        step: f32,
    ) -> Result<Vec<Piece>, WhisperError> {
        let mut params = self.params(task.language).clone();
        params.set_n_threads(count(threads));
        params.set_audio_ctx(count(positions));
        params.set_temperature_inc(step);
        if !task.prompt.is_empty() {
            params.set_tokens(&task.prompt);
        }
        params.set_single_segment(task.samples.len() <= SINGLE * RATE);
        params.set_max_tokens(count(guard::most_tokens(task.samples.len() as f64 / RATE as f64)));
        self.state.full(params, &task.samples)?;
        Ok(self.state.as_iter().filter_map(|segment| piece(&segment)).collect())
    }

    fn params(&mut self, language: &'static str) -> &FullParams<'static, 'static> {
        let (abort, threshold) = (&self.abort, self.options.no_speech_threshold);
        self.params.entry(language).or_insert_with(|| params(language, threshold, Arc::clone(abort)))
    }
}

/// Positions to encode for so many samples, of those that the model has; 0 stands for all.
fn reduced(samples: usize, all: usize) -> usize {
    let positions = (samples * POSITIONS_A_SECOND).div_ceil(RATE) + POSITION_MARGIN;
    let positions = positions.next_multiple_of(POSITION_STEP).max(LEAST_POSITIONS);
    if positions >= all { 0 } else { positions }
}

fn params(language: &'static str, threshold: f32, abort: Arc<AtomicBool>) -> FullParams<'static, 'static> {
    let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    params.set_language(Some(language));
    params.set_no_context(true);
    params.set_suppress_blank(true);
    params.set_suppress_nst(true);
    params.set_no_speech_thold(threshold);
    params.set_logprob_thold(guard::LEAST_CONFIDENCE);
    params.set_print_progress(false);
    params.set_print_timestamps(false);
    // whisper-rs 0.16 boxes the closure as `dyn FnMut` and its trampoline reads that box as the closure's own type; the two
    // agree only when the closure's type is that box, so nothing but this exact type may be given.
    let closure: Box<dyn FnMut() -> bool> = Box::new(move || abort.load(Ordering::Relaxed));
    params.set_abort_callback_safe::<_, Box<dyn FnMut() -> bool>>(closure);
    params
}

fn piece(segment: &WhisperSegment<'_>) -> Option<Piece> {
    // The leading space stays: it parts the piece from the one before.
    let text = segment.to_str_lossy().ok()?.trim_end().to_owned();
    let tokens: Vec<f32> = (0..segment.n_tokens())
        .filter_map(|i| segment.get_token(i))
        .map(|token| token.token_data().plog)
        .collect();
    let confidence = tokens.iter().sum::<f32>() / tokens.len().max(1) as f32;
    let (start, end) = (segment.start_timestamp() as f64 / 100.0, segment.end_timestamp() as f64 / 100.0);
    Some(Piece { start, end, text, confidence, silence: segment.no_speech_probability() })
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions of every published model: 30 s.
    const ALL: usize = 1_500;

    #[test]
    fn a_short_clip_pays_for_a_third_of_the_window() {
        for seconds in [0, 1, 3, 8] {
            assert_eq!(reduced(seconds * RATE, ALL), 512, "{seconds} s");
        }
    }

    #[test]
    fn longer_clips_pay_for_what_they_hold_and_a_margin() {
        assert_eq!(reduced(12 * RATE, ALL), 704);
        assert_eq!(reduced(12 * RATE + 1, ALL), 704);
        assert_eq!(reduced(20 * RATE, ALL), 1_088);
        for seconds in 0..28 {
            let positions = reduced(seconds * RATE, ALL);
            assert!(positions >= seconds * POSITIONS_A_SECOND + POSITION_MARGIN, "{seconds} s: {positions}");
        }
    }

    #[test]
    fn what_fills_the_window_is_encoded_whole() {
        assert_eq!(reduced(28 * RATE, ALL), 1_472);
        assert_eq!(reduced(29 * RATE, ALL), 0);
        assert_eq!(reduced(30 * RATE, ALL), 0);
        assert_eq!(reduced(RATE, 512), 0, "a model with a shorter window");
    }
}
