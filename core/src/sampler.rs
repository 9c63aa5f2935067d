//! Draws the next token from logits.
//!
//! The order is that of Hugging Face's `generate`: repetition penalty (Keskar et al. 2019, CTRL), temperature, top-k,
//! top-p (Holtzman et al. 2020), min-p (Nguyen et al. 2024), draw. Equal logits are ordered by token id, so a result never
//! depends on how a selection happened to arrange them. The filters are here, for they never sort a whole vocabulary and
//! know min-p. The draw from what they leave adds noise to each logit and takes the largest (Gumbel 1954), by
//! candle-transformers' `LogitsProcessor`: the noise belongs to seed, draw and token, so what rounding changes in the
//! logits from one run to the next, such as after a prefix was reused, does not change which token is drawn.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;

use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling as Draw};

use crate::request::Sampling;

/// Candidates that top-p looks at first; most answers need no more of 50,000.
const TOP_P_FIRST_BLOCK: usize = 256;

/// Why no token could be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The network computed something that is no number.
    #[error("the logit of token {token} is {value}, expected a number below infinity")]
    NotANumber {
        /// Token id.
        token: usize,
        /// NaN or +∞.
        value: f32,
    },
    /// Every token is excluded.
    #[error("none of {vocab} logits is above minus infinity")]
    NoCandidate {
        /// How many logits there were.
        vocab: usize,
    },
    /// The draw itself failed.
    #[error("drawing from {candidates} candidates: {reason}")]
    Draw {
        /// How many tokens the filters had left.
        candidates: usize,
        /// What candle says.
        reason: String,
    },
}

/// A setting outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{setting} is {value}, expected {expected}")]
pub struct SamplingError {
    /// Name of the setting.
    pub setting: &'static str,
    /// Its value.
    pub value: f32,
    /// The range in words.
    pub expected: &'static str,
}

