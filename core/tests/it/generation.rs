//! What an answer is: tokens, randomness, ends.

use candle_core::{Device, Tensor};
use jnana_core::request::{Event, FinishReason, PromptPart, Sampling};
use jnana_core::{EngineConfig, SubmitError};
use jnana_models::tokenizer::Tokenizer;

use crate::rig::{Rig, collect, config, request, tokens_request};
use crate::tiny;

const PROMPTS: [&str; 8] = [
    "a",
    "Name three rivers.",
    "The shortest of all questions?",
    "Why is the sky blue, and why is it red in the evening? Answer in one sentence that a child understands.",
    "0123456789",
    "Translate: good morning",
    "Say hello to the person who came through the door just now, then ask for her name.",
    "x y z",
];

/// Greedy decoding the long way: the whole sequence through the network for every token, without engine or cache.
fn reference(prompt: &str, n: usize) -> Vec<u32> {
    let decoder = tiny::load().decoder;
    let mut ids: Vec<u32> = prompt.bytes().map(u32::from).collect();
    for _ in 0..n {
        let embeds = decoder.embed(&Tensor::new(ids.as_slice(), &Device::Cpu).unwrap()).unwrap();
        let hidden = decoder.forward_padded(&embeds.unsqueeze(0).unwrap(), None).unwrap();
        let last = hidden.narrow(1, ids.len() - 1, 1).unwrap().flatten_to(1).unwrap();
        let logits = decoder.logits(&last).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        ids.push(best as u32);
    }
    ids.split_off(prompt.len())
}

/// What a listener hears of these tokens.
fn spoken(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream();
    let mut text: String = ids.iter().filter_map(|&id| stream.push(id).unwrap()).collect();
    text.extend(stream.finish().unwrap());
    text
}

#[test]
fn greedy_answers_are_those_of_the_network_alone_and_among_neighbours() {
    let rig = Rig::network(EngineConfig { prefill_rows: 16, ..config() });
    let expected: Vec<String> = PROMPTS.iter().map(|p| spoken(&rig.tokenizer, &reference(p, 24))).collect();
    let alone: Vec<String> = PROMPTS.iter().map(|p| rig.ask(request(p, 24)).text).collect();
    assert_eq!(alone, expected);

    let crowded = Rig::network(EngineConfig { prefill_rows: 16, ..config() });
    crowded.control.close();
    let answers: Vec<_> = PROMPTS.iter().map(|p| crowded.submit(request(p, 24)).unwrap()).collect();
    crowded.control.open();
    let together: Vec<String> = answers.into_iter().map(|a| collect(a).text).collect();
    assert_eq!(together, expected);
    let most = crowded.control.steps().iter().map(Vec::len).max();
    assert_eq!(most, Some(8), "they did run together");
}

#[test]
fn a_seed_repeats_whatever_the_neighbours_do() {
    let sampled = |seed| {
        let mut request = request("Tell me a story.", 32);
        request.sampling =
            Sampling { temperature: 1.5, top_p: 0.95, min_p: 0.001, seed, ..Sampling::default() };
        request
    };
    let rig = Rig::network(config());
    let alone = rig.ask(sampled(1)).text;
    assert_eq!(rig.ask(sampled(1)).text, alone);
    assert_ne!(rig.ask(sampled(2)).text, alone);

    let crowded = Rig::network(config());
    let answers: Vec<_> =
        [3, 1, 4, 1].map(|seed| crowded.submit(sampled(seed)).unwrap()).into_iter().collect();
    let texts: Vec<String> = answers.into_iter().map(|a| collect(a).text).collect();
    assert_eq!((&texts[1], &texts[3]), (&alone, &alone));
    assert_ne!(texts[0], texts[2]);
}

#[test]
fn an_answer_ends_at_max_tokens() {
    let outcome = Rig::counting(config()).ask(request("a", 5));
    assert_eq!((outcome.text.as_str(), outcome.reason()), ("bcdef", FinishReason::Length));
    assert_eq!((outcome.usage().prompt_positions, outcome.usage().completion_tokens), (1, 5));
}

#[test]
fn an_answer_ends_where_the_context_does() {
    let rig = Rig::counting(EngineConfig { context: 64, ..config() });
    let outcome = rig.ask(request(&"a".repeat(60), 200));
    assert_eq!((outcome.text.as_str(), outcome.reason()), ("bcde", FinishReason::Length));
    let refused = rig.submit(request(&"a".repeat(64), 1)).unwrap_err();
    assert_eq!(refused, SubmitError::ContextFull { positions: 64, context: 64 });
}

#[test]
fn a_stop_token_ends_the_answer_and_is_not_part_of_it() {
    let mut request = request("a", 50);
    request.stop.ids = vec![u32::from(b'z'), u32::from(b'f')];
    let outcome = Rig::counting(config()).ask(request);
    assert_eq!((outcome.text.as_str(), outcome.reason()), ("bcde", FinishReason::Stop));
    assert_eq!(outcome.usage().completion_tokens, 4);
}

#[test]
fn a_stop_string_over_several_tokens_is_never_heard() {
    let mut request = request("a", 50);
    request.stop.strings = vec!["mnx".to_owned(), "fgh".to_owned()];
    let outcome = Rig::counting(config()).ask(request);
    assert_eq!((outcome.text.as_str(), outcome.reason()), ("bcde", FinishReason::Stop));
}

#[test]
fn text_that_only_began_a_stop_string_is_said_at_the_end() {
    let mut request = request("a", 6);
    request.stop.strings = vec!["fgh".to_owned()];
    let outcome = Rig::counting(config()).ask(request);
    assert_eq!((outcome.text.as_str(), outcome.reason()), ("bcdefg", FinishReason::Length));
}

#[test]
fn text_comes_as_it_is_made() {
    let rig = Rig::counting(config());
    rig.control.close();
    let mut answer = rig.submit(request("a", 3)).unwrap();
    for letter in ["b", "c"] {
        rig.control.permit(1);
        assert_eq!(answer.events.blocking_recv(), Some(Event::Text(letter.to_owned())));
    }
    assert!(answer.events.try_recv().is_err(), "the third token is held at the gate");
    rig.control.open();
    assert_eq!(collect(answer).text, "d");
}

#[test]
fn a_request_that_makes_no_sense_is_refused_with_a_reason() {
    let rig = Rig::network(config());
    let refuse = |request| rig.submit(request).unwrap_err();
    assert_eq!(refuse(request("", 5)), SubmitError::EmptyPrompt);
    assert_eq!(refuse(request("a", 0)), SubmitError::NoTokens);
    assert_eq!(refuse(tokens_request(vec![1, 259], 5)), SubmitError::Token { id: 259, vocab_size: 259 });
    let mut hot = request("a", 5);
    hot.sampling.temperature = -1.0;
    assert_eq!(refuse(hot).to_string(), "temperature is -1, expected 0 or a positive number");
    let mut split = request("", 5);
    split.prompt =
        vec![PromptPart::Tokens(Vec::new()), PromptPart::Tokens(vec![97]), PromptPart::Tokens(Vec::new())];
    assert_eq!(rig.ask(split).text, rig.ask(request("a", 5)).text);
}
