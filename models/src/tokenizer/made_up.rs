//! A tokenizer for weights that no text has shaped.

use std::collections::BTreeSet;

use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Pipeline};

use super::files::END_OF_TEXT;
use super::pre::gpt2;
use super::{Ends, Tokenizer};
use crate::{Error, Result};

/// Control tokens behind the bytes: with ChatML's two, this program and llama.cpp take the same prompt template.
const CONTROL: [&str; 3] = [END_OF_TEXT, "<|im_start|>", "<|im_end|>"];

/// A blank, as byte-level tokenizers write it.
const BLANK: &str = "Ġ";

impl Tokenizer {
    /// Fewest tokens of [`made_up`](Self::made_up): 256 bytes and the control tokens.
    pub const FEWEST_MADE_UP: usize = 256 + CONTROL.len();

    /// A tokenizer of exactly `tokens` tokens: every byte, three control tokens, and words of the letters a to z with a
    /// blank before them, the short ones first. So every row of an embedding table has text, a word comes back as the token
    /// that wrote it, and a prompt of words has as many tokens (but for its first word, which has no blank).
    ///
    /// # Errors
    /// When there are fewer than [`FEWEST_MADE_UP`](Self::FEWEST_MADE_UP).
    pub fn made_up(tokens: usize) -> Result<Self> {
        let origin = "made up".to_owned();
        let fail = |reason: tokenizers::Error| Error::Tokenizer {
            origin: origin.clone(),
            reason: reason.to_string(),
        };
        let Some(words) = tokens.checked_sub(Self::FEWEST_MADE_UP) else {
            let reason = format!("bytes and control tokens alone are {}", Self::FEWEST_MADE_UP);
            return Err(Error::Options { option: format!("{tokens} tokens"), reason });
        };
        let merges = merges(words);
        let bytes: BTreeSet<char> = ByteLevel::alphabet().into_iter().collect();
        let control = CONTROL.map(str::to_owned);
        let words = merges.iter().map(|(left, right)| format!("{left}{right}"));
        let all = bytes.into_iter().map(String::from).chain(control).chain(words);
        let vocabulary: Vocab = all.zip(0u32..).collect();
        let bpe = BPE::builder().vocab_and_merges(vocabulary, merges).build().map_err(fail)?;
        let mut pipeline = Pipeline::new(bpe);
        pipeline.with_pre_tokenizer(Some(gpt2())).with_decoder(Some(gpt2()));
        pipeline.add_special_tokens(CONTROL.map(|token| AddedToken::from(token, true))).map_err(fail)?;
        let [end_of_text, _, end_of_turn] = CONTROL.map(|token| pipeline.token_to_id(token));
        let eos = [end_of_turn, end_of_text].into_iter().flatten().collect();
        let ends = Ends { bos: end_of_text, eos, pad: end_of_text, add_bos: false };
        Self::new(pipeline, ends, origin)
    }
}

/// The pairs that make `words` words, in the order of merging. A word is the one that lacks its last letter, and that
/// letter; words of one length follow all shorter ones, so that the shorter one is always there.
fn merges(words: usize) -> Merges {
    let mut all = Merges::with_capacity(words);
    let mut stems = vec![BLANK.to_owned()];
    while all.len() < words {
        let mut longer = Vec::with_capacity(stems.len() * 26);
        for stem in &stems {
            for letter in ('a'..='z').take(words - all.len()) {
                longer.push(format!("{stem}{letter}"));
                all.push((stem.clone(), letter.to_string()));
            }
        }
        stems = longer;
    }
    all
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::gguf_file::Value;

    use super::*;

    #[test]
    fn every_token_has_text_and_every_word_comes_back_as_itself() {
        let tokenizer = Tokenizer::made_up(2000).unwrap();
        assert_eq!(tokenizer.vocab_size(), 2000);
        let first_word = Tokenizer::FEWEST_MADE_UP as u32;
        for id in first_word..2000 {
            let text = tokenizer.decode(&[id]).unwrap();
            assert!(text.starts_with(' ') && text.len() > 1, "{id}: {text:?}");
            assert_eq!(tokenizer.encode_text(&text).unwrap(), [id]);
        }
        assert_eq!(tokenizer.encode_text(" ab cd").unwrap().len(), 2);
        let foreign = tokenizer.encode_text("Grün 🙂").unwrap();
        assert_eq!(tokenizer.decode(&foreign).unwrap(), "Grün 🙂");
    }

    #[test]
    fn it_takes_the_template_with_turns_and_ends_them() {
        let tokenizer = Tokenizer::made_up(Tokenizer::FEWEST_MADE_UP).unwrap();
        let turn = tokenizer.token_id("<|im_end|>").unwrap();
        assert_eq!(tokenizer.encode_markup("<|im_end|>").unwrap(), [turn]);
        assert_eq!(tokenizer.eos_ids().first(), Some(&turn));
        assert!(Tokenizer::made_up(258).is_err());
    }

    #[test]
    fn a_gguf_file_has_a_place_for_it() {
        let entries = Tokenizer::made_up(51_200).unwrap().gguf_metadata().unwrap();
        let length = |key: &str| match entries.iter().find(|(name, _)| name == key) {
            Some((_, Value::Array(items))) => items.len(),
            other => panic!("{key}: {other:?}"),
        };
        assert_eq!(length("tokenizer.ggml.tokens"), 51_200);
        assert_eq!(length("tokenizer.ggml.merges"), 51_200 - Tokenizer::FEWEST_MADE_UP);
    }
}
