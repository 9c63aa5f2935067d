//! Guessing ahead: fewer steps for the same answer.

use jnana_core::EngineConfig;
use jnana_core::request::{FinishReason, Sampling};

use crate::rig::{Rig, config, request};

const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz. ";

/// No guesses at all.
fn never() -> EngineConfig {
    EngineConfig { guess_rows: 0, ..config() }
}

/// Whatever can be guessed is computed.
fn always() -> EngineConfig {
    EngineConfig { row_cost: 0., ..config() }
}

/// The alphabet, and the letter behind which the counting network goes on with it.
fn alphabet() -> String {
    format!("{ALPHABET}a")
}

#[test]
fn an_answer_that_repeats_its_prompt_takes_fewer_steps() {
    let rig = Rig::counting(config());
    let outcome = rig.ask(request(&alphabet(), 20));
    assert_eq!((outcome.text.as_str(), outcome.reason()), ("bcdefghijklmnopqrstu", FinishReason::Length));
    // The more guesses come true, the more are made; the last step has room for eight.
    assert_eq!(rig.control.steps(), [[29], [2], [3], [5], [9]]);
    let usage = outcome.usage();
    assert_eq!((usage.completion_tokens, usage.proposed_tokens, usage.accepted_tokens), (20, 15, 15));
    let stats = rig.wait_until(|s| s.finished == 1);
    assert_eq!((stats.proposed_tokens, stats.accepted_tokens, stats.decode_rows), (15, 15, 19));
}

#[test]
fn without_guesses_each_token_is_a_step() {
    let rig = Rig::counting(never());
    let outcome = rig.ask(request(&alphabet(), 20));
    assert_eq!(outcome.text, "bcdefghijklmnopqrstu");
    assert_eq!((rig.control.steps().len(), outcome.usage().proposed_tokens), (20, 0));
}

#[test]
fn wrong_guesses_change_nothing_and_are_soon_given_up() {
    let misleading = "abX cdX efX ghX ijX klX mnX opX qrX a";
    let outcome = Rig::counting(config()).ask(request(misleading, 16));
    assert_eq!(outcome.text, "bcdefghijklmnopq");
    assert_eq!((outcome.usage().proposed_tokens, outcome.usage().accepted_tokens), (3, 0));
}

#[test]
fn an_answer_ends_inside_guesses_where_it_ends_without() {
    let by_id = |ids: &[u8]| {
        let mut request = request(&alphabet(), 20);
        request.stop.ids = ids.iter().copied().map(u32::from).collect();
        request
    };
    let by_string = |text: &str| {
        let mut request = request(&alphabet(), 20);
        request.stop.strings = vec![text.to_owned()];
        request
    };
    let lengths = (1..=12).map(|max_tokens| request(&alphabet(), max_tokens));
    let stops = [by_id(b"h"), by_id(b"b"), by_string("hij"), by_string("n"), by_string("xyz!")];
    for request in lengths.chain(stops) {
        let guessed = Rig::counting(always()).ask(request.clone());
        let plain = Rig::counting(never()).ask(request);
        assert_eq!((&guessed.text, guessed.reason()), (&plain.text, plain.reason()));
        assert_eq!(guessed.usage().completion_tokens, plain.usage().completion_tokens);
    }
}

#[test]
fn no_number_of_guesses_is_too_large() {
    let rig = Rig::counting(EngineConfig { guess_rows: usize::MAX, ..always() });
    let outcome = rig.ask(request(&format!("{ALPHABET}{ALPHABET}a"), 20));
    assert_eq!(outcome.text, "bcdefghijklmnopqrstu");
}

#[test]
fn guesses_end_where_the_context_does() {
    let prompt = format!("{ALPHABET}{ALPHABET}a");
    let outcome = Rig::counting(EngineConfig { context: 64, ..always() }).ask(request(&prompt, 200));
    assert_eq!((outcome.text.as_str(), outcome.reason()), ("bcdefgh", FinishReason::Length));
}

#[test]
fn a_seed_draws_the_same_with_guesses_and_without() {
    let mut accepted = 0;
    for seed in 1..5 {
        let mut request = request("la la la, la li la", 60);
        // A penalty below 1 rewards repeating, so that some guesses come true.
        request.sampling =
            Sampling { temperature: 0.8, top_p: 0.95, repetition_penalty: 0.2, seed, ..Sampling::default() };
        let guessed = Rig::network(always()).ask(request.clone());
        assert_eq!(guessed.text, Rig::network(never()).ask(request).text);
        accepted += guessed.usage().accepted_tokens;
    }
    assert!(accepted > 0, "no guess came true");
}

#[test]
fn what_was_guessed_wrongly_is_not_kept_for_the_next_turn() {
    let echoing = |text: &str| {
        let mut request = request(text, 60);
        request.sampling.repetition_penalty = 0.05;
        request
    };
    let prompt = "Tell me a story.";
    let rig = Rig::network(always());
    let first = rig.ask(echoing(prompt));
    let usage = first.usage();
    assert!(usage.accepted_tokens > 0 && usage.proposed_tokens > usage.accepted_tokens, "{usage:?}");

    let next = format!("{prompt}{} And then?", first.text);
    let second = rig.ask(echoing(&next));
    assert_eq!(second.usage().reused_positions, prompt.len() + 59, "the last token was never computed");
    assert_eq!(second.text, Rig::network(never()).ask(echoing(&next)).text);
}
