//! What is believed of a recognition. Whisper invents text where nobody speaks and falls into loops; both show in the numbers
//! it gives with the text.

use crate::recogniser::Piece;

/// Mean log-probability below which a text is doubtful (OpenAI's `logprob_threshold`).
pub(crate) const LEAST_CONFIDENCE: f32 = -1.0;
/// Nobody says more words than this in a second.
const WORDS_A_SECOND: f64 = 6.0;
/// Words allowed beside that, for recordings of a second.
const SPARE_WORDS: f64 = 3.0;
/// Repetitions in a row that make a loop.
const LOOP: usize = 4;
/// Words that a loop has at least, all repetitions together; "no no no no" is none.
const LOOP_WORDS: usize = 8;
/// Longest phrase looked for in loops, in words.
const PHRASE: usize = 10;

/// True when a result should not be taken as it is: empty where speech was found, doubtful, faster than speech, or in a loop.
pub(crate) fn degenerate(pieces: &[Piece], seconds: f64) -> bool {
    let doubtful = pieces.iter().any(|piece| piece.confidence < LEAST_CONFIDENCE);
    pieces.is_empty() || doubtful || impossible(pieces, seconds)
}

/// The more confident of two results of one window, and nothing when neither can be.
pub(crate) fn better(first: Vec<Piece>, second: Vec<Piece>, seconds: f64) -> Vec<Piece> {
    let possible = [second, first].into_iter().filter(|p| !p.is_empty() && !impossible(p, seconds));
    possible.max_by(|a, b| confidence(a).total_cmp(&confidence(b))).unwrap_or_default()
}

/// Most tokens that `seconds` of speech (at most a window of Whisper's 30) can need; reaching it means a loop.
pub(crate) fn most_tokens(seconds: f64) -> usize {
    (16.0 + seconds.min(30.0) * WORDS_A_SECOND * 2.0).ceil() as usize
}

/// True when nobody can have said this in the time.
fn impossible(pieces: &[Piece], seconds: f64) -> bool {
    let text = pieces.iter().map(|piece| piece.text.as_str()).collect::<Vec<_>>().join(" ");
    let words = text.split_whitespace().count();
    words as f64 > SPARE_WORDS + seconds * WORDS_A_SECOND || repeats(&text)
}

fn confidence(pieces: &[Piece]) -> f32 {
    pieces.iter().map(|piece| piece.confidence).sum::<f32>() / pieces.len().max(1) as f32
}

/// The pieces to keep: with words in them, inside the sound, and not taken for silence by the model itself.
pub(crate) fn believe(pieces: Vec<Piece>, seconds: f64, no_speech_threshold: f32) -> Vec<Piece> {
    pieces
        .into_iter()
        .filter(|piece| piece.text.chars().any(char::is_alphanumeric))
        .filter(|piece| piece.silence <= no_speech_threshold || piece.confidence >= LEAST_CONFIDENCE)
        .filter(|piece| !repeats(&piece.text))
        .filter(|piece| piece.start < seconds)
        .map(|piece| Piece { end: piece.end.clamp(piece.start, seconds), ..piece })
        .collect()
}

/// True when a phrase is said over and over without a break.
fn repeats(text: &str) -> bool {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect())
        .collect();
    (1..=PHRASE).any(|phrase| {
        let mut run = 0;
        (phrase..words.len()).any(|i| {
            run = if words[i] == words[i - phrase] { run + 1 } else { 0 };
            run >= phrase * (LOOP - 1) && run + phrase >= LOOP_WORDS
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Piece {
        Piece { start: 0.5, end: 2.0, text: text.to_owned(), confidence: -0.3, silence: 0.1 }
    }

    #[test]
    fn loops_are_seen_and_rhetoric_is_not() {
        assert!(repeats("thank you. Thank you, thank you! thank you"));
        assert!(repeats(&"you ".repeat(8)));
        assert!(!repeats("no no no no"));
        assert!(!repeats("Ask not what your country can do for you, ask what you can do for your country."));
        assert!(degenerate(&[said(&"and then ".repeat(9))], 20.0));
    }

    #[test]
    fn doubt_and_haste_are_degenerate() {
        assert!(!degenerate(&[said("a sentence as people say it")], 2.0));
        assert!(degenerate(&[Piece { confidence: -1.2, ..said("perhaps") }], 2.0));
        assert!(degenerate(
            &[said("one two three four five six seven eight nine ten eleven twelve thirteen")],
            1.0
        ));
        assert!(degenerate(&[], 1.0));
    }

    #[test]
    fn the_more_confident_possible_result_wins() {
        let sure = vec![said("sure")];
        let unsure = vec![Piece { confidence: -0.9, ..said("unsure") }];
        let hasty = vec![said("and this is far too much for anyone in a second")];
        assert_eq!(better(unsure.clone(), sure.clone(), 1.0), sure);
        assert_eq!(better(sure.clone(), unsure.clone(), 1.0), sure);
        assert_eq!(better(unsure.clone(), hasty.clone(), 1.0), unsure);
        assert_eq!(better(unsure.clone(), Vec::new(), 1.0), unsure);
        assert!(better(hasty.clone(), hasty, 1.0).is_empty());
    }

    #[test]
    fn only_words_inside_the_sound_are_believed() {
        let unsure = Piece { confidence: -1.5, silence: 0.9, ..said("Thank you.") };
        let late = Piece { start: 3.5, end: 4.0, ..said("late") };
        let over = Piece { end: 9.0, ..said("over") };
        let pieces = vec![said("kept"), said("..."), unsure, late, over];
        let kept = believe(pieces, 3.0, 0.6);
        let texts: Vec<_> = kept.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(texts, ["kept", "over"]);
        assert_eq!(kept[1].end, 3.0);
    }
}
