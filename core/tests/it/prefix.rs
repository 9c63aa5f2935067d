//! What an earlier request computed is used again, and changes nothing.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use jnana_core::EngineConfig;
use jnana_core::request::{Embeddings, PromptPart};

use crate::rig::{Rig, collect, config, parts_request, request, tokens_request};
use crate::tiny::{CACHE_BYTES, WIDTH};

/// What a fresh engine answers.
fn fresh(ids: &[u32], max_tokens: usize) -> String {
    Rig::network(config()).ask(tokens_request(ids.to_vec(), max_tokens)).text
}

fn bytes(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

#[test]
fn the_next_turn_computes_only_what_is_new() {
    let rig = Rig::counting(config());
    let first = rig.ask(request("Count on: a", 20));
    assert_eq!(first.usage().reused_positions, 0);
    let next = format!("Count on: a{}, and then? k", first.text);
    let second = rig.ask(request(&next, 4));
    // The answer's last token was drawn and never computed.
    assert_eq!(second.usage().reused_positions, 11 + 19);
    assert_eq!((second.usage().prompt_positions, second.text.as_str()), (next.len(), "lmno"));
    assert_eq!(rig.wait_until(|s| s.finished == 2).reused_positions, 30);
}

#[test]
fn reuse_gives_the_same_answer() {
    let rig = Rig::network(config());
    let question = bytes("What follows from what was said before? Think, then answer.");
    rig.ask(tokens_request(question.clone(), 30));
    let again = rig.ask(tokens_request(question.clone(), 30));
    assert_eq!(again.usage().reused_positions, question.len() - 1, "the last is computed for its logits");
    assert_eq!(again.text, fresh(&question, 30));

    let branch: Vec<u32> = question[..40].iter().copied().chain(bytes("Do not think.")).collect();
    let other = rig.ask(tokens_request(branch.clone(), 30));
    assert_eq!(other.usage().reused_positions, 40);
    assert_eq!(other.text, fresh(&branch, 30));
}

#[test]
fn a_running_request_lends_its_prefix() {
    let rig = Rig::network(config());
    let question = bytes("A question that two people ask at the same time.");
    rig.control.close();
    let first = rig.submit(tokens_request(question.clone(), 30)).unwrap();
    rig.control.permit(3);
    rig.control.wait_for_step(4);
    let second = rig.submit(tokens_request(question.clone(), 30)).unwrap();
    rig.control.open();
    let (first, second) = (collect(first), collect(second));
    assert_eq!(second.usage().reused_positions, question.len() - 1);
    assert_eq!(first.text, fresh(&question, 30));
    assert_eq!(second.text, first.text);
}

#[test]
fn a_short_common_beginning_leaves_the_other_conversation_its_cache() {
    let rig = Rig::network(config());
    let system = "You are brief. ";
    let long = format!("{system}{}", "A conversation that went on for a good while. ".repeat(4));
    rig.ask(request(&long, 4));
    let other = rig.ask(request(&format!("{system}Hello!"), 4));
    assert_eq!(other.usage().reused_positions, system.len());
    let back = rig.ask(request(&format!("{long}And?"), 4));
    assert!(back.usage().reused_positions >= long.len(), "{:?}", back.usage());
}

#[test]
fn two_conversations_with_one_beginning_keep_a_cache_each() {
    let rig = Rig::network(config());
    let system = "You answer in few words. Never say more than you were asked. ";
    let [sea, birds] =
        ["Tell me of the sea.", "Name three birds."].map(|question| format!("{system}{question}"));
    rig.ask(request(&sea, 20));
    assert_eq!(rig.ask(request(&birds, 20)).usage().reused_positions, system.len());
    for question in [&sea, &birds, &sea, &birds] {
        let next = format!("{question} And?");
        let outcome = rig.ask(request(&next, 20));
        assert!(outcome.usage().reused_positions >= question.len(), "{:?}", outcome.usage());
        assert_eq!(outcome.text, fresh(&bytes(&next), 20));
    }
}

#[test]
fn a_conversation_that_outgrows_its_cache_takes_it_along() {
    // The caches of 64 and 128 positions do not fit side by side.
    let rig = Rig::network(EngineConfig { cache_bytes: 130 * CACHE_BYTES, ..config() });
    let question = "A question of fifty positions, as it was counted..";
    rig.ask(request(question, 10));
    let next = format!("{question} And one that goes on for forty or more.");
    let outcome = rig.ask(request(&next, 10));
    assert!(outcome.usage().reused_positions >= question.len(), "{:?}", outcome.usage());
    assert_eq!(outcome.text, fresh(&bytes(&next), 10));
}

#[test]
fn what_was_used_last_stays_longest() {
    // Two of 64 positions fit.
    let rig = Rig::network(EngineConfig { cache_bytes: 130 * CACHE_BYTES, ..config() });
    for text in ["first one", "second one", "first one", "third one"] {
        rig.ask(request(text, 4));
    }
    assert_eq!(rig.ask(request("first one", 4)).usage().reused_positions, 8);
}

#[test]
fn old_caches_make_room_for_new_requests() {
    // Two of 64 positions fit.
    let rig = Rig::network(EngineConfig { cache_bytes: 130 * CACHE_BYTES, ..config() });
    for text in ["first one", "second one", "third one"] {
        rig.ask(request(text, 4));
    }
    let reused = |text| rig.ask(request(text, 4)).usage().reused_positions;
    assert_eq!(reused("third one"), 8);
    assert_eq!(reused("first one"), 0, "the oldest had to go");
    let stats = rig.wait_until(|s| s.finished == 5);
    assert!(stats.reusable_cache_bytes <= 130 * CACHE_BYTES, "{stats:?}");
}

#[test]
fn embeddings_are_known_by_their_key() {
    let rig = Rig::network(config());
    let picture = |key: u8| {
        let values: Vec<f32> = (0..6 * WIDTH).map(|i| ((i + usize::from(key)) as f32).sin()).collect();
        let rows = Tensor::from_vec(values, (6, WIDTH), &Device::Cpu).unwrap();
        PromptPart::Embeddings(Arc::new(Embeddings { rows, key: [key; 32], source: "eye".to_owned() }))
    };
    let look = |key| {
        let tail = PromptPart::Tokens(bytes(" what is it?"));
        parts_request(vec![PromptPart::Tokens(bytes("Look: ")), picture(key), tail], 12)
    };
    let first = rig.ask(look(1));
    let same = rig.ask(look(1));
    let other = rig.ask(look(2));
    assert_eq!((same.usage().reused_positions, &same.text), (6 + 6 + 11, &first.text));
    assert_eq!(other.usage().reused_positions, 6);
    assert_eq!(other.text, Rig::network(config()).ask(look(2)).text);
    assert_ne!(other.text, first.text);
}
