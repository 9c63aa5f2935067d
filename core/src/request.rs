//! What the engine is asked and what it answers.

use std::sync::Arc;

use candle_core::Tensor;

/// One part of a prompt.
#[derive(Debug, Clone)]
pub enum PromptPart {
    /// Token ids.
    Tokens(Vec<u32>),
    /// Embeddings from an encoder.
    Embeddings(Arc<Embeddings>),
}

impl PromptPart {
    /// Positions that the part takes.
    #[must_use]
    pub fn positions(&self) -> usize {
        match self {
            Self::Tokens(ids) => ids.len(),
            Self::Embeddings(e) => e.rows.dims().first().copied().unwrap_or(0),
        }
    }
}

/// Positions that come from an encoder instead of the embedding table.
#[derive(Debug)]
pub struct Embeddings {
    /// `[n, width]`, f32, on the CPU.
    pub rows: Tensor,
    /// Identity of the content, for prefix reuse: equal keys mean equal rows.
    pub key: [u8; 32],
    /// Id of the plugin that made them.
    pub source: String,
}

/// How the next token is drawn: the repetition penalty first, then the temperature, then the filters in the order of the
/// fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep the k most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set whose probability reaches p; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less probable than this share of the best; 0 drops none.
    pub min_p: f32,
    /// Divides (multiplies, when negative) the logits of tokens that the prompt or the answer has; 1 is off.
    pub repetition_penalty: f32,
    /// The same seed, prompt and model give the same answer.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

/// When an answer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Most new tokens; at least one. The context may end an answer earlier.
    pub max_tokens: usize,
    /// Token ids that end the answer and are not part of it.
    pub ids: Vec<u32>,
    /// Strings that end the answer and are not part of it.
    pub strings: Vec<String>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { max_tokens: 200, ids: Vec::new(), strings: Vec::new() }
    }
}

/// One answer to make.
#[derive(Debug, Clone)]
pub struct Request {
    /// The prompt in order; at least one position, and fewer than the context has.
    pub prompt: Vec<PromptPart>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// When it ends.
    pub stop: Stop,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop id or string.
    Stop,
    /// `max_tokens`, or the context is full.
    Length,
    /// The listener asked, or went away.
    Cancelled,
}

/// Positions and tokens of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Positions of the prompt, embeddings included.
    pub prompt_positions: usize,
    /// Positions of the prompt that came from an earlier request's cache.
    pub reused_positions: usize,
    /// New tokens.
    pub completion_tokens: usize,
    /// Tokens that were guessed and computed along with the one before them.
    pub proposed_tokens: usize,
    /// Those of them that were what the answer said next.
    pub accepted_tokens: usize,
}

/// What the engine tells of a request, in this order: text any number of times, then finished or failed, then nothing more.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// More of the answer; whole characters only, never part of a stop string.
    Text(String),
    /// The answer is whole.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// The request could not go on; in words.
    Failed(String),
}
