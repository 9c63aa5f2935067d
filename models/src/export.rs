//! Checkpoints written back as Hugging Face folders.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::shapes::{checkpoint_shapes, has_vocabulary_rows};
use crate::weights::{SafetensorsWriter, Stored, TensorSource};
use crate::{Error, Result};

/// Files that a tokenizer may consist of.
const TOKENIZER_FILES: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "chat_template.jinja",
];

/// Writes `source`, a checkpoint of `config` (the whole `config.json`), as `config.json` and `model.safetensors` in
/// `dtype` into `folder`, keeping only the first `vocab_rows` rows of embedding table and head. Quantised tensors are
/// dequantised. One tensor at a time is in memory.
///
/// # Errors
/// When the source is not of that configuration, has fewer rows, or the folder cannot be written.
pub fn export_folder(
    source: &dyn TensorSource,
    config: &Json,
    vocab_rows: Option<usize>,
    dtype: DType,
    folder: &Path,
) -> Result<()> {
    let parsed = Config::from_json(config, source.path())?;
    let rows = vocab_rows.unwrap_or(parsed.vocab_size());
    if rows == 0 || rows > parsed.vocab_size() {
        return Err(Error::Options {
            option: format!("vocab_rows {rows}"),
            reason: format!("the model has {} rows, and they can only be cut", parsed.vocab_size()),
        });
    }
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let shapes = checkpoint_shapes(&parsed);
    let kept = |name: &str, shape: &[usize]| {
        let mut shape = shape.to_vec();
        if has_vocabulary_rows(name) {
            shape[0] = rows;
        }
        shape
    };
    let entries = shapes.iter().map(|(name, shape)| (name.clone(), dtype, kept(name, shape))).collect();
    let mut writer = SafetensorsWriter::create(&folder.join("model.safetensors"), entries)?;
    for (name, shape) in &shapes {
        let tensor = read(source, name, shape)?;
        let tensor = tensor.narrow(0, 0, kept(name, shape)[0]).map_err(Error::compute(name))?;
        writer.write(&tensor)?;
    }
    writer.finish()?;
    let mut config = config.clone();
    config["vocab_size"] = json!(rows);
    write_config(folder, &config)
}

fn read(source: &dyn TensorSource, name: &str, expected: &[usize]) -> Result<Tensor> {
    let path = || source.path().to_owned();
    let got =
        source.shape(name).ok_or_else(|| Error::MissingTensor { path: path(), tensor: name.to_owned() })?;
    if got != expected {
        return Err(Error::Shape { path: path(), tensor: name.to_owned(), expected: expected.to_vec(), got });
    }
    match source.read(name, &Device::Cpu)? {
        Stored::Dense(tensor) => Ok(tensor),
        Stored::Quantized(blocks) => blocks.dequantize(&Device::Cpu).map_err(Error::compute(name)),
    }
}

/// Writes `config.json`.
///
/// # Errors
/// When it cannot be written.
pub fn write_config(folder: &Path, config: &Json) -> Result<()> {
    let path = folder.join("config.json");
    let text = serde_json::to_string_pretty(config).map_err(Error::json(&path))?;
    fs::write(&path, text + "\n").map_err(Error::io("write", &path))
}

/// Copies the files of the tokenizer in one folder into another; returns how many there were.
///
/// # Errors
/// When a file cannot be copied.
pub fn copy_tokenizer(from: &Path, to: &Path) -> Result<usize> {
    let there = TOKENIZER_FILES
        .iter()
        .map(|file| (from.join(file), to.join(file)))
        .filter(|(file, _)| file.is_file());
    let mut copied = 0;
    for (file, target) in there {
        fs::copy(&file, &target).map_err(Error::io("copy", &file))?;
        copied += 1;
    }
    Ok(copied)
}
