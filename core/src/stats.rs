//! Figures of an engine for people and for `/metrics`.

use std::time::Duration;

use crate::request::{FinishReason, Usage};
use crate::step::Load;

/// Weight of the newest answer in the running mean of answer times.
const NEWEST: f64 = 0.2;

/// A snapshot of an engine. Counts and times grow from its start; the first five fields are as of now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Requests that run.
    pub live: usize,
    /// Requests that wait.
    pub queued: usize,
    /// Bytes of the caches of running requests.
    pub live_cache_bytes: usize,
    /// Bytes of the caches kept for reuse.
    pub reusable_cache_bytes: usize,
    /// Mean seconds of a request from submission to end, the last ones counting most.
    pub mean_request_seconds: f64,
    /// Requests that ended whole (stop or length).
    pub finished: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were turned away because the queue was full.
    pub refused: u64,
    /// Prompt positions of ended requests.
    pub prompt_positions: u64,
    /// Those of them that came from an earlier cache.
    pub reused_positions: u64,
    /// Tokens of ended requests' answers.
    pub completion_tokens: u64,
    /// Guessed tokens that steps computed along for ended requests.
    pub proposed_tokens: u64,
    /// Those of them that the answers said next.
    pub accepted_tokens: u64,
    /// Steps of the decoder.
    pub steps: u64,
    /// Rows of prompts computed.
    pub prefill_rows: u64,
    /// Rows of answers computed, guesses included.
    pub decode_rows: u64,
    /// Time of steps, the part of prompts by rows.
    pub prefill_time: Duration,
    /// Time of steps, the part of answers by rows.
    pub decode_time: Duration,
}

impl Stats {
    /// Adds the counts and times of another engine; what is as of now stays this one's.
    pub fn add_counts(&mut self, other: &Self) {
        self.finished += other.finished;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
        self.refused += other.refused;
        self.prompt_positions += other.prompt_positions;
        self.reused_positions += other.reused_positions;
        self.completion_tokens += other.completion_tokens;
        self.proposed_tokens += other.proposed_tokens;
        self.accepted_tokens += other.accepted_tokens;
        self.steps += other.steps;
        self.prefill_rows += other.prefill_rows;
        self.decode_rows += other.decode_rows;
        self.prefill_time += other.prefill_time;
        self.decode_time += other.decode_time;
    }

    /// Counts a step of `rows[i]` rows for `loads[i]`.
    pub(crate) fn count_step(&mut self, loads: &[Load], rows: &[usize], time: Duration) {
        let total: usize = rows.iter().sum();
        let writing = loads.iter().zip(rows).filter(|(load, _)| load.is_writing());
        let decode: usize = writing.map(|(_, rows)| rows).sum();
        self.steps += 1;
        self.decode_rows += decode as u64;
        self.prefill_rows += (total - decode) as u64;
        let decode_time = time.mul_f64(decode as f64 / total.max(1) as f64);
        self.decode_time += decode_time;
        self.prefill_time += time.saturating_sub(decode_time);
    }

    /// Counts a request that ended without failing.
    pub(crate) fn count_end(&mut self, usage: &Usage, reason: FinishReason, time: Duration) {
        self.prompt_positions += usage.prompt_positions as u64;
        self.reused_positions += usage.reused_positions as u64;
        self.completion_tokens += usage.completion_tokens as u64;
        self.proposed_tokens += usage.proposed_tokens as u64;
        self.accepted_tokens += usage.accepted_tokens as u64;
        if reason == FinishReason::Cancelled {
            self.cancelled += 1;
            return;
        }
        let first = self.finished == 0;
        self.finished += 1;
        let weight = if first { 1.0 } else { NEWEST };
        self.mean_request_seconds += weight * (time.as_secs_f64() - self.mean_request_seconds);
    }
}
