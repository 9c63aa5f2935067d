//! What servers are asked: prompts of a known length, each its own, so that no cache of one answers another.

use serde_json::{Value, json};

/// Common words of three letters: with the blank before it, each is one token of SmolLM2 and of a made-up vocabulary.
const WORDS: [&str; 64] = [
    "sun", "sea", "sky", "ice", "air", "day", "cat", "dog", "cow", "pig", "hen", "fox", "bee", "ant", "owl",
    "bat", "hat", "cap", "bag", "box", "cup", "pot", "pan", "jar", "bed", "toy", "map", "pen", "ink", "ear",
    "eye", "arm", "leg", "toe", "lip", "jaw", "run", "sit", "eat", "see", "hop", "dig", "cut", "mix", "red",
    "tan", "big", "old", "new", "hot", "wet", "dry", "far", "low", "top", "mid", "key", "bus", "car", "van",
    "jet", "row", "oak", "mud",
];

/// `count` words, the same for the same seed.
pub fn words(count: usize, seed: u64) -> String {
    let mut state = seed;
    let word = |_| {
        // Knuth's MMIX generator; its upper bits are the random ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 58) as usize]
    };
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

/// A conversation that begins with a question of about `count` words and wants a long answer. The system message is given,
/// since templates differ in what they say without one.
pub fn opening(count: usize, seed: u64) -> Vec<Value> {
    let question = format!("Write a long story with these words: {}", words(count, seed));
    vec![
        json!({ "role": "system", "content": "You are a helpful assistant." }),
        json!({ "role": "user", "content": question }),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn prompts_have_their_length_and_are_all_different() {
        assert_eq!(WORDS.iter().collect::<HashSet<_>>().len(), WORDS.len());
        let all: HashSet<String> = (0..200).map(|seed| words(30, seed)).collect();
        assert_eq!(all.len(), 200);
        assert!(all.iter().all(|prompt| prompt.split(' ').count() == 30));
        assert_eq!(words(5, 7), words(5, 7));
    }

    #[test]
    fn a_conversation_begins_with_a_system_message() {
        let opening = opening(3, 1);
        assert_eq!(opening[0]["role"], "system");
        assert!(opening[1]["content"].as_str().unwrap().ends_with(&words(3, 1)));
    }
}
