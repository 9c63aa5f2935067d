//! Conversations as the app sees them: a tree of messages whose active branch is shown.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `GET /api/status` | – | [`Status`] |
//! | `GET /api/plugins` | – | `Vec<`[`PluginInfo`](crate::plugins::PluginInfo)`>` |
//! | `POST /api/plugins/{id}/interpret` | [`BlobRef`] | [`Interpretation`](crate::plugins::Interpretation) |
//! | `POST /api/blobs` | bytes with their `Content-Type` | [`BlobRef`] |
//! | `GET /api/blobs/{hash}` | – | the bytes |
//! | `GET /api/conversations?query=` | – | `Vec<`[`Summary`]`>`, newest first |
//! | `POST /api/conversations` | `{}` | [`Conversation`] |
//! | `GET /api/conversations/{id}` | – | [`Conversation`] |
//! | `PATCH /api/conversations/{id}` | [`ConversationPatch`] | [`Summary`] |
//! | `DELETE /api/conversations/{id}` | – | 204 |
//! | `GET /api/conversations/{id}/export?format=markdown\|json` | – | a file |
//! | `POST /api/conversations/{id}/messages` | [`NewMessage`] | [`Posted`] |
//! | `POST /api/conversations/{id}/messages/{mid}/regenerate` | – | [`Posted`] (a new sibling of answer `mid`) |
//! | `GET /api/conversations/{id}/messages/{mid}/events?after=N` | – | SSE of [`GenerationEvent`] |
//! | `POST /api/conversations/{id}/messages/{mid}/stop` | – | 204 |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is running here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// Program version.
    pub version: String,
    /// The serving model.
    pub model: ModelInfo,
    /// Things a person should know, such as an untrained projector's.
    #[serde(default)]
    pub notices: Vec<String>,
    /// Unix milliseconds of the start: another one means that the program was started again, however briefly it was gone.
    #[serde(default)]
    pub started_ms: i64,
}

/// The serving model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelInfo {
    /// Id used in `/v1` calls.
    pub id: String,
    /// Network family: `phi` or `llama`.
    pub family: String,
    /// Positions of context.
    pub context: u32,
    /// Embedding width.
    pub width: u32,
    /// `cpu` or `cuda`.
    pub device: String,
    /// Weight type: `f32`, `bf16`, `q4_1`, …
    pub dtype: String,
    /// Embedding space id.
    pub space: String,
}

/// Stored bytes, addressed by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlobRef {
    /// sha256, hex.
    pub hash: String,
    /// MIME type, from the bytes where they tell.
    pub mime: String,
    /// Length in bytes.
    pub bytes: u64,
}

impl BlobRef {
    /// Where the bytes are served.
    #[must_use]
    pub fn url(&self) -> String {
        format!("/api/blobs/{}", self.hash)
    }
}

/// A conversation in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Summary {
    /// Id (UUID v7).
    pub id: String,
    /// Title; the first words of the first question until it is renamed.
    pub title: String,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// A conversation with all its branches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conversation {
    /// Its row in the list.
    #[serde(flatten)]
    pub summary: Summary,
    /// Every message of every branch, oldest first.
    pub messages: Vec<Message>,
    /// The last message of the branch that is shown.
    pub active_leaf: Option<String>,
}

/// Change of a conversation; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversationPatch {
    /// New title, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// New shown branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_leaf: Option<String>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Id (UUID v7).
    pub id: String,
    /// The message before it; `None` for a first message.
    pub parent: Option<String>,
    /// Who speaks.
    pub role: Role,
    /// What was said and shown.
    pub parts: Vec<Part>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Where an answer stands; questions are `Done`.
    #[serde(flatten)]
    pub state: MessageState,
    /// How an answer was made, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Part {
    /// Typed text, or the answer's.
    Text {
        /// The text.
        text: String,
    },
    /// Something for a plugin.
    Input {
        /// Plugin id.
        plugin: String,
        /// The stored bytes.
        blob: BlobRef,
        /// For plugins that give text: the text as the person left it. Absent: the plugin is asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
}

/// Where a message stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MessageState {
    /// Being generated: read its events.
    Generating,
    /// Whole.
    Done,
    /// Ended by Stop; the text so far stays.
    Stopped,
    /// Ended by an error or a restart; the text so far stays.
    Failed {
        /// What happened, why, what to do.
        error: String,
    },
}

/// How an answer was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Details {
    /// Prompt in order: what each part was and how many positions it took.
    pub prompt: Vec<PromptPart>,
    /// Positions of the whole prompt.
    pub prompt_positions: u32,
    /// Positions reused from an earlier turn's cache.
    pub reused_positions: u32,
    /// Tokens of the answer.
    pub answer_tokens: u32,
    /// Tokens that were guessed from what the conversation says and computed along; messages of older versions have none.
    #[serde(default)]
    pub proposed_tokens: u32,
    /// Those of them that the answer said next.
    #[serde(default)]
    pub accepted_tokens: u32,
    /// Oldest turns that did not fit into the context and were left out.
    pub dropped_turns: u32,
    /// `stop`, `length` or `cancelled`.
    pub finish_reason: String,
    /// Milliseconds from the request to the first token.
    pub first_token_ms: u64,
    /// Milliseconds from the request to the last token.
    pub total_ms: u64,
    /// Model id.
    pub model: String,
    /// Id of the generation of weights that made it; empty in messages of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub generation: String,
    /// Hashes of those weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightHashes>,
    /// What each plugin took for the inputs of the prompt, in the order of their first use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginTime>,
}

/// sha256 of weights that work together, in hex. Of weights in several files it is that of what `sha256sum` prints for them
/// in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WeightHashes {
    /// The core's.
    pub core: String,
    /// The adapter's, where one runs beside the core: of its matrices, as the trainer's `pack` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The projectors', by the id of the plugin that they are for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projectors: BTreeMap<String, String>,
}

/// What a plugin took for one prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PluginTime {
    /// Plugin id.
    pub plugin: String,
    /// Inputs that it was asked about.
    pub inputs: u32,
    /// Milliseconds for all of them together; those whose embeddings were still there took none.
    pub ms: u64,
}

/// One part of a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromptPart {
    /// `text`, or the id of the plugin whose embeddings these are.
    pub source: String,
    /// Positions it takes.
    pub positions: u32,
}

/// A question to post.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewMessage {
    /// The message it follows; `None` starts the conversation (or a branch from its root).
    pub parent: Option<String>,
    /// What was said and shown; at least one part that is not empty.
    pub parts: Vec<Part>,
}

/// A posted question with the answer that is being generated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Posted {
    /// The question.
    pub question: Message,
    /// The answer, `Generating`.
    pub answer: Message,
}

/// One event of an answer being made. `seq` counts from 1; `?after=N` replays from N + 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GenerationEvent {
    /// Number of the event.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: GenerationEventKind,
}

/// What happened while an answer was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GenerationEventKind {
    /// A step before the first token, for the page to show ("Looking at the picture").
    Progress {
        /// Words for people.
        text: String,
    },
    /// A plugin's text for an input of the question (a transcript).
    InputText {
        /// Index of the part in the question.
        part: u32,
        /// The text.
        text: String,
    },
    /// More of the answer.
    Text {
        /// The new characters.
        text: String,
    },
    /// The end, with the whole message as it was stored. The last event.
    End {
        /// The stored message.
        message: Box<Message>,
    },
}
