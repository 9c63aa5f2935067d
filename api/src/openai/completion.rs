//! What `/v1/chat/completions` answers, whole and in chunks.

use serde::{Deserialize, Serialize};

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChatCompletion {
    /// `chatcmpl-…`
    pub id: String,
    /// `chat.completion`
    pub object: String,
    /// Unix seconds.
    pub created: i64,
    /// Model id.
    pub model: String,
    /// One choice.
    pub choices: Vec<Choice>,
    /// What it took.
    pub usage: Usage,
}

/// The answer of a completion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Choice {
    /// 0.
    pub index: u32,
    /// The answer.
    pub message: AssistantMessage,
    /// Always null; clients look for the field.
    pub logprobs: Option<()>,
    /// `stop` or `length`.
    pub finish_reason: String,
}

/// What the model said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssistantMessage {
    /// `assistant`
    pub role: String,
    /// The text.
    pub content: String,
    /// Always null; clients look for the field.
    pub refusal: Option<String>,
}

/// Positions and tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// Positions of the prompt, pictures included.
    pub prompt_tokens: usize,
    /// New tokens.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
    /// More on the prompt.
    #[serde(default)]
    pub prompt_tokens_details: PromptTokensDetails,
}

/// More on the prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromptTokensDetails {
    /// Positions that came from an earlier request's cache.
    pub cached_tokens: usize,
}

/// One event of a streamed answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChatChunk {
    /// The same in every chunk.
    pub id: String,
    /// `chat.completion.chunk`
    pub object: String,
    /// Unix seconds.
    pub created: i64,
    /// Model id.
    pub model: String,
    /// One choice; none in the chunk that carries the usage.
    pub choices: Vec<ChunkChoice>,
    /// In the last chunk, when `include_usage` asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// What a chunk adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunkChoice {
    /// 0.
    pub index: u32,
    /// The new text.
    pub delta: Delta,
    /// Always null.
    pub logprobs: Option<()>,
    /// `stop` or `length` in the last one.
    pub finish_reason: Option<String>,
}

/// New text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delta {
    /// `assistant`, in the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}
