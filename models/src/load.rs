//! From a path to a network that runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device};
use serde_json::Value as Json;

use crate::adapter::Adapter;
use crate::config::Config;
use crate::decoder::Decoder;
use crate::kept::{Kept, KeptFolder, Unsaved};
use crate::llama::Llama;
use crate::ops::Mode;
use crate::phi::Phi;
use crate::tokenizer::Tokenizer;
use crate::weights::{GgufFile, Quantization, SafetensorsFolder, TensorSource, WeightOptions, Weights};
use crate::{Error, Result};

/// How to load a network.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where it runs.
    pub device: Device,
    /// Type of dense weights; `None` is f32 on the CPU and bf16 elsewhere. The CPU computes in f32 whatever this says.
    pub dtype: Option<DType>,
    /// Quantises dense weights while loading; those that are quantised already stay as they are.
    pub quantize: Option<Quantization>,
    /// For serving or for training.
    pub mode: Mode,
    /// Keeps only so many rows of embedding table and head (50,295 of phi-2's 51,200, for instance).
    pub vocab_rows: Option<usize>,
    /// An adapter to run beside the weights: one that was [loaded](Adapter::load), or one that is being trained.
    pub adapter: Option<Arc<Adapter>>,
    /// Where packed weights are kept from one start to the next; only serving on the CPU packs any.
    pub kept: Option<KeptFolder>,
}

impl LoadOptions {
    /// Inference on `device` with its usual types.
    #[must_use]
    pub fn new(device: Device) -> Self {
        let mode = Mode::Inference;
        Self { device, dtype: None, quantize: None, mode, vocab_rows: None, adapter: None, kept: None }
    }

    pub(crate) fn types(&self) -> Result<(DType, DType)> {
        let cpu = self.device.is_cpu();
        let dtype = self.dtype.unwrap_or(if cpu { DType::F32 } else { DType::BF16 });
        let fits = if cpu { matches!(dtype, DType::F32 | DType::F16) } else { dtype.is_float() };
        if !fits {
            let reason = if cpu { "the CPU multiplies f32 and f16" } else { "weights are f32, f16 or bf16" };
            return Err(Error::Options { option: format!("dtype {dtype:?}"), reason: reason.to_owned() });
        }
        Ok((dtype, if cpu { DType::F32 } else { dtype }))
    }
}

/// A network, its tokenizer and what is known about it.
pub struct Loaded {
    /// The network.
    pub decoder: Box<dyn Decoder>,
    /// Its tokenizer, when the model's files have one.
    pub tokenizer: Option<Tokenizer>,
    /// What is known about it.
    pub info: ModelInfo,
    /// Packed weights that the folder of [kept](LoadOptions::kept) ones does not have yet.
    pub unsaved: Option<Unsaved>,
}

/// What is known about a loaded network.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// A name for people: `general.name` of a GGUF file, else that of the file or folder.
    pub name: String,
    /// Where it came from: the GGUF file or the folder.
    pub path: PathBuf,
    /// The configuration as a Hugging Face `config.json`.
    pub config: Json,
    /// The chat template that the files carry (Jinja), for reference.
    pub chat_template: Option<String>,
    /// Numbers in the weights.
    pub parameters: u64,
    /// Bytes that the weights take on the device.
    pub weight_bytes: u64,
}

/// Loads a decoder from a GGUF file, a folder with one GGUF file, or a Hugging Face folder.
///
/// # Errors
/// When the path holds no model, its files are damaged or do not fit together, or the options do not go with it.
pub fn load_decoder(path: &Path, options: &LoadOptions) -> Result<Loaded> {
    match locate(path)? {
        Found::Gguf(file) => load_gguf(&file, options),
        Found::Folder(folder) => load_folder(&folder, options),
    }
}

pub(crate) enum Found {
    Gguf(PathBuf),
    Folder(PathBuf),
}

/// What a model's path leads to.
pub(crate) fn locate(path: &Path) -> Result<Found> {
    const EXPECTED: &str =
        "a .gguf file, a folder with one, or a folder with config.json and model.safetensors";
    let not_a_model = |got: String| Error::NotAModel { path: path.to_owned(), expected: EXPECTED, got };
    if path.is_file() {
        return match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("gguf") => Ok(Found::Gguf(path.to_owned())),
            _ => Err(not_a_model("another file".into())),
        };
    }
    if !path.is_dir() {
        return Err(not_a_model("nothing".into()));
    }
    if SafetensorsFolder::is_in(path) {
        return Ok(Found::Folder(path.to_owned()));
    }
    let entries = fs::read_dir(path).map_err(Error::io("read", path))?;
    let files = entries.flatten().map(|entry| entry.path());
    let mut gguf = files.filter(|file| file.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")));
    match (gguf.next(), gguf.next()) {
        (Some(one), None) => Ok(Found::Gguf(one)),
        (Some(_), Some(_)) => Err(not_a_model("several .gguf files; name one".into())),
        _ => Err(not_a_model("a folder without weights".into())),
    }
}

