//! Checkpoints written as GGUF files that llama.cpp loads.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

use crate::config::Config;
use crate::export::read;
use crate::load::{Found, chat_template, locate};
use crate::rotary::{RopeParameters, Scaling};
use crate::shapes::{checkpoint_shapes, has_vocabulary_rows};
use crate::tokenizer::Tokenizer;
use crate::weights::{
    GgufFile, GgufWriter, Heads, Metadata, Place, Quantization, TensorSource, architecture, metadata,
    new_place, quantize_rows,
};
use crate::{Error, Result, llama, phi};

/// `tokenizer.ggml.token_type` of rows without a word.
const UNUSED: i32 = 5;

const TEMPLATE: &str = "tokenizer.chat_template";

/// What each rotary frequency is divided by.
const DIVISORS: &str = "rope_freqs.weight";

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// How matrices are written; norms and biases are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GgufFormat {
    /// f16.
    F16,
    /// Blocks; f16 where rows are no whole number of them.
    Quantized(Quantization),
}

impl FromStr for GgufFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("f16") {
            return Ok(Self::F16);
        }
        text.parse().map(Self::Quantized).map_err(|reason: String| format!("{reason}, f16"))
    }
}

impl fmt::Display for GgufFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F16 => f.write_str("f16"),
            Self::Quantized(quantization) => quantization.fmt(f),
        }
    }
}

impl GgufFormat {
    fn blocks(self, name: &str, shape: &[usize]) -> GgmlDType {
        let [_, columns] = *shape else { return GgmlDType::F32 };
        let blocks = match self {
            Self::F16 => None,
            Self::Quantized(quantization) if has_vocabulary_rows(name) => {
                quantization.for_head().and_then(|head| head.blocks(columns))
            }
            Self::Quantized(quantization) => quantization.blocks(columns),
        };
        blocks.unwrap_or(GgmlDType::F16)
    }
}

/// Writes `source`, a checkpoint of `config`, as the GGUF file `file` with the first `vocab_rows` rows of embedding table
/// and head. `tokenizer` is what [`tokenizer_metadata`] gives; words are added to it for rows that have none. `name` is
/// for people. Quantised tensors are dequantised and quantised anew. One tensor at a time is in memory.
///
/// # Errors
/// When the source is not of that configuration, has fewer rows, or the tokenizer has more words than there are rows; when
/// GGUF has no place for a part of the network; when the file cannot be written.
pub fn export_gguf(
    source: &dyn TensorSource,
    config: &Config,
    tokenizer: Metadata,
    vocab_rows: Option<usize>,
    format: GgufFormat,
    name: &str,
    file: &Path,
) -> Result<()> {
    let kept = with_stored_divisors(config.cut(vocab_rows)?, source)?;
    let tied = matches!(config, Config::Phi(config) if config.tie_word_embeddings);
    write_gguf(file, &kept, name, tokenizer, format, |name, shape| {
        let mut whole = shape.to_vec();
        if has_vocabulary_rows(name) {
            whole[0] = config.vocab_size();
        }
        let stored = if tied && name == HEAD { EMBEDDING } else { name };
        read(source, stored, &whole)?.narrow(0, 0, shape[0]).map_err(Error::compute(name))
    })
}

/// The `tokenizer.*` entries for a GGUF file of the model at `path`: put together from the tokenizer and the chat template
/// of its folder, else carried over from its GGUF file; none where there is neither.
///
/// # Errors
/// When the path holds no model, files cannot be read, or the tokenizer does things that GGUF cannot say.
pub fn tokenizer_metadata(path: &Path) -> Result<Metadata> {
    let (folder, own) = match locate(path)? {
        Found::Folder(folder) => (folder, Metadata::new()),
        Found::Gguf(file) => {
            let own = GgufFile::open(&file)?.entries("tokenizer.");
            (file.parent().unwrap_or(Path::new(".")).to_owned(), own)
        }
    };
    let Some(mut entries) = folder_tokenizer(&folder)? else { return Ok(own) };
    if !entries.iter().any(|(key, _)| key == TEMPLATE) {
        entries.extend(own.into_iter().filter(|(key, _)| key == TEMPLATE));
    }
    Ok(entries)
}

/// The same of the tokenizer's files in a folder, whatever else is there; `None` where there are none.
pub(crate) fn folder_tokenizer(folder: &Path) -> Result<Option<Metadata>> {
    let Some(tokenizer) = Tokenizer::from_folder(folder)? else { return Ok(None) };
    let template = chat_template(folder).map(|template| (TEMPLATE.to_owned(), Value::String(template)));
    let mut entries = tokenizer.gguf_metadata()?;
    entries.extend(template);
    Ok(Some(entries))
}

/// llama.cpp wants exactly one word for each of the `rows`.
fn fit(mut tokenizer: Metadata, rows: usize) -> Result<Metadata> {
    for (key, value) in &mut tokenizer {
        let Value::Array(items) = value else { continue };
        let filler: fn(usize) -> Value = match key.as_str() {
            "tokenizer.ggml.tokens" => |id| Value::String(format!("[PAD{id}]")),
            "tokenizer.ggml.token_type" => |_| Value::I32(UNUSED),
            "tokenizer.ggml.scores" => |_| Value::F32(0.),
            _ => continue,
        };
        if items.len() > rows {
            return Err(Error::Options {
                option: format!("vocab_rows {rows}"),
                reason: format!("the tokenizer has {} words, and each needs a row", items.len()),
            });
        }
        items.extend((items.len()..rows).map(filler));
    }
    Ok(tokenizer)
}

