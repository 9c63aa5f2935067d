//! Quantised networks as the CPU serves them: what their blocks say but for the rounding of activations, and the same bits
//! for a row in any company.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use jnana_models::config::Config;
use jnana_models::decoder::{Decoder, SequenceCache, Span};
use jnana_models::synthetic::{Format, write_random};
use jnana_models::{Adapter, LoadOptions, Mode, load_decoder, phi};

use crate::support::{
    NETWORKS, ROUNDING, assert_close, cpu, expected, fixture, full_logits, network, relative_error, step,
};

/// Formats whose blocks fit rows of 32; the others give way to these.
const BLOCKS: [&str; 5] = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"];

/// Formats in super-blocks of 256.
const SUPER_BLOCKS: [&str; 3] = ["q4_k", "q5_k", "q6_k"];

/// The same network for serving and, exact, for training.
struct Pair {
    name: String,
    serving: Box<dyn Decoder>,
    exact: Box<dyn Decoder>,
}

impl Pair {
    fn load(path: &Path, options: &LoadOptions) -> Self {
        let exact = LoadOptions { mode: Mode::Training, ..options.clone() };
        let load = |options: &LoadOptions| load_decoder(path, options).unwrap().decoder;
        let name = format!("{} {:?}", path.display(), options.quantize.map(|it| it.to_string()));
        Self { name, serving: load(options), exact: load(&exact) }
    }

    fn quantised(path: &Path, quantization: &str) -> Self {
        Self::load(path, &LoadOptions { quantize: Some(quantization.parse().unwrap()), ..cpu() })
    }
}

/// Every format in a network, a file of blocks with an adapter, and rows of 256 in super-blocks.
fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for name in NETWORKS {
        pairs.extend(BLOCKS.map(|quantization| Pair::quantised(&network(name), quantization)));
    }
    let adapter = Adapter::load(&fixture("qlora/llama_tied"), &Device::Cpu).unwrap();
    let adapted = LoadOptions { adapter: Some(Arc::new(adapter)), ..cpu() };
    pairs.push(Pair::load(&fixture("decoders/llama.Q8_0.gguf"), &adapted));
    let wide = phi::Config {
        vocab_size: 72,
        hidden_size: 256,
        intermediate_size: 512,
        num_hidden_layers: 2,
        num_attention_heads: 16,
        num_key_value_heads: Some(8),
        tie_word_embeddings: true,
        ..phi::Config::phi2()
    };
    let folder = tempfile::tempdir().unwrap();
    write_random(folder.path(), &Config::Phi(wide), Format::Safetensors(DType::F32), 3).unwrap();
    pairs.extend(SUPER_BLOCKS.map(|quantization| Pair::quantised(folder.path(), quantization)));
    pairs
}

#[test]
fn logits_are_what_the_blocks_say_but_for_rounded_activations() {
    let (ids, _) = expected("phi");
    for Pair { name, serving, exact } in pairs() {
        let [got, want] = [&serving, &exact].map(|decoder| full_logits(decoder.as_ref(), &ids, None));
        let error = relative_error(&got, &want);
        assert!(error < ROUNDING, "{name}: {error}");
        assert!(error > 1e-5, "{name}: {error} leaves no trace of rounding");
    }
}

#[test]
fn embeddings_are_exactly_what_the_blocks_say() {
    let (ids, _) = expected("phi");
    for Pair { name, serving, exact } in pairs() {
        assert_close(&serving.embed(&ids).unwrap(), &exact.embed(&ids).unwrap(), 0., &name);
    }
}

fn empty(decoder: &dyn Decoder, dtype: DType) -> SequenceCache {
    SequenceCache::new(decoder.shape(), 40, dtype, &Device::Cpu).unwrap()
}

/// Logits of `ids` (`[n]`), so many rows at a time.
fn in_steps(decoder: &dyn Decoder, ids: &Tensor, sizes: &[usize], dtype: DType) -> Tensor {
    let mut cache = empty(decoder, dtype);
    let mut logits = Vec::new();
    for size in sizes {
        logits.push(step(decoder, &ids.narrow(0, cache.len(), *size).unwrap(), &mut cache));
    }
    Tensor::cat(&logits, 0).unwrap()
}

#[test]
fn rows_meet_rows_without_a_trace_however_they_are_fed() {
    let ids = expected("phi").0.get(0).unwrap();
    for Pair { name, serving, .. } in pairs() {
        for dtype in [DType::F32, DType::F16] {
            let whole = in_steps(serving.as_ref(), &ids, &[23], dtype);
            for sizes in [&[5, 1, 1, 9, 2, 5][..], &[1; 23], &[8, 15], &[22, 1]] {
                let parts = in_steps(serving.as_ref(), &ids, sizes, dtype);
                assert_close(&parts, &whole, 0., &format!("{name} {dtype:?} {sizes:?}"));
            }
        }
    }
}

#[test]
fn rows_meet_rows_without_a_trace_whoever_they_belong_to() {
    let (ids, _) = expected("phi");
    for Pair { name, serving, .. } in pairs() {
        let decoder = serving.as_ref();
        let alone: Vec<Tensor> =
            (0..2).map(|i| in_steps(decoder, &ids.get(i).unwrap(), &[23], DType::F32)).collect();
        let mut caches: Vec<_> = (0..3).map(|_| empty(decoder, DType::F32)).collect();
        // The rows that each of three sequences (of the texts 0, 1, 0) gets in each step.
        for sizes in [[4, 0, 1], [1, 7, 1], [1, 1, 12], [10, 1, 1], [0, 14, 1]] {
            let starts: Vec<_> = caches.iter().map(SequenceCache::len).collect();
            let parts = |of: &dyn Fn(usize) -> Tensor| {
                let parts: Vec<Tensor> =
                    (0..3).map(|i| of(i % 2).narrow(0, starts[i], sizes[i]).unwrap()).collect();
                Tensor::cat(&parts, 0).unwrap()
            };
            let rows = decoder.embed(&parts(&|text| ids.get(text).unwrap())).unwrap();
            let want = parts(&|text| alone[text].clone());
            let mut spans: Vec<_> =
                caches.iter_mut().zip(sizes).map(|(cache, rows)| Span { cache, rows }).collect();
            let hidden = decoder.forward_ragged(&rows, &mut spans).unwrap();
            assert_close(&decoder.logits(&hidden).unwrap(), &want, 0., &name);
        }
    }
}

/// Packed weights take what the blocks take in the file, but for rows that are missing to a whole panel.
#[test]
fn packed_weights_are_about_as_large_as_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = phi::Config {
        vocab_size: 1024,
        hidden_size: 256,
        intermediate_size: 1024,
        num_hidden_layers: 1,
        num_attention_heads: 16,
        num_key_value_heads: None,
        ..phi::Config::phi2()
    };
    for quantization in BLOCKS.into_iter().chain(SUPER_BLOCKS) {
        let format = Format::Gguf(quantization.parse().unwrap());
        write_random(folder.path(), &Config::Phi(config.clone()), format, 1).unwrap();
        let file = folder.path().join(format!("random.{quantization}.gguf"));
        let loaded = load_decoder(&file, &cpu()).unwrap();
        let (taken, stored) = (loaded.info.weight_bytes as f64, fs::metadata(&file).unwrap().len() as f64);
        assert!(taken < 1.05 * stored, "{quantization}: {taken} bytes of {stored}");
        fs::remove_file(file).unwrap();
    }
}
