//! One forward of the decoder over the next rows of all running sequences.

use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{Result, Tensor};
use jnana_models::decoder::{Decoder, Span};

use crate::sequence::{Input, Sequence};

/// Shares `budget` rows of prefill among the sequences, by what each has pending. Sequences with one pending row (those
/// that write their answer) always get it; the others get equal shares, and what a short one leaves goes to the longer.
pub(crate) fn plan(pending: &[usize], budget: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = pending.iter().map(|&p| p.min(1)).collect();
    let mut prefills: Vec<usize> = (0..pending.len()).filter(|&i| pending[i] > 1).collect();
    prefills.sort_by_key(|&i| pending[i]);
    let mut left = budget;
    for (done, &index) in prefills.iter().enumerate() {
        let share = (left / (prefills.len() - done)).max(1);
        rows[index] = pending[index].min(share);
        left = left.saturating_sub(rows[index]);
    }
    rows
}

/// Computes `rows[i]` more positions of `sequences[i]`, and the logits of the sequences that have nothing pending
/// afterwards: one `Vec` of `vocab` floats each, in their order.
///
/// # Errors
/// In words, when the decoder fails or panics; the caches of the sequences must then not be used again.
pub(crate) fn run(
    decoder: &dyn Decoder,
    sequences: &mut [Sequence],
    rows: &[usize],
) -> std::result::Result<Vec<Vec<f32>>, String> {
    // After a panic nothing of the step is used again but the decoder, whose forwards change only caches.
    match catch_unwind(AssertUnwindSafe(|| forward(decoder, sequences, rows))) {
        Ok(Ok(logits)) => Ok(logits),
        Ok(Err(error)) => Err(error.to_string()),
        Err(payload) => Err(format!("the decoder panicked: {}", panic_message(payload.as_ref()))),
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

fn forward(decoder: &dyn Decoder, sequences: &mut [Sequence], rows: &[usize]) -> Result<Vec<Vec<f32>>> {
    let input = input_rows(decoder, sequences, rows)?;
    let last = last_rows(sequences, rows);
    let mut spans: Vec<Span<'_>> = sequences
        .iter_mut()
        .zip(rows)
        .map(|(sequence, &rows)| Span { cache: &mut sequence.cache, rows })
        .collect();
    let hidden = decoder.forward_ragged(&input, &mut spans)?;
    if last.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = Tensor::new(last, hidden.device())?;
    decoder.logits(&hidden.index_select(&wanted, 0)?)?.to_vec2::<f32>()
}

/// Rows of the step whose logits are drawn from: the last of each sequence that will have nothing pending.
fn last_rows(sequences: &[Sequence], rows: &[usize]) -> Vec<u32> {
    let mut end = 0;
    let mut last = Vec::new();
    for (sequence, &rows) in sequences.iter().zip(rows) {
        end += rows as u32;
        if rows == sequence.pending() {
            last.push(end - 1);
        }
    }
    last
}

/// The step's input, `[n, width]`: tokens through the embedding table, as few calls as possible; embeddings as they are.
fn input_rows(decoder: &dyn Decoder, sequences: &[Sequence], rows: &[usize]) -> Result<Tensor> {
    let mut pieces = Vec::new();
    let mut ids = Vec::new();
    for input in sequences.iter().zip(rows).flat_map(|(sequence, &rows)| sequence.inputs(rows)) {
        match input {
            Input::Tokens(run) => ids.extend(run),
            Input::Rows(embeddings, start, len) => {
                embed(decoder, &mut ids, &mut pieces)?;
                let run = embeddings.rows.narrow(0, start, len)?;
                pieces.push(run.to_device(decoder.device())?.to_dtype(decoder.dtype())?);
            }
        }
    }
    embed(decoder, &mut ids, &mut pieces)?;
    match pieces.as_slice() {
        [only] => Ok(only.clone()),
        pieces => Tensor::cat(pieces, 0),
    }
}

/// Moves the collected ids, embedded, to the pieces.
fn embed(decoder: &dyn Decoder, ids: &mut Vec<u32>, pieces: &mut Vec<Tensor>) -> Result<()> {
    if !ids.is_empty() {
        let ids = Tensor::new(std::mem::take(ids), decoder.device())?;
        pieces.push(decoder.embed(&ids)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::plan;

    #[test]
    fn answers_always_advance_and_prefill_is_shared() {
        assert_eq!(plan(&[1, 1, 500], 128), [1, 1, 128]);
        assert_eq!(plan(&[500, 10, 1, 500], 128), [59, 10, 1, 59]);
        assert_eq!(plan(&[300, 300], 128), [64, 64]);
        assert_eq!(plan(&[60, 60], 128), [60, 60]);
        assert_eq!(plan(&[], 128), [0; 0]);
    }

    #[test]
    fn a_small_budget_starves_nobody() {
        assert_eq!(plan(&[9, 9, 9], 2), [1, 1, 1]);
        assert_eq!(plan(&[5], 0), [1]);
    }
}
