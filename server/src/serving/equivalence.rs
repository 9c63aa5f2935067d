//! Whether a merged core is its base with the adapter.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use candle_core::{Device, Tensor};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::{Adapter, LoadOptions, Loaded, Mode, footprint, load_decoder};

use super::candidate::Merge;
use crate::memory;

/// Most that logits may differ by.
pub(super) const ALLOWED: f32 = 1e-3;

/// What both are asked.
const PROMPT: &str =
    "What is the capital of France? The capital of France is Paris, a city on the river Seine.";

/// Largest difference between the logits of `merged` and those of its base with the adapter; NaN where one of them computes no
/// numbers. One of them is in memory at a time.
///
/// # Errors
/// When one cannot be loaded, or they are no models of the same shape.
pub(super) fn gap(merge: &Merge, merged: &Path, tokenizer: &Tokenizer) -> Result<f32> {
    let ids = tokenizer.encode_text(PROMPT)?;
    // Serving rounds what a quantised matrix is multiplied with, training does not.
    let plain = LoadOptions { mode: Mode::Training, ..LoadOptions::new(Device::Cpu) };
    let adapter = Adapter::load(&merge.adapter, &plain.device)?;
    let beside = LoadOptions { adapter: Some(Arc::new(adapter)), ..plain.clone() };
    let want = logits(&merge.base, &beside, &ids)?;
    let got = logits(merged, &plain, &ids)?;
    // Rows beyond the tokenizer's may be missing in one of them.
    let rows = want.dim(1)?.min(got.dim(1)?);
    let differences =
        (want.narrow(1, 0, rows)? - got.narrow(1, 0, rows)?)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
    Ok(differences.into_iter().fold(0., |largest, it| if it > largest || it.is_nan() { it } else { largest }))
}

/// Logits behind every id, `[ids, vocabulary]` in f32.
fn logits(weights: &Path, options: &LoadOptions, ids: &[u32]) -> Result<Tensor> {
    let needed = footprint(weights, options)?.weights;
    memory::admit(&format!("comparing {}", weights.display()), needed, memory::available())?;
    let Loaded { decoder, .. } = load_decoder(weights, options)?;
    let rows = decoder.embed(&Tensor::new(ids, decoder.device())?)?.unsqueeze(0)?;
    Ok(decoder.logits(&decoder.forward_padded(&rows, None)?.squeeze(0)?)?)
}
