//! Positions that come from an encoder.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use jnana_core::request::{Embeddings, PromptPart};
use jnana_core::{EngineConfig, SubmitError};

use crate::rig::{Rig, config, parts_request, request};
use crate::tiny::{self, WIDTH};

fn part(rows: Tensor, key: u8) -> PromptPart {
    PromptPart::Embeddings(Arc::new(Embeddings { rows, key: [key; 32], source: "jnana.test".to_owned() }))
}

/// The rows of the embedding table for a text.
fn table_rows(text: &str) -> Tensor {
    let ids: Vec<u32> = text.bytes().map(u32::from).collect();
    tiny::load().decoder.embed(&Tensor::new(ids, &Device::Cpu).unwrap()).unwrap()
}

#[test]
fn rows_of_the_table_answer_as_their_tokens_do() {
    let (before, middle, after) =
        ("Look at ", "a picture of 49 positions, whatever it shows here", ", please");
    let expected = Rig::network(config()).ask(request(&format!("{before}{middle}{after}"), 20));
    assert_eq!(middle.len(), 49);
    // Small steps cut the embeddings in the middle.
    for prefill_rows in [1, 5, 16, 128] {
        let tokens = |text: &str| PromptPart::Tokens(text.bytes().map(u32::from).collect());
        let prompt = vec![tokens(before), part(table_rows(middle), 1), tokens(after)];
        let outcome = Rig::network(EngineConfig { prefill_rows, ..config() }).ask(parts_request(prompt, 20));
        assert_eq!(outcome.text, expected.text, "{prefill_rows} rows a step");
        assert_eq!(outcome.usage().prompt_positions, 8 + 49 + 8);
    }
}

#[test]
fn two_parts_side_by_side_keep_their_own_rows() {
    let expected = Rig::network(config()).ask(request("first second first ", 20));
    let prompt =
        vec![part(table_rows("first "), 1), part(table_rows("second "), 2), part(table_rows("first "), 1)];
    assert_eq!(Rig::network(config()).ask(parts_request(prompt, 20)).text, expected.text);
}

#[test]
fn rows_of_another_shape_are_refused() {
    let rig = Rig::network(config());
    for shape in [vec![4, WIDTH + 1], vec![0, WIDTH], vec![WIDTH], vec![1, 4, WIDTH]] {
        let rows = Tensor::zeros(shape.as_slice(), candle_core::DType::F32, &Device::Cpu).unwrap();
        let refused = rig.submit(parts_request(vec![part(rows, 1)], 5)).unwrap_err();
        assert_eq!(refused, SubmitError::Embeddings { origin: "jnana.test".to_owned(), shape, width: WIDTH });
    }
}
