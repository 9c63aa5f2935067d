//! What `/v1/audio/transcriptions` answers.

use serde::{Deserialize, Serialize};

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
