use super::Tokenizer;
use crate::Result;

/// What the decoder gives for bytes that are no character, or not yet.
const INCOMPLETE: char = '\u{FFFD}';

/// Tokens that may wait for the rest of a character. A character has at most four bytes and a token at least one, so
/// whatever still looks incomplete after more tokens than that will not get better.
const PATIENCE: usize = 8;

/// Turns ids that arrive one after the other into text, never cutting a character in half.
///
/// What the pushes and the end give, put together, is what [`Tokenizer::decode`] gives for all ids at once (bytes that
/// never become a character may give more or fewer replacement characters).
#[derive(Debug, Clone)]
pub struct TokenStream {
    tokenizer: Tokenizer,
    ids: Vec<u32>,
    /// Ids at the front of `ids` whose text has been given out; they stay as context of the next ones.
    given: usize,
    given_text: String,
}

impl TokenStream {
    pub(super) fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), given: 0, given_text: String::new() }
    }

    /// Takes the next id; gives the text that is certain by now.
    ///
    /// # Errors
    /// When the decoder behind fails.
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        self.ids.push(id);
        let text = self.tokenizer.decode(&self.ids)?;
        if text.ends_with(INCOMPLETE) && self.ids.len() - self.given < PATIENCE {
            return Ok(None);
        }
        self.give(&text)
    }

    /// The text that was still waiting.
    ///
    /// # Errors
    /// When the decoder behind fails.
    pub fn finish(&mut self) -> Result<Option<String>> {
        let text = self.tokenizer.decode(&self.ids)?;
        self.give(&text)
    }

    fn give(&mut self, text: &str) -> Result<Option<String>> {
        let new = text.strip_prefix(self.given_text.as_str()).unwrap_or(text).to_owned();
        self.ids.drain(..self.given);
        self.given = self.ids.len();
        self.given_text = self.tokenizer.decode(&self.ids)?;
        Ok((!new.is_empty()).then_some(new))
    }
}
