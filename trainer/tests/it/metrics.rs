//! Tokens and scores equal those of pycocoevalcap, on captions that `tests/fixtures/make_metrics.py` chose.

use std::collections::BTreeMap;

use jnana_trainer::eval::tokens::caption_tokens;
use jnana_trainer::eval::{Captioned, bleu, cider};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    /// A caption and PTBTokenizer's tokens, joined by spaces.
    tokens: Vec<(String, String)>,
    /// For each picture.
    references: Vec<Vec<String>>,
    /// By the set's name: a caption for each picture.
    candidates: BTreeMap<String, Vec<String>>,
    scores: BTreeMap<String, Scores>,
}

#[derive(Deserialize)]
struct Scores {
    bleu: [f64; 4],
    cider: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/metrics.json")).unwrap()
}

#[test]
fn tokens_equal_ptbtokenizer() {
    let tokens = fixture().tokens;
    assert!(tokens.len() > 400);
    let differing: Vec<_> = tokens
        .iter()
        .map(|(caption, wanted)| (caption, caption_tokens(caption).join(" "), wanted))
        .filter(|(_, came, wanted)| came != *wanted)
        .collect();
    assert!(differing.is_empty(), "{} of {} captions: {differing:#?}", differing.len(), tokens.len());
}

#[test]
fn scores_equal_pycocoevalcap() {
    let fixture = fixture();
    assert_eq!(fixture.scores.len(), 3);
    for (name, wanted) in &fixture.scores {
        let captions: Vec<_> = fixture.candidates[name]
            .iter()
            .zip(&fixture.references)
            .map(|(candidate, references)| Captioned::new(candidate, references).unwrap())
            .collect();
        let (bleu, cider) = (bleu(&captions), cider(&captions));
        for (came, wanted) in bleu.iter().zip(wanted.bleu).chain([(&cider, wanted.cider)]) {
            assert!((came - wanted).abs() < 1e-6, "{name}: {came} for {wanted}");
        }
    }
}
