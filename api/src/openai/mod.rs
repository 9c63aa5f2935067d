//! The part of OpenAI's HTTP interface that Jnana speaks, and what it adds to it.
//!
//! Unknown fields are ignored everywhere, as clients of other versions send them.

mod completion;
mod request;
mod transcription;

pub use completion::*;
pub use request::*;
pub use transcription::*;

use serde::{Deserialize, Serialize};

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
