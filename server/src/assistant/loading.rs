//! Loading a network: with what the settings say, if there is room for it, and from what an earlier start has kept.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use jnana_models::adapter::Adapter;
use jnana_models::kept::{KeptFolder, Saved, Unsaved};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::{LoadOptions, Loaded, footprint, load_decoder, parse_device, parse_dtype};

use super::Sources;
use crate::memory::{self, mebibytes};
use crate::settings::Settings;

/// Positions without which there is no talking to a model.
const SHORT_CONVERSATION: u64 = 512;

/// Loads the network at `path` with the device and types of the settings, if the memory has room for it.
///
/// # Errors
/// When there is no such device, a type is not known, the files are no model, or it would not fit.
pub fn load_with(path: &Path, settings: &Settings) -> Result<Loaded> {
    load_sources(&Sources::of(path)?, settings)
}

/// The same for files that are known already.
pub(super) fn load_sources(sources: &Sources, settings: &Settings) -> Result<Loaded> {
    let mut options = LoadOptions::new(parse_device(&settings.device)?);
    options.dtype = settings.dtype.as_deref().map(parse_dtype).transpose()?;
    options.quantize = settings
        .quantize
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|words: String| anyhow::anyhow!(words))?;
    if settings.packed_bytes > 0 {
        options.kept = Some(KeptFolder::new(settings.home.join("packed"), settings.packed_bytes as u64));
    }
    let weights = &sources.weights;
    options.vocab_rows = vocab_rows(weights)?;
    let adapter = sources.adapter.as_ref().map(|folder| Adapter::load(folder, &options.device));
    options.adapter = adapter.transpose()?.map(Arc::new);
    if options.device.is_cpu() {
        admit(weights, &options)?;
    }
    Ok(load_decoder(weights, &options)?)
}

/// Tells what the model will take and refuses it where not even a short conversation would fit beside it.
fn admit(weights: &Path, options: &LoadOptions) -> Result<()> {
    let needed = footprint(weights, options)?;
    let conversation = needed.position * SHORT_CONVERSATION;
    let available = memory::available();
    tracing::info!(
        model = %weights.display(),
        weights_mib = mebibytes(needed.weights),
        kib_a_position = needed.position >> 10,
        available_mib = available.map(mebibytes),
        "loading the model"
    );
    Ok(memory::admit(&weights.display().to_string(), needed.weights + conversation, available)?)
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

/// Writes packed weights beside the first answers. A start that cannot keep them serves as well; only the next one has to
/// pack again.
pub(super) fn keep(unsaved: &Unsaved) {
    match unsaved.save() {
        Ok(Saved::Written { path, bytes }) => {
            tracing::info!(file = %path.display(), mib = mebibytes(bytes), "kept the packed weights for the next start");
        }
        Ok(Saved::TooLarge { bytes, limit }) => tracing::info!(
            mib = mebibytes(bytes),
            limit_mib = mebibytes(limit),
            "the packed weights are larger than --packed-mib allows: every start packs them again"
        ),
        Ok(Saved::Busy) => tracing::info!("another process keeps packed weights; a later start keeps these"),
        Err(error) => {
            tracing::warn!(%error, "the packed weights cannot be kept: every start packs them again");
        }
    }
}