/// GGUF files keep the stretching of rotary frequencies in a tensor, so that it is not in the configuration.
fn with_stored_divisors(config: Config, source: &dyn TensorSource) -> Result<Config> {
    let (Config::Llama(config), Some(shape)) = (&config, source.shape(DIVISORS)) else { return Ok(config) };
    let divisors =
        read(source, DIVISORS, &shape)?.to_dtype(DType::F32).and_then(|divisors| divisors.to_vec1());
    let scaling = Scaling::Divisors(divisors.map_err(Error::compute(DIVISORS))?);
    let rope_theta = Some(config.rope().0);
    let rope_parameters = Some(RopeParameters { rope_theta, partial_rotary_factor: None, scaling });
    Ok(Config::Llama(llama::Config { rope_parameters, ..config.clone() }))
}

/// Writes a network whose tensors come from `read` by the checkpoint's names and shapes, one after the other. Words are
/// added to the tokenizer for rows that have none.
pub(crate) fn write_gguf(
    file: &Path,
    config: &Config,
    name: &str,
    tokenizer: Metadata,
    format: GgufFormat,
    mut read: impl FnMut(&str, &[usize]) -> Result<Tensor>,
) -> Result<()> {
    config.check(file)?;
    if format == GgufFormat::Quantized(Quantization::Nf4) {
        let reason = "GGUF has no such format".to_owned();
        return Err(Error::Options { option: "gguf in nf4".into(), reason });
    }
    let divisors = divisors(config)?;
    let parts = parts(config, divisors.as_ref(), format)?;
    let entries =
        parts.iter().map(|part| (part.place.name.clone(), part.blocks, part.shape.clone())).collect();
    let mut all = metadata(config, name);
    if let GgufFormat::Quantized(_) = format {
        all.push(("general.quantization_version".to_owned(), Value::U32(2)));
    }
    all.extend(fit(tokenizer, config.vocab_size())?);
    let mut writer = GgufWriter::create(file, &all, entries)?;
    for part in &parts {
        let tensor = match &divisors {
            Some(divisors) if part.name == DIVISORS => divisors.clone(),
            _ => read(&part.name, &part.shape)?,
        };
        writer.write(&part.store(&tensor).map_err(Error::compute(&part.name))?)?;
    }
    writer.finish()
}

/// One number for each rotary frequency, where they are not all stretched alike.
fn divisors(config: &Config) -> Result<Option<Tensor>> {
    let (rotated, (theta, scaling)) = match config {
        Config::Phi(config) => (config.rotated(), config.rope()),
        Config::Llama(config) => (config.heads().dim, config.rope()),
    };
    match (config, scaling.divisors(rotated, theta)) {
        (_, None) => Ok(None),
        (Config::Phi(_), Some(_)) => Err(no_place("this stretching of rotary frequencies", config)),
        (Config::Llama(_), Some(divisors)) => {
            Tensor::new(divisors, &Device::Cpu).map(Some).map_err(Error::compute(DIVISORS))
        }
    }
}

/// A tensor by its name in the checkpoint, and how the file has it.
struct Part {
    name: String,
    shape: Vec<usize>,
    place: Place,
    blocks: GgmlDType,
}

fn parts(config: &Config, divisors: Option<&Tensor>, format: GgufFormat) -> Result<Vec<Part>> {
    let shapes = match config {
        // llama.cpp's phi2 has a head of its own in any case.
        Config::Phi(tied) => {
            checkpoint_shapes(&Config::Phi(phi::Config { tie_word_embeddings: false, ..tied.clone() }))
        }
        Config::Llama(_) => checkpoint_shapes(config),
    };
    let heads = match config {
        Config::Phi(config) => config.heads(),
        Config::Llama(config) => config.heads(),
    };
    let heads = Heads { query: heads.heads, kv: heads.kv_heads, dim: heads.dim };
    let divisors = divisors.map(|divisors| (DIVISORS.to_owned(), divisors.dims().to_vec()));
    let part = |(name, shape): (String, Vec<usize>)| {
        let place = new_place(architecture(config), &name, heads);
        let place = place.ok_or_else(|| no_place(&name, config))?;
        Ok(Part { blocks: format.blocks(&name, &shape), name, shape, place })
    };
    shapes.into_iter().chain(divisors).map(part).collect()
}

fn no_place(what: &str, config: &Config) -> Error {
    let reason = format!("GGUF's {} has no place for {what}", architecture(config));
    Error::Options { option: "gguf".into(), reason }
}

impl Part {
    fn store(&self, tensor: &Tensor) -> candle_core::Result<QTensor> {
        let tensor = match self.place.order(tensor.dim(0)?) {
            Some(order) => tensor.index_select(&Tensor::new(order, &Device::Cpu)?, 0)?,
            None => tensor.clone(),
        };
        match self.shape.len() {
            2 => quantize_rows(&tensor, self.blocks, &Device::Cpu),
            // A copy: candle quantises the whole storage behind a view.
            _ => QTensor::quantize(&tensor.force_contiguous()?, self.blocks),
        }
    }
}
