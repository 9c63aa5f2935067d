//! How an answer was made, for whoever opens its details.

use std::time::Duration;

use jnana_api::conversations::{Details, PromptPart};
use jnana_core::request::{FinishReason, Usage};

use super::{Assistant, Prepared};

/// What an answer took, from the request on.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// To the first token; none where none came.
    pub first_token: Option<Duration>,
    /// To the end.
    pub total: Duration,
}

/// The trace of an answer that `assistant` made of `prepared`.
#[must_use]
pub fn details(
    assistant: &Assistant,
    prepared: &Prepared,
    reason: FinishReason,
    usage: Usage,
    timing: Timing,
) -> Details {
    let parts = prepared.prompt.breakdown.iter();
    let identity = assistant.identity.clone();
    let (generation, weights) = identity.map(|identity| (identity.id, identity.weights)).unzip();
    Details {
        prompt: parts
            .map(|part| PromptPart { source: part.source.clone(), positions: count(part.positions) })
            .collect(),
        prompt_positions: count(usage.prompt_positions),
        reused_positions: count(usage.reused_positions),
        answer_tokens: count(usage.completion_tokens),
        proposed_tokens: count(usage.proposed_tokens),
        accepted_tokens: count(usage.accepted_tokens),
        dropped_turns: count(prepared.prompt.dropped_turns),
        finish_reason: match reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Cancelled => "cancelled",
        }
        .to_owned(),
        first_token_ms: timing.first_token.unwrap_or(timing.total).as_millis() as u64,
        total_ms: timing.total.as_millis() as u64,
        model: assistant.model.info.id.clone(),
        generation: generation.unwrap_or_default(),
        weights,
        plugins: prepared.plugins.clone(),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