/// Builds the network of `config` from `weights` with `vocab_rows` rows, all of them when `None`.
///
/// # Errors
/// When a tensor is missing or of another shape, there are fewer rows than asked for, or the adapter is for another
/// network.
pub fn build(config: &Config, weights: &Weights, vocab_rows: Option<usize>) -> Result<Box<dyn Decoder>> {
    config.check(weights.path())?;
    let rows = config.cut(vocab_rows)?.vocab_size();
    if let Some(adapter) = weights.adapter() {
        adapter.check(config, weights.path())?;
    }
    Ok(match config {
        Config::Phi(config) => Box::new(Phi::new(config, weights, rows)?),
        Config::Llama(config) => Box::new(Llama::new(config, weights, rows)?),
    })
}

fn weights_of(source: Arc<dyn TensorSource>, options: &LoadOptions) -> Result<Weights> {
    let (dtype, activations) = options.types()?;
    let (device, quantize, mode) = (options.device.clone(), options.quantize, options.mode);
    let kept = kept(&source, options);
    let weights = Weights::new(source, WeightOptions { device, dtype, activations, quantize, mode });
    Ok(weights.with_adapter(options.adapter.clone()).with_kept(kept))
}

/// What is kept of the weights. Where that cannot be found out, they are packed as if nothing were kept.
fn kept(source: &Arc<dyn TensorSource>, options: &LoadOptions) -> Option<Kept> {
    let folder =
        options.kept.as_ref().filter(|_| options.device.is_cpu() && options.mode == Mode::Inference)?;
    folder.open(source.path(), options.quantize).ok()
}

/// A model's weights and configuration, not loaded yet: what exporting, merging and new adapters begin with.
pub struct Checkpoint {
    /// The weights.
    pub source: Arc<dyn TensorSource>,
    /// The network that they are for.
    pub config: Config,
    /// The whole of its Hugging Face `config.json`.
    pub json: Json,
}

/// Opens what [`load_decoder`] would load.
///
/// # Errors
/// When the path holds no model or its files are damaged.
pub fn open_checkpoint(path: &Path) -> Result<Checkpoint> {
    match locate(path)? {
        Found::Gguf(file) => {
            let source = Arc::new(GgufFile::open(&file)?);
            let config = Config::from_gguf(&source)?;
            Ok(Checkpoint { source, json: config.to_json(), config })
        }
        Found::Folder(folder) => {
            let (config, json) = read_config(&folder)?;
            Ok(Checkpoint { source: Arc::new(SafetensorsFolder::open(&folder)?), config, json })
        }
    }
}

fn read_config(folder: &Path) -> Result<(Config, Json)> {
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let json: Json = serde_json::from_str(&text).map_err(Error::json(&path))?;
    Ok((Config::from_json(&json, &path)?, json))
}

fn load_gguf(path: &Path, options: &LoadOptions) -> Result<Loaded> {
    let file = Arc::new(GgufFile::open(path)?);
    let config = Config::from_gguf(&file)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let tokenizer = match Tokenizer::from_folder(folder)? {
        Some(beside) => Some(beside),
        None if file.value("tokenizer.ggml.model").is_some() => Some(Tokenizer::from_gguf(&file)?),
        None => None,
    };
    let weights = weights_of(file.clone(), options)?;
    let decoder = build(&config, &weights, options.vocab_rows)?;
    let info = ModelInfo {
        name: file.string("general.name").unwrap_or_else(|_| name_of(path)),
        path: path.to_owned(),
        config: config.to_json(),
        chat_template: file.string("tokenizer.chat_template").ok(),
        parameters: weights.parameters(),
        weight_bytes: weights.bytes(),
    };
    Ok(Loaded { decoder, tokenizer, info, unsaved: weights.unsaved() })
}

fn load_folder(folder: &Path, options: &LoadOptions) -> Result<Loaded> {
    let (config, json) = read_config(folder)?;
    let weights = weights_of(Arc::new(SafetensorsFolder::open(folder)?), options)?;
    let decoder = build(&config, &weights, options.vocab_rows)?;
    let info = ModelInfo {
        name: name_of(folder),
        path: folder.to_owned(),
        config: json,
        chat_template: chat_template(folder),
        parameters: weights.parameters(),
        weight_bytes: weights.bytes(),
    };
    let (tokenizer, unsaved) = (Tokenizer::from_folder(folder)?, weights.unsaved());
    Ok(Loaded { decoder, tokenizer, info, unsaved })
}

pub(crate) fn chat_template(folder: &Path) -> Option<String> {
    if let Ok(template) = fs::read_to_string(folder.join("chat_template.jinja")) {
        return Some(template);
    }
    let text = fs::read_to_string(folder.join("tokenizer_config.json")).ok()?;
    let json: Json = serde_json::from_str(&text).ok()?;
    json["chat_template"].as_str().map(str::to_owned)
}

/// A file's name without its ending, a folder's whole: `phi-1.5` is no ending.
fn name_of(path: &Path) -> String {
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
