//! The language model: loaded, described, running in its engine.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::DType;
use jnana_api::conversations::ModelInfo;
use jnana_core::request::Stop;
use jnana_core::template::Template;
use jnana_core::{Engine, EngineConfig, ModelCard};
use jnana_models::Loaded;
use jnana_models::tokenizer::Tokenizer;

use super::Sources;
use super::loading::{keep, load_sources};
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
    /// Numbers in its weights.
    pub parameters: u64,
    /// Bytes that its weights take on the device.
    pub weight_bytes: u64,
    /// Which files it is made of.
    pub sources: Sources,
    card: ModelCard,
}

impl ServingModel {
    /// Loads a model and starts its engine.
    ///
    /// # Errors
    /// When there is no such device, or the files are no model that this program knows.
    pub fn load(sources: Sources, settings: &Settings) -> Result<Self> {
        let path = &sources.model;
        let loaded = load_sources(&sources, settings)?;
        let Loaded { decoder, tokenizer, info, unsaved } = loaded;
        let (parameters, weight_bytes) = (info.parameters, info.weight_bytes);
        let tokenizer = tokenizer.with_context(|| {
            format!("{} has no tokenizer: put its tokenizer.json beside the weights", path.display())
        })?;
        let shape = decoder.shape().clone();
        let mut card = ModelCard::load(path, &info.name, &shape, &tokenizer)?;
        let (name, space) = (sources.name.clone(), sources.space.clone());
        (card.name, card.space) = (name.unwrap_or(card.name), space.unwrap_or(card.space));
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
        if let Some(unsaved) = unsaved {
            std::thread::spawn(move || keep(&unsaved));
        }
        let template = card.template.clone();
        Ok(Self { info, template, tokenizer, engine, parameters, weight_bytes, sources, card })
    }

    /// Positions of prompt and answer together.
    #[must_use]
    pub fn context(&self) -> usize {
        self.card.context
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
