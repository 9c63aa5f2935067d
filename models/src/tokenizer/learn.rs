//! A tokenizer of GPT-2's kind, learned from text: for models that are pre-trained from nothing.

use std::path::Path;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Pipeline};

use super::files::{END_OF_TEXT, bad};
use super::pre::gpt2;
use super::{Ends, Tokenizer};
use crate::{Error, Result};

/// Learns byte-pair merges (Sennrich et al. 2016, <https://arxiv.org/abs/1508.07909>) from `texts` until there are `tokens`
/// tokens, all 256 bytes and `<|endoftext|>` among them, and writes `tokenizer.json` and `tokenizer_config.json`. The same
/// texts give the same files. Returns how many tokens there are: fewer, when the texts hold nothing more to merge.
///
/// # Errors
/// When `tokens` is fewer than 257, or the folder cannot be written.
pub fn learn<'a>(texts: impl Iterator<Item = &'a str> + Send, tokens: usize, folder: &Path) -> Result<usize> {
    if tokens < 257 {
        let reason = format!("{tokens} tokens are too few: 256 bytes and the end of text need 257");
        return Err(Error::Options { option: "tokens".into(), reason });
    }
    let trainer = BpeTrainer::builder()
        .vocab_size(tokens)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut pipeline = Pipeline::new(BPE::default());
    pipeline.with_pre_tokenizer(Some(gpt2())).with_decoder(Some(gpt2()));
    pipeline.train(&mut TrainerWrapper::from(trainer), texts).map_err(|error| bad(folder, &error))?;
    let end = pipeline.token_to_id(END_OF_TEXT);
    let ends = Ends { bos: end, eos: end.into_iter().collect(), ..Ends::default() };
    let tokenizer = Tokenizer::new(pipeline, ends, folder.display().to_string())?;
    tokenizer.save(folder, None)?;
    Ok(tokenizer.vocab_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_become_tokens_and_everything_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let texts = vec!["the red circle is red\nthe red square"; 50];
        let tokens = learn(texts.iter().copied(), 300, folder.path()).unwrap();
        assert!((260..=300).contains(&tokens), "{tokens}");
        let tokenizer = Tokenizer::from_folder(folder.path()).unwrap().unwrap();
        for text in ["the red circle", " red", "grün 🙂 unseen"] {
            let ids = tokenizer.encode_text(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
        assert_eq!(tokenizer.encode_text(" red").unwrap().len(), 1);
        assert_eq!(tokenizer.token(tokenizer.eos_ids()[0]).unwrap(), END_OF_TEXT);
        assert!(learn(texts.into_iter(), 256, folder.path()).is_err());
    }
}
