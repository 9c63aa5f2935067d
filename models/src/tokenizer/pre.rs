//! How text is cut into words before byte pairs are merged, by the kinds that GGUF files name.

use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

/// Llama 3: contractions in any case, letters with one leading sign, up to three digits, signs, line ends, spaces.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen 2: the same with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A text that every kind cuts in another way.
const PROBE: &str = "It's 12345, I'LL(say) \n\n  so:\tété, नमस्ते 你好１２３ x1y22z333!?\r\n  \t<end>  ";

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

/// The kind that cuts as `wrapper` does. It is found by trying, since the same cut can be written in many ways.
pub(super) fn kind_of(wrapper: &PreTokenizerWrapper, ignore_merges: bool) -> Option<&'static str> {
    let wanted = words(wrapper)?;
    ["gpt-2", "smollm", "llama-bpe", "qwen2"].into_iter().find(|kind| {
        let known = by_kind(kind).filter(|known| known.ignore_merges == ignore_merges);
        known.and_then(|known| words(&known.wrapper)).is_some_and(|words| words == wanted)
    })
}

fn words(wrapper: &PreTokenizerWrapper) -> Option<Vec<String>> {
    let mut text = PreTokenizedString::from(PROBE);
    wrapper.pre_tokenize(&mut text).ok()?;
    let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Some(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_cut() {
        for kind in ["gpt-2", "smollm", "llama-bpe", "qwen2"] {
            let pre = by_kind(kind).unwrap();
            assert_eq!(kind_of(&pre.wrapper, pre.ignore_merges), Some(kind));
            assert_eq!(kind_of(&pre.wrapper, !pre.ignore_merges), None);
        }
        assert_eq!(kind_of(&ByteLevel::new(true, true, true).into(), false), None);
        assert_eq!(kind_of(&Digits::new(true).into(), false), None);
    }
}
