//! A caption beside those that people wrote for the same picture, and the scores of many such captions.

use serde::{Deserialize, Serialize};

use super::tokens::caption_tokens;
use super::{bleu, cider};

/// A generated caption and the people's captions of its picture, as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captioned {
    candidate: Vec<String>,
    references: Vec<Vec<String>>,
}

/// A caption came without a reference to compare it with.
#[derive(Debug, thiserror::Error)]
#[error("the caption {candidate:?} has no reference: at least one was expected")]
pub struct NoReferences {
    /// The caption.
    pub candidate: String,
}

impl Captioned {
    /// Tokenises a caption and its references.
    ///
    /// # Errors
    /// When there is no reference.
    pub fn new<S: AsRef<str>>(candidate: &str, references: &[S]) -> Result<Self, NoReferences> {
        if references.is_empty() {
            return Err(NoReferences { candidate: candidate.to_owned() });
        }
        let references = references.iter().map(|reference| caption_tokens(reference.as_ref())).collect();
        Ok(Self { candidate: caption_tokens(candidate), references })
    }

    /// The generated caption's tokens; none if it is empty.
    #[must_use]
    pub fn candidate(&self) -> &[String] {
        &self.candidate
    }

    /// The people's captions' tokens; at least one caption.
    #[must_use]
    pub fn references(&self) -> &[Vec<String>] {
        &self.references
    }
}

/// How near the captions of a set of pictures come to those of people.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CaptionScores {
    /// How many captions were scored.
    pub captions: usize,
    /// BLEU-1 to BLEU-4, each 0 to 1.
    pub bleu: [f64; 4],
    /// CIDEr-D, 0 to 10.
    pub cider: f64,
}

impl CaptionScores {
    /// Scores one caption a picture.
    #[must_use]
    pub fn of(captions: &[Captioned]) -> Self {
        Self { captions: captions.len(), bleu: bleu(captions), cider: cider(captions) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_needs_a_reference() {
        let error = Captioned::new::<&str>("A dog.", &[]).unwrap_err();
        assert!(error.to_string().contains("\"A dog.\""), "{error}");
    }
}