impl Sampling {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the first setting that is out of range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let unit = 0.0..=1.0;
        let checks = [
            ("temperature", self.temperature, self.temperature >= 0.0, "0 or a positive number"),
            ("top_p", self.top_p, unit.contains(&self.top_p), "a number from 0 to 1"),
            ("min_p", self.min_p, unit.contains(&self.min_p), "a number from 0 to 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                self.repetition_penalty > 0.0,
                "a positive number",
            ),
        ];
        for (setting, value, holds, expected) in checks {
            if !holds || !value.is_finite() {
                return Err(SamplingError { setting, value, expected });
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    logit: f32,
    /// Probability as a share of the best candidate's.
    weight: f32,
}

impl Candidate {
    /// Best first; the lower id first among equals.
    fn order(&self, other: &Self) -> Ordering {
        other.logit.total_cmp(&self.logit).then(self.token.cmp(&other.token))
    }
}

/// The sampler of one request, with a random stream of its own: neighbours in a batch cannot change its outcome.
pub struct Sampler {
    settings: Sampling,
    processor: LogitsProcessor,
    /// Tokens drawn so far.
    draws: u64,
    seen: HashSet<u32>,
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Sampler {
    /// A sampler for a prompt with these tokens (they count for the repetition penalty).
    pub fn new(settings: Sampling, prompt: impl IntoIterator<Item = u32>) -> Self {
        let processor = LogitsProcessor::from_sampling(settings.seed, Draw::ArgMax);
        let penalised = settings.repetition_penalty != 1.0;
        let seen = if penalised { prompt.into_iter().collect() } else { HashSet::new() };
        Self { settings, processor, draws: 0, seen }
    }

    /// Draws a token; `logits[i]` is token `i`'s. Minus infinity excludes a token.
    ///
    /// # Errors
    /// When a logit is NaN or +∞, all are −∞, or the draw fails.
    pub fn sample(&mut self, logits: &mut [f32]) -> Result<u32, SampleError> {
        self.penalise(logits);
        let (best, logit) = greedy(logits)?;
        let token = if self.settings.temperature == 0.0 { best } else { self.draw(logits, logit)? };
        if self.settings.repetition_penalty != 1.0 {
            self.seen.insert(token);
        }
        Ok(token)
    }

    fn penalise(&self, logits: &mut [f32]) {
        for &token in &self.seen {
            if let Some(logit) = logits.get_mut(token as usize) {
                let penalty = self.settings.repetition_penalty;
                *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            }
        }
    }

    fn draw(&mut self, logits: &[f32], best: f32) -> Result<u32, SampleError> {
        let mut candidates = self.candidates(logits, best);
        keep_top_k(&mut candidates, self.settings.top_k);
        keep_top_p(&mut candidates, self.settings.top_p);
        candidates.retain(|c| c.weight >= self.settings.min_p);
        self.draws += 1;
        let stream = mix(self.settings.seed ^ mix(self.draws));
        let noisy = candidates
            .iter()
            .map(|c| f64::from((c.logit - best) / self.settings.temperature) + gumbel(stream, c.token))
            .map(|logit| logit as f32);
        let drawn = Tensor::from_iter(noisy, &Device::Cpu).and_then(|left| self.processor.sample(&left));
        let failed = |reason: String| SampleError::Draw { candidates: candidates.len(), reason };
        let index = drawn.map_err(|error| failed(error.to_string()))?;
        candidates.get(index as usize).map(|c| c.token).ok_or_else(|| failed(format!("it gave {index}")))
    }

    fn candidates(&self, logits: &[f32], best: f32) -> Vec<Candidate> {
        let weight = |logit: f32| ((logit - best) / self.settings.temperature).exp();
        (0..)
            .zip(logits)
            .filter(|&(_, &logit)| logit > f32::NEG_INFINITY)
            .map(|(token, &logit)| Candidate { token, logit, weight: weight(logit) })
            .collect()
    }
}

/// The first of the best tokens and its logit, after a look at every logit.
fn greedy(logits: &[f32]) -> Result<(u32, f32), SampleError> {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        if logit.is_nan() || logit == f32::INFINITY {
            return Err(SampleError::NotANumber { token, value: logit });
        }
        if logit > best.1 {
            best = (token as u32, logit);
        }
    }
    if best.1 == f32::NEG_INFINITY {
        return Err(SampleError::NoCandidate { vocab: logits.len() });
    }
    Ok(best)
}

/// Keeps the `k` best; 0 keeps all.
fn keep_top_k(candidates: &mut Vec<Candidate>, k: usize) {
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, Candidate::order);
        candidates.truncate(k);
        // The draw walks the candidates in order, and a selection leaves an arbitrary one.
        candidates.sort_unstable_by(Candidate::order);
    }
}

/// Keeps the fewest of the best whose weights reach the share `p` of all; at least one. Sorts no more of them than
/// that takes.
fn keep_top_p(candidates: &mut Vec<Candidate>, p: f32) {
    if p >= 1.0 {
        return;
    }
    let target = f64::from(p) * total(candidates);
    let mut block = TOP_P_FIRST_BLOCK.min(candidates.len());
    loop {
        if block < candidates.len() {
            candidates.select_nth_unstable_by(block - 1, Candidate::order);
        }
        candidates[..block].sort_unstable_by(Candidate::order);
        if let Some(last) = reaches(&candidates[..block], target) {
            candidates.truncate(last + 1);
            return;
        }
        if block == candidates.len() {
            return;
        }
        block = (block * 8).min(candidates.len());
    }
}

fn total(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|c| f64::from(c.weight)).sum()
}

/// The index at which the running sum of weights reaches `target`.
fn reaches(candidates: &[Candidate], target: f64) -> Option<usize> {
    let mut sum = 0.0;
    candidates.iter().position(|c| {
        sum += f64::from(c.weight);
        sum >= target
    })
}

/// Noise of Gumbel's distribution: `-ln(-ln u)` with `u` uniform in 0..1, from the upper 52 bits and never 0 or 1.
fn gumbel(stream: u64, token: u32) -> f64 {
    let u = ((mix(stream ^ u64::from(token)) >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    -(-u.ln()).ln()
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014) on its next state.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
