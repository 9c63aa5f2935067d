//! CIDEr-D (Vedantam et al. 2015, "CIDEr: Consensus-based Image Description Evaluation", arXiv 1411.5726) as
//! pycocoevalcap's `Cider` computes it: n-grams up to 4, σ = 6, document frequencies from the references.

use std::collections::{BTreeMap, BTreeSet};

use super::captions::Captioned;
use super::ngrams::{self, LONGEST};

/// How fast a difference in length costs, in tokens.
const SIGMA: f64 = 6.0;
/// Factor of the published scores.
const SCALE: f64 = 10.0;

/// The mean over the captions of how near each comes to its references, 0 to 10. An n-gram weighs the less, the more
/// pictures have it in a reference; so one picture alone scores 0, as do no captions.
#[must_use]
pub fn cider(captions: &[Captioned]) -> f64 {
    let rarity = Rarity::new(captions);
    let scores = captions.iter().map(|caption| {
        let candidate = Vector::new(caption.candidate(), &rarity);
        let references = caption.references().iter().map(|reference| Vector::new(reference, &rarity));
        references.map(|reference| candidate.similarity(&reference)).sum::<f64>()
            / caption.references().len() as f64
    });
    SCALE * scores.sum::<f64>() / captions.len().max(1) as f64
}

/// How rare n-grams are among pictures.
struct Rarity<'a> {
    /// In how many pictures' references an n-gram occurs.
    pictures: BTreeMap<&'a [String], u32>,
    /// Logarithm of the number of pictures.
    log_all: f64,
}

impl<'a> Rarity<'a> {
    fn new(captions: &'a [Captioned]) -> Self {
        let mut pictures = BTreeMap::new();
        for caption in captions {
            let counts = caption.references().iter().map(|reference| ngrams::count(reference));
            let here: BTreeSet<_> = counts.flat_map(BTreeMap::into_keys).collect();
            for ngram in here {
                *pictures.entry(ngram).or_default() += 1;
            }
        }
        Self { pictures, log_all: (captions.len() as f64).ln() }
    }

    /// The logarithm of how many pictures come on one that has the n-gram; an unknown one counts as in one picture.
    fn of(&self, ngram: &[String]) -> f64 {
        self.log_all - f64::from(self.pictures.get(ngram).copied().unwrap_or(1)).ln()
    }
}

/// The n-grams of one caption, each weighing count × rarity.
struct Vector<'a> {
    weights: BTreeMap<&'a [String], f64>,
    /// Euclidean length of the weights of the n-grams, index n − 1.
    norms: [f64; LONGEST],
    /// pycocoevalcap counts bigrams, which makes a difference only where a caption is empty.
    length: f64,
}

impl<'a> Vector<'a> {
    fn new(tokens: &'a [String], rarity: &Rarity<'_>) -> Self {
        let counts = ngrams::count(tokens).into_iter();
        let weights: BTreeMap<_, _> =
            counts.map(|(ngram, count)| (ngram, f64::from(count) * rarity.of(ngram))).collect();
        let mut squares = [0.0; LONGEST];
        for (ngram, weight) in &weights {
            squares[ngram.len() - 1] += weight * weight;
        }
        Self { weights, norms: squares.map(f64::sqrt), length: tokens.len().saturating_sub(1) as f64 }
    }

    /// The mean over n of the cosines between n-gram vectors, the candidate's weights cut to the reference's, times a
    /// Gaussian of the difference in length.
    fn similarity(&self, reference: &Self) -> f64 {
        let mut products = [0.0; LONGEST];
        for (ngram, &weight) in &self.weights {
            let other = reference.weights.get(ngram).copied().unwrap_or(0.0);
            products[ngram.len() - 1] += weight.min(other) * other;
        }
        let norms = self.norms.iter().zip(reference.norms).map(|(a, b)| a * b);
        let cosines = products.iter().zip(norms).filter(|&(_, norm)| norm > 0.0);
        let sum: f64 = cosines.map(|(product, norm)| product / norm).sum();
        let difference = self.length - reference.length;
        sum / LONGEST as f64 * (-difference * difference / (2.0 * SIGMA * SIGMA)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captioned(candidate: &str, references: &[&str]) -> Captioned {
        Captioned::new(candidate, references).unwrap()
    }

    #[test]
    fn the_only_reference_scores_ten() {
        let captions = [
            captioned("a dog runs over the grass", &["a dog runs over the grass"]),
            captioned("two birds sit on a wire", &["two birds sit on a wire"]),
        ];
        assert!((cider(&captions) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn what_every_picture_has_weighs_nothing() {
        let score = |first: &str| {
            cider(&[
                captioned(first, &["a dog in grass"]),
                captioned("-", &["a bird in trees"]),
                captioned("-", &["a cat in bed"]),
            ])
        };
        assert!(score("a in").abs() < 1e-12);
        assert!(score("dog") > 0.5);
    }

    #[test]
    fn length_costs_by_a_gaussian() {
        // Every picture has "a": only "dog" weighs, and six more of "a" change nothing but the length.
        let similarity = |first: &str| {
            let captions =
                [captioned(first, &["a dog"]), captioned("-", &["a a a a a a a a"]), captioned("-", &["a"])];
            let rarity = Rarity::new(&captions);
            let candidate = Vector::new(captions[0].candidate(), &rarity);
            candidate.similarity(&Vector::new(&captions[0].references()[0], &rarity))
        };
        let ratio = similarity("dog a a a a a a a") / similarity("dog a");
        assert!((ratio - (-0.5f64).exp()).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn one_picture_or_none_scores_nothing() {
        assert_eq!(cider(&[]), 0.0);
        assert_eq!(cider(&[captioned("a dog", &["a dog"])]), 0.0);
    }
}
