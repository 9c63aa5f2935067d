//! Checkpoints written back as Hugging Face folders.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::load::{Found, locate};
use crate::nf4::Nf4Matrix;
use crate::shapes::{checkpoint_shapes, has_vocabulary_rows};
use crate::tokenizer::Tokenizer;
use crate::weights::{Entry, GgufFile, SafetensorsWriter, Stored, TensorSource, nf4_entries, nf4_parts};
use crate::whole_file::write_whole;
use crate::{Error, Result};

/// Files that a tokenizer may consist of; the last says which tokens end a text.
const TOKENIZER_FILES: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "chat_template.jinja",
    "generation_config.json",
];

/// The fields of `config.json` that may name the type of the weights; the second is what transformers called it before 5.
const TYPES: [&str; 2] = ["dtype", "torch_dtype"];

/// The field of `config.json` that says how weights are quantised.
const QUANTIZATION: &str = "quantization_config";

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
    let parts = cut(source, config, vocab_rows)?;
    let entries = parts.iter().map(|part| (part.name.clone(), dtype, part.kept.clone())).collect();
    let mut writer = create(folder, dtype, entries)?;
    for part in &parts {
        writer.write(&part.dense(source.read(&part.name, &Device::Cpu)?)?)?;
    }
    writer.finish()?;
    let mut config = with_dtype(cut_config(config, &parts), dtype);
    if let Some(fields) = config.as_object_mut() {
        fields.remove(QUANTIZATION);
    }
    write_config(folder, &config)
}

/// As [`export_folder`], with the linears of the layers in NF4 as bitsandbytes stores it: what is loaded from `folder`
/// need not be quantised again, and transformers loads it too. Matrices that are in NF4 already stay bit for bit; blocks
/// are dequantised first.
///
/// # Errors
/// As [`export_folder`].
pub fn export_nf4(
    source: &dyn TensorSource,
    config: &Json,
    vocab_rows: Option<usize>,
    dtype: DType,
    folder: &Path,
) -> Result<()> {
    let parts = cut(source, config, vocab_rows)?;
    let entries = parts.iter().flat_map(|part| match part.linear() {
        Some((rows, columns)) => nf4_entries(&part.name, rows, columns).to_vec(),
        None => vec![(part.name.clone(), dtype, part.kept.clone())],
    });
    let mut writer = create(folder, dtype, entries.collect())?;
    for part in &parts {
        let stored = source.read(&part.name, &Device::Cpu)?;
        if part.linear().is_none() {
            writer.write(&part.dense(stored)?)?;
            continue;
        }
        let matrix = match stored {
            Stored::Nf4(matrix) => Ok(matrix),
            other => other.into_dense().and_then(|dense| Nf4Matrix::quantize(&dense, &Device::Cpu)),
        };
        let tensors =
            matrix.and_then(|matrix| nf4_parts(&matrix, dtype)).map_err(Error::compute(&part.name))?;
        tensors.iter().try_for_each(|tensor| writer.write(tensor))?;
    }
    writer.finish()?;
    let mut config = with_dtype(cut_config(config, &parts), dtype);
    config[QUANTIZATION] = json!({
        "quant_method": "bitsandbytes",
        "load_in_4bit": true,
        "load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": true,
        "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_compute_dtype": "bfloat16",
    });
    write_config(folder, &config)
}

/// A tensor of a checkpoint and what is kept of it.
struct Part {
    name: String,
    kept: Vec<usize>,
}

impl Part {
    /// Rows and columns of a linear in the layers.
    fn linear(&self) -> Option<(usize, usize)> {
        match *self.kept {
            [rows, columns] if !has_vocabulary_rows(&self.name) => Some((rows, columns)),
            _ => None,
        }
    }

    fn dense(&self, stored: Stored) -> Result<Tensor> {
        let rows = self.kept.first().copied().unwrap_or(1);
        stored.into_dense().and_then(|dense| dense.narrow(0, 0, rows)).map_err(Error::compute(&self.name))
    }
}

