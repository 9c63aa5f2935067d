//! How well a model foretells a text, counted as llama.cpp's `llama-perplexity` counts it, so that the two can be compared:
//! the text is cut into pieces of 512 tokens, and in each the second half is foretold, every token from all before it.

use anyhow::{Result, ensure};
use candle_core::Tensor;
use jnana_core::EngineConfig;
use jnana_models::decoder::{Decoder, SequenceCache, Span};
use jnana_models::tokenizer::Tokenizer;

/// Tokens of a piece, llama-perplexity's default.
const CONTEXT: usize = 512;

/// e to the mean of minus the logarithms of the probabilities.
pub(super) struct Perplexity {
    pub(super) perplexity: f64,
    /// Tokens that were foretold.
    pub(super) tokens: usize,
}

/// Reads `text` through the same steps as serving; what is behind its last whole piece is left out.
pub(super) fn of(decoder: &dyn Decoder, tokenizer: &Tokenizer, text: &str) -> Result<Perplexity> {
    let shape = decoder.shape();
    let begin = tokenizer.bos_id().filter(|_| tokenizer.adds_bos());
    let ids: Vec<u32> = begin.into_iter().chain(tokenizer.encode_text(text)?).collect();
    ensure!(ids.len() >= CONTEXT, "a perplexity needs {CONTEXT} tokens, the text has {}", ids.len());
    ensure!(shape.max_positions >= CONTEXT, "a perplexity needs {CONTEXT} positions, the model has fewer");
    let mut cache = SequenceCache::new(shape, CONTEXT, decoder.dtype(), decoder.device())?;
    let (mut sum, mut tokens) = (0., 0);
    for piece in ids.chunks_exact(CONTEXT) {
        let mut piece = piece.to_vec();
        if let Some(begin) = begin {
            piece[0] = begin;
        }
        cache.truncate(0);
        for surprise in surprises(decoder, &mut cache, &piece)? {
            sum += surprise;
            tokens += 1;
        }
    }
    Ok(Perplexity { perplexity: (sum / tokens as f64).exp(), tokens })
}

/// Minus the logarithm of the probability of each token in the second half of a piece but the first.
fn surprises(decoder: &dyn Decoder, cache: &mut SequenceCache, piece: &[u32]) -> Result<Vec<f64>> {
    let rows = EngineConfig::default().prefill_rows;
    let mut all = Vec::with_capacity(CONTEXT / 2);
    for start in (0..CONTEXT).step_by(rows) {
        let end = CONTEXT.min(start + rows);
        let ids = Tensor::new(&piece[start..end], decoder.device())?;
        let spans = &mut [Span { cache: &mut *cache, rows: end - start }];
        let hidden = decoder.forward_ragged(&decoder.embed(&ids)?, spans)?;
        // Positions whose next token is asked for.
        let (first, last) = (start.max(CONTEXT / 2), end.min(CONTEXT - 1));
        if first < last {
            let logits = decoder.logits(&hidden.narrow(0, first - start, last - first)?)?.to_vec2::<f32>()?;
            all.extend(logits.iter().zip(&piece[first + 1..]).map(|(row, next)| surprise(row, *next)));
        }
    }
    Ok(all)
}

/// The logarithm of the sum of exponentials, less the logit of `id`.
fn surprise(logits: &[f32], id: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    let own = logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
    sum.ln() + f64::from(largest - own)
}

#[cfg(test)]
mod tests {
    use super::surprise;

    #[test]
    fn a_probability_comes_out_of_logits() {
        let logits = [1f32, 2., 4., 8.].map(f32::ln);
        assert!((surprise(&logits, 2) - (15f64 / 4.).ln()).abs() < 1e-6);
        assert!(surprise(&logits.map(|logit| logit + 1000.), 0).is_finite());
        assert_eq!(surprise(&logits, 9), f64::INFINITY);
    }
}
