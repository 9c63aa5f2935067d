//! Text to ids and back, through the `tokenizers` crate.

mod files;
mod gguf;
mod learn;
mod made_up;
mod pre;
mod stream;
mod to_gguf;

use std::sync::Arc;

use tokenizers::Tokenizer as Pipeline;

pub use self::files::codegen_whitespace;
pub use self::learn::learn;
pub use self::stream::TokenStream;

use crate::{Error, Result};

/// A vocabulary with its rules. Cheap to clone.
///
/// Two ways to encode keep user text apart from markup: [`encode_text`](Self::encode_text) never yields a control token
/// whatever the text says, [`encode_markup`](Self::encode_markup) recognises them.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    text: Pipeline,
    markup: Pipeline,
    ends: Ends,
    origin: String,
    vocab_size: usize,
}

/// Ids that begin and end a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Vec<u32>,
    pub(crate) pad: Option<u32>,
    pub(crate) add_bos: bool,
}

impl Tokenizer {
    fn new(mut markup: Pipeline, ends: Ends, origin: String) -> Result<Self> {
        let plain = |reason: tokenizers::Error| Error::Tokenizer {
            origin: origin.clone(),
            reason: reason.to_string(),
        };
        markup.with_truncation(None).map_err(plain)?;
        markup.with_padding(None);
        markup.set_encode_special_tokens(false);
        let mut text = markup.clone();
        text.set_encode_special_tokens(true);
        let vocab_size = markup.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        Ok(Self { inner: Arc::new(Inner { text, markup, ends, origin, vocab_size }) })
    }

    /// Ids of `text`. Control tokens written in it are ordinary characters.
    ///
    /// # Errors
    /// When the model behind cannot encode it.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>> {
        self.encode(&self.inner.text, text)
    }

    /// Ids of `markup`, in which control tokens such as `<|im_start|>` stand for themselves.
    ///
    /// # Errors
    /// When the model behind cannot encode it.
    pub fn encode_markup(&self, markup: &str) -> Result<Vec<u32>> {
        self.encode(&self.inner.markup, markup)
    }

    fn encode(&self, pipeline: &Pipeline, text: &str) -> Result<Vec<u32>> {
        let encoding = pipeline.encode_fast(text, false).map_err(|error| self.error(&error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`; control tokens are left out.
    ///
    /// # Errors
    /// When the decoder behind fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.markup.decode(ids, true).map_err(|error| self.error(&error))
    }

    /// A decoder for ids that arrive one after the other.
    #[must_use]
    pub fn stream(&self) -> TokenStream {
        TokenStream::new(self.clone())
    }

    /// The id of a token as it is written in the vocabulary.
    #[must_use]
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.markup.token_to_id(token)
    }

    /// The token of `id` as it is written in the vocabulary.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.markup.id_to_token(id)
    }

    /// True for control tokens.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        let added = self.inner.markup.get_added_tokens_decoder();
        added.get(&id).is_some_and(|token| token.special)
    }

    /// One more than the highest id. A network's table may have more rows.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.vocab_size
    }

    /// The id that begins a text, where there is one.
    #[must_use]
    pub fn bos_id(&self) -> Option<u32> {
        self.inner.ends.bos
    }

    /// The ids that end a text, the usual one first.
    #[must_use]
    pub fn eos_ids(&self) -> &[u32] {
        &self.inner.ends.eos
    }

    /// True when the model expects [`bos_id`](Self::bos_id) before every text.
    #[must_use]
    pub fn adds_bos(&self) -> bool {
        self.inner.ends.add_bos
    }

    fn error(&self, error: &tokenizers::Error) -> Error {
        Error::Tokenizer { origin: self.inner.origin.clone(), reason: error.to_string() }
    }
}