/// The tensors of `source`, which has to be a checkpoint of `config`, cut to `vocab_rows`.
fn cut(source: &dyn TensorSource, config: &Json, vocab_rows: Option<usize>) -> Result<Vec<Part>> {
    let config = Config::from_json(config, source.path())?;
    let kept = checkpoint_shapes(&config.cut(vocab_rows)?);
    let all = checkpoint_shapes(&config).into_iter().zip(kept);
    let checked = all.map(|((name, expected), (_, kept))| match source.shape(&name) {
        Some(got) if got == expected => Ok(Part { name, kept }),
        Some(got) => Err(Error::Shape { path: source.path().to_owned(), tensor: name, expected, got }),
        None => Err(Error::MissingTensor { path: source.path().to_owned(), tensor: name }),
    });
    checked.collect()
}

fn cut_config(config: &Json, parts: &[Part]) -> Json {
    let mut config = config.clone();
    if let Some(table) = parts.iter().find(|part| has_vocabulary_rows(&part.name)) {
        config["vocab_size"] = json!(table.kept[0]);
    }
    config
}

fn create(folder: &Path, dtype: DType, entries: Vec<Entry>) -> Result<SafetensorsWriter> {
    let path = folder.join("model.safetensors");
    if !dtype.is_float() {
        let (tensor, expected) = ("weights".to_owned(), "f32, f16 or bf16");
        return Err(Error::NumberType { path, tensor, expected, got: format!("{dtype:?}") });
    }
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    SafetensorsWriter::create(&path, entries)
}

/// Reads a tensor, which has to be of the `expected` shape, as plain numbers.
pub(crate) fn read(source: &dyn TensorSource, name: &str, expected: &[usize]) -> Result<Tensor> {
    let path = || source.path().to_owned();
    let got =
        source.shape(name).ok_or_else(|| Error::MissingTensor { path: path(), tensor: name.to_owned() })?;
    if got != expected {
        return Err(Error::Shape { path: path(), tensor: name.to_owned(), expected: expected.to_vec(), got });
    }
    source.read(name, &Device::Cpu)?.into_dense().map_err(Error::compute(name))
}

/// A `config.json` whose weights are in `dtype` (f32, f16 or bf16): where it names their type, it names this one.
/// transformers casts to the type that is named.
#[must_use]
pub fn with_dtype(mut config: Json, dtype: DType) -> Json {
    let name = match dtype {
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        _ => "float32",
    };
    for key in TYPES {
        if let Some(field) = config.get_mut(key) {
            *field = name.into();
        }
    }
    config
}

/// Writes `config.json`.
///
/// # Errors
/// When it cannot be written.
pub fn write_config(folder: &Path, config: &Json) -> Result<()> {
    write_json(&folder.join("config.json"), config)
}

/// Writes a JSON file in one step.
pub(crate) fn write_json(path: &Path, json: &Json) -> Result<()> {
    let text = serde_json::to_string_pretty(json).map_err(Error::json(path))?;
    write_whole(path, (text + "\n").as_bytes())
}

/// Copies the files of the tokenizer of a model, a folder or a GGUF file with them beside it, into another folder; where
/// there are none, the tokenizer inside the GGUF file is written as such files. Returns how many there are.
///
/// # Errors
/// When a file cannot be copied or written, or the tokenizer inside the GGUF file is of a kind that is not known here.
pub fn copy_tokenizer(model: &Path, to: &Path) -> Result<usize> {
    let from = if model.is_dir() { model } else { model.parent().unwrap_or(Path::new(".")) };
    let there = TOKENIZER_FILES
        .iter()
        .map(|file| (from.join(file), to.join(file)))
        .filter(|(file, _)| file.is_file());
    let mut copied = 0;
    for (file, target) in there {
        fs::copy(&file, &target).map_err(Error::io("copy", &file))?;
        copied += 1;
    }
    match locate(model) {
        Ok(Found::Gguf(file)) if copied == 0 => extract_tokenizer(&GgufFile::open(&file)?, to),
        _ => Ok(copied),
    }
}

fn extract_tokenizer(file: &GgufFile, to: &Path) -> Result<usize> {
    if file.value("tokenizer.ggml.model").is_none() {
        return Ok(0);
    }
    Tokenizer::from_gguf(file)?.save(to, file.string("tokenizer.chat_template").ok().as_deref())
}
