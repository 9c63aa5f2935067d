//! The language model: loaded, described, running in its engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::DType;
use jnana_api::conversations::ModelInfo;
use jnana_core::model_card::{CardFile, Parts};
use jnana_core::request::Stop;
use jnana_core::template::Template;
use jnana_core::{Engine, EngineConfig, ModelCard};
use jnana_models::adapter::Adapter;
use jnana_models::tokenizer::Tokenizer;
use jnana_models::{LoadOptions, Loaded, load_decoder, parse_device, parse_dtype};

use crate::settings::Settings;

/// New tokens when a request does not say.
const MAX_TOKENS: usize = 200;

/// A language model that answers.
#[derive(Debug)]
pub struct ServingModel {
    /// What people and clients are told of it.
    pub info: ModelInfo,
    /// Its prompt template.
    pub template: Template,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The engine that runs it.
    pub engine: Engine,
    card: ModelCard,
}

impl ServingModel {
    /// Loads the model at `path` and starts its engine.
    ///
    /// # Errors
    /// When there is no such device, or the files are no model that this program knows.
    pub fn load(path: &Path, settings: &Settings) -> Result<Self> {
        let loaded = load_with(path, settings)?;
        let Loaded { decoder, tokenizer, info } = loaded;
        let tokenizer = tokenizer.with_context(|| {
            format!("{} has no tokenizer: put its tokenizer.json beside the weights", path.display())
        })?;
        let shape = decoder.shape().clone();
        let card = ModelCard::load(path, &info.name, &shape, &tokenizer)?;
        let config = EngineConfig {
            context: card.context,
            max_live: settings.max_batch,
            max_queued: settings.queue,
            cache_bytes: settings.cache_bytes,
            guess_rows: settings.guess_ahead,
            ..EngineConfig::default()
        };
        let info = ModelInfo {
            id: card.name.clone(),
            family: shape.family.to_owned(),
            context: u32::try_from(card.context).unwrap_or(u32::MAX),
            width: u32::try_from(shape.width).unwrap_or(u32::MAX),
            device: settings.device.split(':').next().unwrap_or_default().to_owned(),
            dtype: weight_type(&info.path, settings, decoder.dtype()),
            space: card.space.clone(),
        };
        let engine = Engine::start(decoder, tokenizer.clone(), config);
        Ok(Self { info, template: card.template.clone(), tokenizer, engine, card })
    }

    /// Positions of prompt and answer together.
    #[must_use]
    pub fn context(&self) -> usize {
        self.card.context
    }

    /// Projectors into the model's embedding space, by the plugin that they are for.
    #[must_use]
    pub fn projectors(&self) -> &BTreeMap<String, PathBuf> {
        &self.card.projectors
    }

    /// New tokens when a request does not say.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        MAX_TOKENS.min(self.card.context / 2)
    }

    /// How an answer ends: the model's own ways and a caller's strings.
    #[must_use]
    pub fn stop(&self, max_tokens: Option<usize>, strings: Vec<String>) -> Stop {
        let mut stop = self.card.stop(max_tokens.unwrap_or_else(|| self.max_tokens()));
        stop.strings.extend(strings);
        stop
    }
}

/// Loads the network at `path` with the device and types of the settings.
///
/// # Errors
/// When there is no such device, a type is not known, or the files are no model.
pub fn load_with(path: &Path, settings: &Settings) -> Result<Loaded> {
    let mut options = LoadOptions::new(parse_device(&settings.device)?);
    options.dtype = settings.dtype.as_deref().map(parse_dtype).transpose()?;
    options.quantize = settings
        .quantize
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|words: String| anyhow::anyhow!(words))?;
    let Parts { weights, adapter } = CardFile::parts(path)?;
    options.vocab_rows = vocab_rows(&weights)?;
    let adapter = adapter.map(|folder| Adapter::load(&folder, &options.device));
    options.adapter = adapter.transpose()?.map(Arc::new);
    Ok(load_decoder(&weights, &options)?)
}

/// Phi-2's checkpoint has 51,200 rows in embedding and head and 50,295 tokens; the rows beyond its tokenizer go, so that
/// none of them can be drawn.
fn vocab_rows(path: &Path) -> Result<Option<usize>> {
    let Ok(text) = std::fs::read_to_string(path.join("config.json")) else { return Ok(None) };
    let config: serde_json::Value = serde_json::from_str(&text).context("config.json")?;
    let (Some("phi"), Some(rows)) = (config["model_type"].as_str(), config["vocab_size"].as_u64()) else {
        return Ok(None);
    };
    let tokens = Tokenizer::from_folder(path)?.map(|tokenizer| tokenizer.vocab_size());
    Ok(tokens.filter(|tokens| (*tokens as u64) < rows))
}

/// What the weights are, for people: the quantisation asked for, the GGUF file's own, or the number type.
fn weight_type(path: &Path, settings: &Settings, computed: DType) -> String {
    if let Some(quantize) = &settings.quantize {
        return quantize.to_ascii_lowercase();
    }
    if let Some(dtype) = &settings.dtype {
        return dtype.to_ascii_lowercase();
    }
    gguf_type(path).unwrap_or_else(|| computed.as_str().to_owned())
}

/// The part of a GGUF's file name that says its quantisation, such as `Q4_1`.
fn gguf_type(path: &Path) -> Option<String> {
    let is_gguf = |path: &Path| path.extension().is_some_and(|extension| extension == "gguf");
    let file = if path.is_dir() {
        std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path()).find(|path| is_gguf(path))?
    } else {
        Some(path.to_owned()).filter(|path| is_gguf(path))?
    };
    let stem = file.file_stem()?.to_string_lossy().to_ascii_lowercase();
    let known = |part: &&str| {
        let digits =
            part.strip_prefix('q').or_else(|| part.strip_prefix("iq")).or_else(|| part.strip_prefix("bf"));
        digits
            .or_else(|| part.strip_prefix('f'))
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    stem.split(['.', '-']).rfind(known).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantisation_is_read_from_the_file_name() {
        assert_eq!(gguf_type(Path::new("a/SmolLM2-135M-Instruct.Q4_1.gguf")), Some("q4_1".to_owned()));
        assert_eq!(gguf_type(Path::new("phi-2-Q4_K_M.gguf")), Some("q4_k_m".to_owned()));
        assert_eq!(gguf_type(Path::new("model.gguf")), None);
    }
}
