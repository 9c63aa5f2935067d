//! Sequences of neighbouring tokens, counted.

use std::collections::BTreeMap;

/// Longest n-gram that captions are compared by.
pub(super) const LONGEST: usize = 4;

/// How often each n-gram of one to [`LONGEST`] tokens occurs. Ordered, so that a sum over it never depends on a hash.
pub(super) type Counts<'a> = BTreeMap<&'a [String], u32>;

/// Counts the n-grams of a caption.
pub(super) fn count(tokens: &[String]) -> Counts<'_> {
    let mut counts = Counts::new();
    for ngram in (1..=LONGEST).flat_map(|n| tokens.windows(n)) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::tokens::caption_tokens;

    #[test]
    fn n_grams_are_counted() {
        let tokens = caption_tokens("a dog and a dog");
        let counts = count(&tokens);
        let of = |words: &str| counts.get(caption_tokens(words).as_slice()).copied();
        assert_eq!((of("a"), of("a dog"), of("dog and a dog")), (Some(2), Some(2), Some(1)));
        assert_eq!(of("a dog and a dog"), None);
        assert_eq!(counts.values().sum::<u32>(), 5 + 4 + 3 + 2);
    }
}
