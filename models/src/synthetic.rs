//! Folders of random weights in a configuration's exact shapes: what a network of that size costs can be tried out, and
//! tested, without its weights. Answers are noise.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::config::Config;
use crate::export::write_config;
use crate::export_gguf::{GgufFormat, folder_tokenizer, write_gguf};
use crate::shapes::checkpoint_shapes;
use crate::vision::clip;
use crate::weights::{Quantization, SafetensorsWriter, architecture};
use crate::{Error, Result};

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
    /// One `.gguf` file, `config.json` beside it; norms and biases in f32. The tokenizer in the folder goes into the file.
    Gguf(Quantization),
}

/// Writes random weights of `config` into `folder`; the same `seed` gives the same weights. One tensor at a time is in
/// memory. A tokenizer has to lie in the folder before: from [`copy_tokenizer`](crate::export::copy_tokenizer), or
/// [made up](crate::tokenizer::Tokenizer::made_up); without one the network computes but cannot converse.
///
/// # Errors
/// When the folder cannot be written, or its tokenizer does not go into a GGUF file of this network.
pub fn write_random(folder: &Path, config: &Config, format: Format, seed: u64) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    // Before the weights: it has a say in which tokenizer this is.
    write_config(folder, &config.to_json())?;
    match format {
        Format::Safetensors(dtype) => write_safetensors(folder, &checkpoint_shapes(config), dtype, seed),
        Format::Gguf(quantization) => {
            let file = folder.join(format!("random.{quantization}.gguf"));
            let name = format!("random {}", architecture(config));
            let mut tensors = 0..;
            let next = |name: &str, shape: &[usize]| draw(tensors.next().unwrap_or(0), name, shape, seed);
            let tokenizer = folder_tokenizer(folder)?.unwrap_or_default();
            write_gguf(&file, config, &name, tokenizer, GgufFormat::Quantized(quantization), next)
        }
    }
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
    for (index, (name, shape)) in (0..).zip(shapes) {
        writer.write(&draw(index, name, shape, seed)?)?;
    }
    writer.finish()
}

/// The tensor of number `index`, from a seed of its own.
fn draw(index: u64, name: &str, shape: &[usize], seed: u64) -> Result<Tensor> {
    random(name, shape, seed.wrapping_add(index << 32)).map_err(Error::compute(name))
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
