//! One forward of the decoder over the next rows of all running sequences.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{Result, Tensor};
use jnana_models::decoder::{Decoder, Span};

use crate::sequence::{Input, Sequence};

/// Rows of a turn. Attention reads a prompt's whole cache for it, however few they are, so a small step reads one long
/// prompt after the other instead of a row or two of each.
const TURN: usize = 32;

/// What a sequence waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Positions that are known and not computed; one while an answer is being written.
    pub pending: usize,
    /// The step of its last turn, or the one at which it started.
    pub turn: u64,
}

impl Load {
    /// The sequence writes: one more row gives its next token.
    pub fn is_writing(self) -> bool {
        self.pending == 1
    }

    /// Whether `rows` were all that a turn can be in a step of `budget` rows. Who got less comes first in the next step.
    pub fn had_turn(self, rows: usize, budget: usize) -> bool {
        rows >= self.pending.min(TURN).min(budget)
    }
}

/// Rows of each sequence in the next step. Those that write always get theirs. Those that read take turns of `budget` rows,
/// first who has waited longest; what is left when each has had a turn goes to all in equal shares, and what a short prompt
/// leaves of its share to the longer.
pub(crate) fn plan(loads: &[Load], budget: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = loads.iter().map(|load| usize::from(load.is_writing())).collect();
    let mut reading: Vec<usize> = (0..loads.len()).filter(|&i| !loads[i].is_writing()).collect();
    let mut left = budget.max(1);
    reading.sort_by_key(|&i| loads[i].turn);
    for &index in &reading {
        rows[index] = loads[index].pending.min(TURN).min(left);
        left -= rows[index];
    }
    reading.sort_by_key(|&i| loads[i].pending);
    for (done, &index) in reading.iter().enumerate() {
        let share = left / (reading.len() - done);
        let more = share.min(loads[index].pending - rows[index]);
        rows[index] += more;
        left -= more;
    }
    rows
}

/// Logits of one sequence: behind its last position, then behind each guess that was computed along.
pub(crate) struct Drawable {
    /// Which sequence.
    pub index: usize,
    /// `vocab` floats for each row.
    pub logits: Vec<Vec<f32>>,
}

/// Computes `rows[i]` more positions of `sequences[i]`, guesses behind the pending ones included, and the logits of the
/// sequences that have nothing pending afterwards, in their order.
///
/// # Errors
/// In words, when the decoder fails or panics; the caches of the sequences must then not be used again.
pub(crate) fn run(
    decoder: &dyn Decoder,
    sequences: &mut [Sequence],
    rows: &[usize],
) -> std::result::Result<Vec<Drawable>, String> {
    // After a panic nothing of the step is used again but the decoder, whose forwards change only caches.
    match catch_unwind(AssertUnwindSafe(|| forward(decoder, sequences, rows))) {
        Ok(Ok(drawable)) => Ok(drawable),
        Ok(Err(error)) => Err(error.to_string()),
        Err(payload) => Err(format!("the decoder panicked: {}", panic_message(payload.as_ref()))),
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

fn forward(decoder: &dyn Decoder, sequences: &mut [Sequence], rows: &[usize]) -> Result<Vec<Drawable>> {
    let input = input_rows(decoder, sequences, rows)?;
    let wanted = wanted_rows(sequences, rows);
    let mut spans: Vec<Span<'_>> = sequences
        .iter_mut()
        .zip(rows)
        .filter(|(_, rows)| **rows > 0)
        .map(|(sequence, &rows)| Span { cache: &mut sequence.cache, rows })
        .collect();
    let hidden = decoder.forward_ragged(&input, &mut spans)?;
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<u32> = wanted.iter().flat_map(|(_, rows)| rows.clone()).collect();
    let hidden = hidden.index_select(&Tensor::new(numbers, hidden.device())?, 0)?;
    let mut logits = decoder.logits(&hidden)?.to_vec2::<f32>()?.into_iter();
    let drawable = |(index, rows): (usize, Range<u32>)| Drawable {
        index,
        logits: logits.by_ref().take(rows.len()).collect(),
    };
    Ok(wanted.into_iter().map(drawable).collect())
}

/// Rows of the step whose logits are drawn from: the last known one of each sequence that will have nothing pending, and
/// its guesses.
fn wanted_rows(sequences: &[Sequence], rows: &[usize]) -> Vec<(usize, Range<u32>)> {
    let mut end = 0;
    let mut wanted = Vec::new();
    for (index, (sequence, &rows)) in sequences.iter().zip(rows).enumerate() {
        end += rows as u32;
        if rows >= sequence.pending() {
            let guesses = rows - sequence.pending();
            wanted.push((index, end - 1 - guesses as u32..end));
        }
    }
    wanted
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
    use super::*;

    /// The plan for sequences that have never had a turn.
    fn rows(pending: &[usize], budget: usize) -> Vec<usize> {
        plan(&pending.iter().map(|&pending| Load { pending, turn: 0 }).collect::<Vec<_>>(), budget)
    }

    #[test]
    fn answers_always_advance_and_prefill_is_shared() {
        assert_eq!(rows(&[1, 1, 500], 128), [1, 1, 128]);
        assert_eq!(rows(&[500, 10, 1, 500], 128), [59, 10, 1, 59]);
        assert_eq!(rows(&[300, 300], 128), [64, 64]);
        assert_eq!(rows(&[60, 60], 128), [60, 60]);
        assert_eq!(rows(&[], 128), [0; 0]);
    }

    #[test]
    fn a_small_budget_is_not_cut_to_pieces() {
        assert_eq!(rows(&[300, 300, 1, 300], 32), [32, 0, 1, 0]);
        assert_eq!(rows(&[10, 10, 10, 10], 32), [10, 10, 10, 2]);
        assert_eq!(rows(&[9, 9, 9], 2), [2, 0, 0]);
        assert_eq!(rows(&[5], 0), [1]);
    }

    #[test]
    fn long_prompts_take_turns() {
        let mut loads = [100, 50, 100].map(|pending| Load { pending, turn: 0 });
        let mut steps = Vec::new();
        for step in 1..=8 {
            let rows = plan(&loads, 32);
            for (load, &rows) in loads.iter_mut().zip(&rows) {
                load.turn = if load.had_turn(rows, 32) { step } else { load.turn };
                load.pending -= rows;
            }
            steps.push(rows);
        }
        let turns = [[32, 0, 0], [0, 32, 0], [0, 0, 32], [32, 0, 0]];
        // The second prompt needs less than a turn: the third begins with the rest and has its turn then.
        let rests = [[0, 18, 14], [0, 0, 32], [32, 0, 0], [4, 0, 22]];
        assert_eq!(steps, [turns, rests].concat());
        assert!(loads.iter().all(|load| load.pending == 0));
    }
}
