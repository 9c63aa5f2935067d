//! How text is cut into words before byte pairs are merged, by the kinds that GGUF files name.

use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

/// Llama 3: contractions in any case, letters with one leading sign, up to three digits, signs, line ends, spaces.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen 2: the same with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Kinds for messages.
pub(super) const KNOWN: &str =
    "gpt-2, default, phi-2, smollm, starcoder, refact, llama-bpe, llama3, llama-v3, qwen2";

/// A cut and what else it implies.
pub(super) struct PreTokenizer {
    pub(super) wrapper: PreTokenizerWrapper,
    /// A word that is a token is not merged from its bytes.
    pub(super) ignore_merges: bool,
}

/// The cut called `kind` in `tokenizer.ggml.pre`.
pub(super) fn by_kind(kind: &str) -> Option<PreTokenizer> {
    let plain = |wrapper| PreTokenizer { wrapper, ignore_merges: false };
    match kind {
        "gpt-2" | "default" | "phi-2" => Some(plain(gpt2().into())),
        "smollm" | "starcoder" | "refact" => {
            Some(plain(Sequence::new(vec![Digits::new(true).into(), gpt2().into()]).into()))
        }
        "llama-bpe" | "llama3" | "llama-v3" => {
            Some(PreTokenizer { wrapper: split(LLAMA3)?, ignore_merges: true })
        }
        "qwen2" => Some(plain(split(QWEN2)?)),
        _ => None,
    }
}

/// GPT-2's own cut and its bytes as printable characters.
pub(super) fn gpt2() -> ByteLevel {
    ByteLevel::new(false, true, true)
}

fn split(pattern: &str) -> Option<PreTokenizerWrapper> {
    let pattern = SplitPattern::Regex(pattern.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).ok()?;
    Some(Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into())
}
