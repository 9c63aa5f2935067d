//! The part of OpenAI's HTTP interface that Jnana speaks, and what it adds to it.
//!
//! Unknown fields are ignored everywhere, as clients of other versions send them.

use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// `POST /v1/chat/completions`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChatRequest {
    /// Model id; absent or empty means the serving model.
    #[serde(default)]
    pub model: Option<String>,
    /// The conversation so far, the question last.
    pub messages: Vec<ChatMessage>,
    /// Answer as server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// What a stream tells beside the text.
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    /// Up to 16 strings that end the answer.
    #[serde(default)]
    pub stop: Option<StopStrings>,
    /// The same seed, request and model give the same answer. Absent: drawn at random (it matters only above
    /// temperature 0).
    #[serde(default)]
    pub seed: Option<i64>,
    /// 0 to 2; absent means 0, so that answers repeat.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// Above 0, at most 1; absent means 1.
    #[serde(default)]
    pub top_p: Option<f32>,
    /// 0 keeps every token.
    #[serde(default)]
    pub top_k: Option<u32>,
    /// 0 to 1; absent means 0.
    #[serde(default)]
    pub min_p: Option<f32>,
    /// Above 0, at most 2; absent means 1.
    #[serde(default)]
    pub repetition_penalty: Option<f32>,
    /// Most new tokens; absent means 200.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Newer name of `max_tokens`; wins over it.
    #[serde(default)]
    pub max_completion_tokens: Option<u32>,
    /// Only 1 is possible.
    #[serde(default)]
    pub n: Option<u32>,
}

/// What a stream tells beside the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamOptions {
    /// One last chunk with `choices: []` and the usage.
    #[serde(default)]
    pub include_usage: Option<bool>,
}

/// One string or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum StopStrings {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl StopStrings {
    /// As a list.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChatMessage {
    /// `system`, `developer`, `user` or `assistant`.
    pub role: String,
    /// What was said; may be absent for an assistant.
    #[serde(default)]
    pub content: Option<Content>,
}

/// Text, or parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Content {
    /// Text.
    Text(String),
    /// Parts in order.
    Parts(Vec<ContentPart>),
}

impl<'de> Deserialize<'de> for Content {
    // By hand, so that an error names the part that is wrong instead of "no variant matched".
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of content parts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Content, A::Error> {
                Err(de::Error::invalid_type(de::Unexpected::Map, &self))
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ContentPart {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture.
    ImageUrl {
        /// Where it is.
        image_url: ImageUrl,
    },
    /// A recording.
    InputAudio {
        /// Its bytes.
        input_audio: InputAudio,
    },
    /// A recording by URL.
    AudioUrl {
        /// Where it is.
        audio_url: AudioUrl,
    },
    /// Something for a plugin, by the plugin's id.
    #[serde(rename = "jnana.input")]
    JnanaInput {
        /// Plugin id.
        plugin: String,
        /// MIME type of the data.
        mime: String,
        /// The bytes, base64.
        data: String,
    },
}

/// A picture's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageUrl {
    /// A `data:` URL; others are refused.
    pub url: String,
    /// Accepted and ignored: there is one resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A recording's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InputAudio {
    /// base64.
    pub data: String,
    /// `wav`, `mp3`, …; the bytes themselves decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// A recording's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AudioUrl {
    /// A `data:` URL; others are refused.
    pub url: String,
}

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

/// `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelList {
    /// `list`
    pub object: String,
    /// The serving models.
    pub data: Vec<Model>,
}

/// A serving model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Model {
    /// Id.
    pub id: String,
    /// `model`
    pub object: String,
    /// Unix seconds of the server's start.
    pub created: i64,
    /// `jnana`
    pub owned_by: String,
    /// Positions of context.
    pub context_length: u32,
    /// What goes in and out.
    pub architecture: Architecture,
}

/// What goes in and out of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Architecture {
    /// `text`, and what the ready plugins accept: `image`, `audio`, …
    pub input_modalities: Vec<String>,
    /// `text`
    pub output_modalities: Vec<String>,
}

/// `POST /v1/audio/transcriptions` in json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transcription {
    /// What was said; empty when nothing was.
    pub text: String,
}

/// `POST /v1/audio/transcriptions` in verbose_json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerboseTranscription {
    /// `transcribe`
    pub task: String,
    /// Language, as far as it is known.
    pub language: String,
    /// Length of the recording in seconds.
    pub duration: f64,
    /// What was said.
    pub text: String,
    /// Its timed pieces.
    pub segments: Vec<TranscriptionSegment>,
}

/// A timed piece of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TranscriptionSegment {
    /// Counts from 0.
    pub id: u32,
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
    /// The text.
    pub text: String,
}

/// One event of a streamed transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TranscriptionEvent {
    /// More text.
    #[serde(rename = "transcript.text.delta")]
    Delta {
        /// The new characters.
        delta: String,
    },
    /// The end.
    #[serde(rename = "transcript.text.done")]
    Done {
        /// The whole text.
        text: String,
    },
}

/// Body of every refused or failed call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorObject,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorObject {
    /// For people.
    pub message: String,
    /// `invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Field that is to blame.
    pub param: Option<String>,
    /// Stable word for programs.
    pub code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_text_or_parts_and_ignores_what_it_does_not_know() {
        let request: ChatRequest = serde_json::from_str(
            r#"{"model":"m","new_field":1,"messages":[{"role":"user","content":"hi","name":"x"},
                {"role":"user","content":[{"type":"text","text":"a"},
                {"type":"image_url","image_url":{"url":"data:,","detail":"low"}},
                {"type":"jnana.input","plugin":"p","mime":"text/csv","data":""}]}]}"#,
        )
        .unwrap();
        assert_eq!(request.messages[0].content, Some(Content::Text("hi".to_owned())));
        assert!(matches!(&request.messages[1].content, Some(Content::Parts(parts)) if parts.len() == 3));
    }

    #[test]
    fn a_wrong_part_is_named() {
        let error = serde_json::from_str::<Content>(r#"[{"type":"video_url"}]"#).unwrap_err().to_string();
        assert!(error.contains("video_url") && error.contains("input_audio"), "{error}");
        let error = serde_json::from_str::<Content>("7").unwrap_err().to_string();
        assert!(error.contains("array of content parts"), "{error}");
    }
}
