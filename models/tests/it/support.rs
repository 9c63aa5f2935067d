use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use jnana_models::decoder::{Decoder, SequenceCache, Span};
use jnana_models::{LoadOptions, Mode, load_decoder};

/// Networks of `tests/fixtures/decoders`.
pub(crate) const NETWORKS: [&str; 4] = ["phi", "phi_qk_layernorm", "llama_tied", "llama_untied"];

/// What rounding activations to 8 bits changes in the logits of these networks at most, see [`relative_error`].
pub(crate) const ROUNDING: f32 = 0.04;

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn network(name: &str) -> PathBuf {
    fixture("decoders").join(name)
}

pub(crate) fn cpu() -> LoadOptions {
    LoadOptions::new(Device::Cpu)
}

pub(crate) fn load(path: &Path) -> Box<dyn Decoder> {
    load_decoder(path, &cpu()).unwrap().decoder
}

pub(crate) fn load_for_training(path: &Path) -> Box<dyn Decoder> {
    load_decoder(path, &LoadOptions { mode: Mode::Training, ..cpu() }).unwrap().decoder
}

pub(crate) fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// Token ids `[2, 23]` and the reference's logits `[2, 23, vocabulary]`.
pub(crate) fn expected(name: &str) -> (Tensor, Tensor) {
    let all = tensors(&network(name).join("expected.safetensors"));
    (all["ids"].clone(), all["logits"].clone())
}

pub(crate) fn max_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let difference = (a.to_dtype(DType::F32).unwrap() - b.to_dtype(DType::F32).unwrap()).unwrap();
    let values = difference.abs().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(values.iter().all(|value| value.is_finite()), "not a number among the differences");
    values.into_iter().fold(0., f32::max)
}

/// Root of the mean square of the difference beside that of `want`.
pub(crate) fn relative_error(got: &Tensor, want: &Tensor) -> f32 {
    let mean_square = |x: &Tensor| x.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    (mean_square(&(got - want).unwrap()) / mean_square(want)).sqrt()
}

#[track_caller]
pub(crate) fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32, what: &str) {
    let difference = max_difference(a, b);
    assert!(difference <= tolerance, "{what}: largest difference {difference} > {tolerance}");
}

/// Logits of a whole batch of ids `[b, t]` in one forward.
pub(crate) fn full_logits(decoder: &dyn Decoder, ids: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let embeds = decoder.embed(ids).unwrap();
    decoder.logits(&decoder.forward_padded(&embeds, mask).unwrap()).unwrap()
}

pub(crate) fn cache(decoder: &dyn Decoder, capacity: usize) -> SequenceCache {
    SequenceCache::new(decoder.shape(), capacity, DType::F32, decoder.device()).unwrap()
}

/// Logits of `ids` `[n]` as the next rows of one cached sequence.
pub(crate) fn step(decoder: &dyn Decoder, ids: &Tensor, cache: &mut SequenceCache) -> Tensor {
    let rows = decoder.embed(ids).unwrap();
    let spans = &mut [Span { cache, rows: ids.dim(0).unwrap() }];
    decoder.logits(&decoder.forward_ragged(&rows, spans).unwrap()).unwrap()
}
