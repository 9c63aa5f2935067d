//! Tokenizers as a GGUF file's metadata, so that llama.cpp tokenises as we do.

use candle_core::quantized::gguf_file::Value;
use serde::Deserialize;
use tokenizers::models::bpe::BPE;
use tokenizers::{ModelWrapper, Tokenizer as Pipeline};

use super::gguf::{CONTROL, USER_DEFINED};
use super::pre::{KNOWN, kind_of};
use super::{Ends, Tokenizer};
use crate::weights::Metadata;
use crate::{Error, Result};

/// `tokenizer.ggml.token_type` of a token that is made by merging.
const NORMAL: i64 = 1;

/// Of several ids that end a text, llama.cpp knows so many.
const EOS_KEYS: [&str; 3] = ["eos", "eot", "eom"];

impl Tokenizer {
    /// The entries `tokenizer.ggml.*` that say what this tokenizer does. Of the ids that end a text, three have a place.
    ///
    /// # Errors
    /// When it is no byte-level BPE that cuts words in one of the ways that are known here, or has a rule that GGUF cannot
    /// say.
    pub fn gguf_metadata(&self) -> Result<Metadata> {
        let fail = |reason| Error::Tokenizer { origin: self.inner.origin.clone(), reason };
        let pipeline = &self.inner.markup;
        let (bpe, pre) = byte_level(pipeline).map_err(fail)?;
        let (tokens, types) = tokens(pipeline).map_err(fail)?;
        let merges = merges(bpe).map_err(|error| fail(error.to_string()))?;
        let mut entries = vec![
            ("tokenizer.ggml.model".to_owned(), Value::String("gpt2".into())),
            ("tokenizer.ggml.pre".to_owned(), Value::String(pre.into())),
            ("tokenizer.ggml.tokens".to_owned(), Value::Array(tokens)),
            ("tokenizer.ggml.token_type".to_owned(), Value::Array(types)),
            ("tokenizer.ggml.merges".to_owned(), Value::Array(merges)),
        ];
        entries.extend(ends(&self.inner.ends));
        Ok(entries)
    }
}

/// The pairs to merge and the kind of the cut, if GGUF has a place for all that `pipeline` does.
fn byte_level(pipeline: &Pipeline) -> Result<(&BPE, &'static str), String> {
    let ModelWrapper::BPE(bpe) = pipeline.get_model() else {
        return Err("it is no byte-level BPE, the only kind that can be put into a GGUF file".into());
    };
    let affix = |affix: &Option<String>| affix.as_ref().is_some_and(|affix| !affix.is_empty());
    if affix(&bpe.continuing_subword_prefix) || affix(&bpe.end_of_word_suffix) || bpe.byte_fallback {
        return Err("its BPE is not byte-level, the only kind that can be put into a GGUF file".into());
    }
    if pipeline.get_normalizer().is_some() {
        return Err("it normalises text, which a GGUF file cannot say".into());
    }
    let kind = pipeline.get_pre_tokenizer().and_then(|pre| kind_of(pre, bpe.ignore_merges));
    let kind = kind.ok_or_else(|| format!("it cuts words in another way than these: {KNOWN}"))?;
    Ok((bpe, kind))
}

/// Every token and its type, in the order of ids.
fn tokens(pipeline: &Pipeline) -> Result<(Vec<Value>, Vec<Value>), String> {
    let added = pipeline.get_added_tokens_decoder();
    if let Some(token) = added.values().find(|token| token.lstrip || token.rstrip || token.single_word) {
        let content = &token.content;
        return Err(format!("{content:?} looks at what is around it, which a GGUF file cannot say"));
    }
    let mut vocabulary: Vec<_> =
        pipeline.get_vocab(true).into_iter().map(|(token, id)| (id, token)).collect();
    vocabulary.sort_unstable();
    if let Some(((id, _), expected)) = vocabulary.iter().zip(0..).find(|((id, _), expected)| id != expected) {
        return Err(format!("its ids have to follow one another: {id} where {expected} should be"));
    }
    let kind = |id: &u32| match added.get(id) {
        Some(token) if token.special => CONTROL,
        Some(_) => USER_DEFINED,
        None => NORMAL,
    };
    let types = vocabulary.iter().map(|(id, _)| Value::I32(kind(id) as i32)).collect();
    Ok((vocabulary.into_iter().map(|(_, token)| Value::String(token)).collect(), types))
}

/// Pairs in the order of merging; the `tokenizers` crate shows them only in what it saves.
fn merges(bpe: &BPE) -> serde_json::Result<Vec<Value>> {
    #[derive(Deserialize)]
    struct Saved {
        merges: Vec<(String, String)>,
    }
    let saved: Saved = serde_json::from_value(serde_json::to_value(bpe)?)?;
    Ok(saved.merges.into_iter().map(|(left, right)| Value::String(format!("{left} {right}"))).collect())
}

fn ends(ends: &Ends) -> Metadata {
    let mut ids: Vec<_> = EOS_KEYS.into_iter().zip(ends.eos.iter().copied()).collect();
    ids.extend(ends.bos.map(|id| ("bos", id)));
    ids.extend(ends.pad.map(|id| ("padding", id)));
    let ids = ids.into_iter().map(|(key, id)| (format!("tokenizer.ggml.{key}_token_id"), Value::U32(id)));
    ids.chain([("tokenizer.ggml.add_bos_token".to_owned(), Value::Bool(ends.add_bos))]).collect()
}
