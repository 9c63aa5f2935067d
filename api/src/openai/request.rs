//! What `/v1/chat/completions` is asked.

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
