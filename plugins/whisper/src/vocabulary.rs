//! Whisper's vocabulary from the files beside a CTranslate2 model, turned back into the bytes that tokens stand for.

use std::path::Path;

const END_OF_TEXT: &str = "<|endoftext|>";
/// Tokens of GPT-2's vocabulary without its end of text; both of Whisper's vocabularies begin with as many.
const PLAIN_TOKENS: usize = 50_256;

/// Why a vocabulary could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VocabularyError {
    /// Neither `vocabulary.txt` nor `vocabulary.json` is there, or it cannot be read.
    #[error("reading vocabulary.txt or vocabulary.json in {folder}: {source}")]
    Read {
        /// Where they were looked for.
        folder: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The JSON is not a list of strings.
    #[error("vocabulary.json: expected a list of strings: {0}")]
    Json(serde_json::Error),
    /// The entries are not Whisper's.
    #[error("vocabulary: {0}")]
    Content(String),
}

/// The tokens that a ggml file lists, as bytes: all before the first special token, and the place that GPT-2's end of
/// text has in `ggml`: written out for English models, empty for multilingual ones.
///
/// # Errors
/// [`VocabularyError`].
pub(crate) fn read(folder: &Path, multilingual: bool) -> Result<Vec<Vec<u8>>, VocabularyError> {
    let entries = entries(folder)?;
    let Some(plain) = entries.iter().position(|entry| entry == END_OF_TEXT) else {
        return Err(VocabularyError::Content(format!("no {END_OF_TEXT} among {} entries", entries.len())));
    };
    let mut tokens = entries[..plain].iter().map(|entry| to_bytes(entry)).collect::<Result<Vec<_>, _>>()?;
    tokens.truncate(PLAIN_TOKENS);
    if tokens.len() != PLAIN_TOKENS {
        let text = format!("expected {PLAIN_TOKENS} entries before {END_OF_TEXT}, found {plain}");
        return Err(VocabularyError::Content(text));
    }
    tokens.push(if multilingual { Vec::new() } else { END_OF_TEXT.as_bytes().to_vec() });
    Ok(tokens)
}

fn entries(folder: &Path) -> Result<Vec<String>, VocabularyError> {
    let failed = |source| VocabularyError::Read { folder: folder.display().to_string(), source };
    let json = folder.join("vocabulary.json");
    if json.exists() {
        let text = std::fs::read_to_string(json).map_err(failed)?;
        return serde_json::from_str(&text).map_err(VocabularyError::Json);
    }
    let text = std::fs::read_to_string(folder.join("vocabulary.txt")).map_err(failed)?;
    Ok(text.split('\n').map(str::to_owned).collect())
}

/// The inverse of GPT-2's table, in which each byte has a printable character of its own.
fn to_bytes(entry: &str) -> Result<Vec<u8>, VocabularyError> {
    entry
        .chars()
        .map(|c| {
            to_byte(c)
                .ok_or_else(|| VocabularyError::Content(format!("{c:?} in {entry:?} stands for no byte")))
        })
        .collect()
}

/// Printable bytes stand for themselves; the others follow from U+0100 on, in their order.
fn to_byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    match u8::try_from(code) {
        Ok(byte) => printable(byte).then_some(byte),
        Err(_) => (0..=u8::MAX).filter(|&byte| !printable(byte)).nth(usize::try_from(code - 0x100).ok()?),
    }
}

fn printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_characters() {
        assert_eq!(to_bytes("Ġhello").unwrap(), b" hello");
        assert_eq!(to_bytes("åľº").unwrap(), "场".as_bytes());
        assert_eq!(to_bytes("Ċ").unwrap(), b"\n");
        assert!(to_bytes(" ").is_err(), "a raw space stands for no byte");
        let mut bytes: Vec<u8> = (0..0x144).filter_map(char::from_u32).filter_map(to_byte).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>(), "each byte has exactly one character");
    }

    #[test]
    fn a_short_vocabulary_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("vocabulary.json"), r#"["a","<|endoftext|>"]"#).unwrap();
        let error = read(folder.path(), false).unwrap_err().to_string();
        assert!(error.contains("expected 50256 entries"), "{error}");
    }
}
