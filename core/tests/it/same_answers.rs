//! How requests are worked off never shows in what they are answered.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use jnana_core::EngineConfig;
use jnana_core::request::{Embeddings, FinishReason, PromptPart, Request, Sampling};

use crate::rig::{Outcome, Rig, collect, config, parts_request, request};
use crate::tiny::{CACHE_BYTES, WIDTH};

const SYSTEM: &str = "You answer in few words. Never say more than you were asked. ";

/// Repeating is rewarded, so that some guesses come true.
fn echoing(text: &str, max_tokens: usize) -> Request {
    let mut request = request(text, max_tokens);
    request.sampling.repetition_penalty = 0.2;
    request
}

fn sampled(text: &str, seed: u64) -> Request {
    let mut request = echoing(text, 40);
    request.sampling = Sampling { temperature: 0.7, top_k: 40, seed, ..request.sampling };
    request
}

/// A question about a picture of 40 positions.
fn look(picture: u8, question: &str) -> Request {
    let values = (0..40 * WIDTH).map(|i| ((i + usize::from(picture)) as f32).sin()).collect::<Vec<f32>>();
    let rows = Tensor::from_vec(values, (40, WIDTH), &Device::Cpu).unwrap();
    let seen = Embeddings { rows, key: [picture; 32], source: "eye".to_owned() };
    let words = PromptPart::Tokens(question.bytes().map(u32::from).collect());
    parts_request(vec![PromptPart::Embeddings(Arc::new(seen)), words], 24)
}

fn requests() -> Vec<Request> {
    vec![
        request(&format!("{SYSTEM}Why is the sky blue?"), 24),
        look(1, " what is it?"),
        echoing(&format!("{SYSTEM}Sing: la la la."), 40),
        echoing("abab", 60),
        look(1, " where is it?"),
        sampled(&format!("{SYSTEM}Sing: la la la."), 3),
        look(2, " what is it?"),
        request(&"x y z ".repeat(30), 10),
    ]
}

/// How an engine is made.
type Start = fn(EngineConfig) -> Rig;

/// What an answer is, without what it took.
type Said = (String, FinishReason, usize);

fn said(outcome: &Outcome) -> Said {
    (outcome.text.clone(), outcome.reason(), outcome.usage().completion_tokens)
}

/// Each by an engine of its own, which can neither reuse nor guess.
fn alone(start: Start) -> Vec<Said> {
    let plain = EngineConfig { guess_rows: 0, ..config() };
    requests().into_iter().map(|request| said(&start(plain).ask(request))).collect()
}

/// All by one engine, submitted in this order; the outcomes in the order of [`requests`].
fn together(rig: &Rig, order: impl IntoIterator<Item = usize>) -> Vec<Outcome> {
    let requests = requests();
    rig.control.close();
    let answers = order.into_iter().map(|i| (i, rig.submit(requests[i].clone()).unwrap()));
    let answers: Vec<_> = answers.collect();
    rig.control.open();
    let mut outcomes: Vec<_> = answers.into_iter().map(|(i, answer)| (i, collect(answer))).collect();
    outcomes.sort_by_key(|(i, _)| *i);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn total(outcomes: &[Outcome], count: impl Fn(&Outcome) -> usize) -> usize {
    outcomes.iter().map(count).sum()
}

#[test]
fn neither_neighbours_nor_chunks_nor_guesses_nor_order_change_an_answer() {
    for start in [Rig::network as Start, Rig::packed] {
        answers_are_the_same(start);
    }
}

fn answers_are_the_same(start: Start) {
    let expected = alone(start);
    let n = expected.len();
    let configs = [
        config(),
        EngineConfig { guess_rows: 0, ..config() },
        EngineConfig { row_cost: 0., ..config() },
        EngineConfig { prefill_rows: 1, prefill_rows_beside: 1, guess_rows: 1, ..config() },
        EngineConfig { prefill_rows: 33, prefill_rows_beside: 7, max_live: 3, ..config() },
        EngineConfig { cache_bytes: 300 * CACHE_BYTES, row_cost: 0., ..config() },
    ];
    for config in configs {
        // 3 has no factor in common with the 8 requests.
        let orders =
            [(0..n).collect::<Vec<_>>(), (0..n).rev().collect(), (0..n).map(|i| i * 3 % n).collect()];
        for order in orders {
            let outcomes = together(&start(config), order.clone());
            let got: Vec<Said> = outcomes.iter().map(said).collect();
            assert_eq!(got, expected, "{config:?}, in the order {order:?}");
        }
    }
}

#[test]
fn what_does_not_show_does_happen() {
    let rig = Rig::network(EngineConfig { row_cost: 0., ..config() });
    let outcomes = together(&rig, 0..requests().len());
    let reused = total(&outcomes, |o| o.usage().reused_positions);
    // Two of three take over most of the system message, and one of two some of the picture.
    assert!(reused >= 64, "{reused}");
    let proposed = total(&outcomes, |o| o.usage().proposed_tokens);
    let accepted = total(&outcomes, |o| o.usage().accepted_tokens);
    assert!(accepted > 0 && proposed > accepted, "{accepted} of {proposed}");
}
