//! BLEU of a corpus (Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation") with the
//! closest reference length, as pycocoevalcap's `Bleu(4)` computes it.

use super::captions::Captioned;
use super::ngrams::{self, Counts, LONGEST};

/// pycocoevalcap adds these above and below a fraction, so that nothing is divided by zero.
const TINY: f64 = 1e-15;
const SMALL: f64 = 1e-9;

/// BLEU-1 to BLEU-4 of all captions together, each 0 to 1: the geometric mean of the n-gram precisions up to n, times
/// exp(1 − references' length / captions' length) where captions are shorter. About 0 for no captions.
#[must_use]
pub fn bleu(captions: &[Captioned]) -> [f64; LONGEST] {
    let mut totals = Totals::default();
    for caption in captions {
        totals.add(caption);
    }
    totals.scores()
}

/// What BLEU sums over a corpus; index n − 1 is for n-grams.
#[derive(Default)]
struct Totals {
    /// Tokens of the captions.
    length: usize,
    /// Tokens of each caption's closest reference.
    reference_length: usize,
    /// n-grams of the captions.
    all: [usize; LONGEST],
    /// Those of them that a reference has, each counted at most as often as it occurs in one reference.
    matched: [usize; LONGEST],
}

impl Totals {
    fn add(&mut self, caption: &Captioned) {
        let length = caption.candidate().len();
        self.length += length;
        self.reference_length += closest_length(caption);
        for (n, all) in (1..).zip(&mut self.all) {
            *all += (length + 1).saturating_sub(n);
        }
        let allowed = most_in_one(caption.references());
        for (ngram, count) in ngrams::count(caption.candidate()) {
            let allowed = allowed.get(ngram).copied().unwrap_or(0);
            self.matched[ngram.len() - 1] += count.min(allowed) as usize;
        }
    }

    fn scores(&self) -> [f64; LONGEST] {
        let ratio = (self.length as f64 + TINY) / (self.reference_length as f64 + SMALL);
        let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
        let mut product = 1.0;
        std::array::from_fn(|i| {
            product *= (self.matched[i] as f64 + TINY) / (self.all[i] as f64 + SMALL);
            product.powf(1.0 / (i + 1) as f64) * brevity
        })
    }
}

/// Length of the reference nearest in length to the caption; the shorter of two that are as near.
fn closest_length(caption: &Captioned) -> usize {
    let length = caption.candidate().len();
    let lengths = caption.references().iter().map(Vec::len);
    lengths.min_by_key(|&other| (other.abs_diff(length), other)).unwrap_or(0)
}

/// For each n-gram, how often it occurs in the reference that has most of it.
fn most_in_one(references: &[Vec<String>]) -> Counts<'_> {
    let mut most = Counts::new();
    for (ngram, count) in references.iter().flat_map(|reference| ngrams::count(reference)) {
        let known = most.entry(ngram).or_default();
        *known = count.max(*known);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(candidate: &str, references: &[&str]) -> [f64; 4] {
        bleu(&[Captioned::new(candidate, references).unwrap()])
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn a_reference_scores_one() {
        let scores = score("A dog runs over the grass.", &["a cat", "a dog runs over the grass"]);
        assert!(scores.iter().all(|&score| near(score, 1.0)), "{scores:?}");
    }

    #[test]
    fn a_repeated_word_counts_as_often_as_in_one_reference() {
        // The paper's example: two of seven, by the first reference.
        let references = ["the cat is on the mat", "there is a cat on the mat"];
        assert!(near(score("the the the the the the the", &references)[0], 2.0 / 7.0));
    }

    #[test]
    fn a_short_caption_pays_for_its_brevity() {
        // Nearest in length are three and five tokens: three counts, so nothing is paid.
        let references = ["one two three", "one two three four five"];
        assert!(near(score("one two three four", &references)[0], 1.0));
        assert!(near(score("one two", &references)[0], (1.0f64 - 3.0 / 2.0).exp()));
    }

    #[test]
    fn nothing_scores_nothing() {
        assert!(bleu(&[]).iter().all(|&score| score < 1e-3));
        assert!(score("", &["a dog"]).iter().all(|&score| score < 1e-3));
    }
}
