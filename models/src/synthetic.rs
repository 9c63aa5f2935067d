//! Folders of random weights in a configuration's exact shapes: what a network of that size costs can be tried out, and
//! tested, without its weights. Answers are noise.

use std::fs;
use std::path::Path;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::config::Config;
use crate::export::write_config;
use crate::shapes::{checkpoint_shapes, has_vocabulary_rows};
use crate::vision::clip;
use crate::weights::{GgufWriter, Meta, Quantization, SafetensorsWriter, gguf_name, quantize_rows};
use crate::{Error, Result, llama};

/// Half the width of the uniform distribution whose standard deviation is 0.02, as networks are usually begun with.
const SPREAD: f32 = 0.02 * 1.732_050_8;

/// Numbers that one task draws.
const CHUNK: usize = 1 << 16;

/// A tensor's name and shape.
type Named = (String, Vec<usize>);

/// How the weights are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `config.json` and `model.safetensors` in f32, f16 or bf16.
    Safetensors(DType),
    /// One `.gguf` file, `config.json` beside it; norms and biases in f32.
    Gguf(Quantization),
}

/// Writes random weights of `config` into `folder`; the same `seed` gives the same weights. One tensor at a time is in
/// memory. There is no tokenizer: [`copy_tokenizer`](crate::export::copy_tokenizer) adds one.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_random(folder: &Path, config: &Config, format: Format, seed: u64) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let shapes = checkpoint_shapes(config);
    match format {
        Format::Safetensors(dtype) => write_safetensors(folder, &shapes, dtype, seed)?,
        Format::Gguf(Quantization::Nf4) => {
            let reason = "GGUF has no such format".to_owned();
            return Err(Error::Options { option: "gguf in nf4".into(), reason });
        }
        Format::Gguf(quantization) => {
            let (architecture, metadata) = metadata(config);
            let entry = |(name, shape): &(String, Vec<usize>)| {
                Some((gguf_name(architecture, name)?, blocks(name, shape, quantization), shape.clone()))
            };
            let entries: Vec<_> = shapes.iter().filter_map(entry).collect();
            if entries.len() < shapes.len() {
                let reason =
                    format!("GGUF's {architecture} has no place for all tensors of this configuration");
                return Err(Error::Options { option: "gguf".into(), reason });
            }
            let path = folder.join(format!("random.{quantization}.gguf"));
            let mut writer = GgufWriter::create(&path, &metadata, entries)?;
            for (drawn, (name, shape)) in draw(&shapes, seed).zip(&shapes) {
                let stored = store(&drawn?, blocks(name, shape, quantization));
                writer.write(&stored.map_err(Error::compute(name))?)?;
            }
            writer.finish()?;
        }
    }
    write_config(folder, &config.to_json())
}

/// Writes a random CLIP vision tower of `config` into `folder`, as a Hugging Face folder in `dtype`.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_random_clip(folder: &Path, config: &clip::Config, dtype: DType, seed: u64) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    write_safetensors(folder, &config.checkpoint_shapes(), dtype, seed)?;
    let mut json = serde_json::to_value(config).map_err(Error::json(folder))?;
    json["model_type"] = "clip_vision_model".into();
    write_config(folder, &json)
}

fn write_safetensors(folder: &Path, shapes: &[Named], dtype: DType, seed: u64) -> Result<()> {
    let entries = shapes.iter().map(|(name, shape)| (name.clone(), dtype, shape.clone())).collect();
    let mut writer = SafetensorsWriter::create(&folder.join("model.safetensors"), entries)?;
    for drawn in draw(shapes, seed) {
        writer.write(&drawn?)?;
    }
    writer.finish()
}

/// One tensor after the other, each from a seed of its own.
fn draw(shapes: &[Named], seed: u64) -> impl Iterator<Item = Result<Tensor>> {
    (0u64..).zip(shapes).map(move |(index, (name, shape))| {
        random(name, shape, seed.wrapping_add(index << 32)).map_err(Error::compute(name))
    })
}

/// Norms are near one, biases near zero, everything else has a standard deviation of 0.02.
fn random(name: &str, shape: &[usize], seed: u64) -> candle_core::Result<Tensor> {
    let centre = if name.contains("norm") && name.ends_with(".weight") { 1. } else { 0. };
    let mut values = vec![0f32; shape.iter().product()];
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        let mut generator = SmallRng::seed_from_u64(seed.wrapping_add(chunk as u64));
        values.iter_mut().for_each(|value| *value = centre + generator.random_range(-SPREAD..SPREAD));
    });
    Tensor::from_vec(values, shape, &Device::Cpu)
}

fn blocks(name: &str, shape: &[usize], quantization: Quantization) -> GgmlDType {
    let quantization = if has_vocabulary_rows(name) { quantization.for_head() } else { Some(quantization) };
    match (shape, quantization) {
        ([_, columns], Some(quantization)) => quantization.blocks(*columns).unwrap_or(GgmlDType::F32),
        _ => GgmlDType::F32,
    }
}

fn store(tensor: &Tensor, blocks: GgmlDType) -> candle_core::Result<QTensor> {
    match blocks {
        GgmlDType::F32 => QTensor::quantize(tensor, blocks),
        _ => quantize_rows(tensor, blocks, &Device::Cpu),
    }
}

fn metadata(config: &Config) -> (&'static str, Vec<(String, Meta)>) {
    let number = |n: usize| Meta::U32(n as u32);
    let (architecture, fields) = match config {
        Config::Phi(c) => {
            let heads = c.heads();
            let fields = vec![
                ("context_length", number(c.max_position_embeddings)),
                ("embedding_length", number(c.hidden_size)),
                ("feed_forward_length", number(c.intermediate_size)),
                ("block_count", number(c.num_hidden_layers)),
                ("attention.head_count", number(heads.heads)),
                ("attention.head_count_kv", number(heads.kv_heads)),
                ("attention.layer_norm_epsilon", Meta::F32(c.layer_norm_eps as f32)),
                ("rope.dimension_count", number(c.rotated())),
                ("rope.freq_base", Meta::F32(c.rope_theta as f32)),
            ];
            ("phi2", fields)
        }
        Config::Llama(c) => ("llama", llama_metadata(c)),
    };
    let mut all = vec![
        ("general.architecture".to_owned(), Meta::Text(architecture.into())),
        ("general.name".to_owned(), Meta::Text(format!("random {architecture}"))),
    ];
    all.extend(fields.into_iter().map(|(key, value)| (format!("{architecture}.{key}"), value)));
    (architecture, all)
}

fn llama_metadata(c: &llama::Config) -> Vec<(&'static str, Meta)> {
    let number = |n: usize| Meta::U32(n as u32);
    let heads = c.heads();
    vec![
        ("context_length", number(c.max_position_embeddings)),
        ("embedding_length", number(c.hidden_size)),
        ("feed_forward_length", number(c.intermediate_size)),
        ("block_count", number(c.num_hidden_layers)),
        ("attention.head_count", number(heads.heads)),
        ("attention.head_count_kv", number(heads.kv_heads)),
        ("attention.key_length", number(heads.dim)),
        ("attention.layer_norm_rms_epsilon", Meta::F32(c.rms_norm_eps as f32)),
        ("rope.dimension_count", number(heads.dim)),
        ("rope.freq_base", Meta::F32(c.rope_theta as f32)),
    ]
}
