//! The tokenizer inside a GGUF file: byte-level BPE (`tokenizer.ggml.model` = `gpt2`).

use candle_core::quantized::gguf_file::Value;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::{AddedToken, Tokenizer as Pipeline};

use super::pre::{KNOWN, by_kind, gpt2};
use super::{Ends, Tokenizer};
use crate::weights::{GgufFile, TensorSource};
use crate::{Error, Result};

/// `tokenizer.ggml.token_type`: control and unknown tokens steer the model, user-defined ones are ordinary text.
pub(super) const CONTROL: i64 = 3;
pub(super) const USER_DEFINED: i64 = 4;

impl Tokenizer {
    /// The tokenizer that `file` carries.
    ///
    /// # Errors
    /// When it carries none, or one of a kind that is not known here.
    pub fn from_gguf(file: &GgufFile) -> Result<Self> {
        let model = file.string("tokenizer.ggml.model")?;
        if model != "gpt2" {
            let key = "tokenizer.ggml.model";
            return Err(file.field(
                key,
                "gpt2 (byte-level BPE), or a tokenizer.json beside the file",
                &model,
            ));
        }
        let origin = file.path().display().to_string();
        let fail =
            |error: tokenizers::Error| Error::Tokenizer { origin: origin.clone(), reason: error.to_string() };
        let kind = match file.value("tokenizer.ggml.pre") {
            Some(_) => file.string("tokenizer.ggml.pre")?,
            None => "default".to_owned(),
        };
        let pre = by_kind(&kind).ok_or_else(|| file.field("tokenizer.ggml.pre", KNOWN, &kind))?;
        let tokens = strings(file, "tokenizer.ggml.tokens")?;
        let bpe = BPE::builder()
            .vocab_and_merges(tokens.iter().cloned().zip(0u32..).collect::<Vocab>(), merges(file)?)
            .ignore_merges(pre.ignore_merges)
            .build()
            .map_err(fail)?;
        let mut pipeline = Pipeline::new(bpe);
        pipeline.with_pre_tokenizer(Some(pre.wrapper)).with_decoder(Some(gpt2()));
        pipeline.add_tokens(added(file, &tokens)?).map_err(fail)?;
        Self::new(pipeline, ends(file)?, origin)
    }
}

fn list<'a>(file: &'a GgufFile, key: &str) -> Result<&'a [Value]> {
    match file.value(key) {
        Some(Value::Array(items)) => Ok(items),
        other => Err(file.field(key, "a list", if other.is_some() { "something else" } else { "nothing" })),
    }
}

fn strings(file: &GgufFile, key: &str) -> Result<Vec<String>> {
    let text = |item: &Value| match item {
        Value::String(text) => Ok(text.clone()),
        other => Err(file.field(key, "a list of strings", &format!("{other:?} in it"))),
    };
    list(file, key)?.iter().map(text).collect()
}

fn merges(file: &GgufFile) -> Result<Merges> {
    let key = "tokenizer.ggml.merges";
    let pair = |line: String| match line.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => Err(file.field(key, "pairs with a space between", &line)),
    };
    strings(file, key)?.into_iter().map(pair).collect()
}

/// Tokens that are found in a text before it is cut into words.
fn added(file: &GgufFile, tokens: &[String]) -> Result<Vec<AddedToken>> {
    let key = "tokenizer.ggml.token_type";
    if file.value(key).is_none() {
        return Ok(Vec::new());
    }
    let kind = |item: &Value| match *item {
        Value::I32(kind) => Ok(i64::from(kind)),
        Value::U32(kind) => Ok(i64::from(kind)),
        ref other => Err(file.field(key, "a list of numbers", &format!("{other:?} in it"))),
    };
    let kinds = list(file, key)?.iter().map(kind).collect::<Result<Vec<_>>>()?;
    let wanted = tokens.iter().zip(kinds).filter(|(_, kind)| matches!(*kind, CONTROL | USER_DEFINED));
    Ok(wanted.map(|(token, kind)| AddedToken::from(token, kind == CONTROL).normalized(false)).collect())
}

fn ends(file: &GgufFile) -> Result<Ends> {
    let id = |key: &str| -> Result<Option<u32>> {
        let key = format!("tokenizer.ggml.{key}_token_id");
        Ok(file.optional_usize(&key)?.and_then(|id| u32::try_from(id).ok()))
    };
    let mut eos: Vec<u32> = [id("eos")?, id("eot")?, id("eom")?].into_iter().flatten().collect();
    eos.dedup();
    let add_bos = matches!(file.value("tokenizer.ggml.add_bos_token"), Some(Value::Bool(true)));
    Ok(Ends { bos: id("bos")?, eos, pad: id("padding")?, add_bos })
}
