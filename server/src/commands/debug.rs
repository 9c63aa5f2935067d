//! `jnana debug`: numbers for comparing with a reference.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use jnana_models::config::Config;
use jnana_models::export::copy_tokenizer;
use jnana_models::synthetic::{Format, write_random, write_random_clip};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::vision::clip;
use jnana_models::{llama, parse_dtype, phi};

use crate::assistant::{Assistant, load_with};
use crate::catalog::Catalog;
use crate::cli::Debug;

pub(super) fn run(command: Debug) -> Result<()> {
    match command {
        Debug::Logits { tokens, out, given } => {
            let settings = given.resolve()?;
            let path = super::library(&settings).resolve(&Catalog::built_in()?, &settings.model)?;
            let decoder = load_with(&path, &settings)?.decoder;
            let vocabulary = decoder.shape().vocab_size;
            ensure!(tokens.iter().all(|id| (*id as usize) < vocabulary), "token ids are below {vocabulary}");
            let ids = Tensor::new(tokens.as_slice(), decoder.device())?.unsqueeze(0)?;
            let hidden = decoder.forward_padded(&decoder.embed(&ids)?, None)?;
            write(&out, "logits", &decoder.logits(&hidden)?.squeeze(0)?)
        }
        Debug::Embed { plugin, input, out, given } => {
            let settings = given.resolve()?;
            let library = super::library(&settings);
            let assistant =
                Assistant::load(&settings, &Catalog::built_in()?, &library, std::sync::Arc::default())?;
            let bytes = std::fs::read(&input).with_context(|| input.display().to_string())?;
            let embeddings = assistant.inputs.embed(&plugin, &bytes)?;
            write(&out, "embeddings", &embeddings.rows)
        }
        Debug::RandomModel { shape, weights, tokenizer, seed, out } => {
            match shape.as_str() {
                "clip-vit-base-patch32" => {
                    write_random_clip(&out, &clip::Config::default(), parse_dtype(&weights)?, seed)?;
                }
                decoder => {
                    let config = config(decoder)?;
                    lay_tokenizer(&out, tokenizer.as_deref(), &config)?;
                    write_random(&out, &config, format(&weights)?, seed)?;
                }
            }
            println!("{}", out.display());
            Ok(())
        }
    }
}

/// Lays a tokenizer into the folder, where the weights find it: that of another model, or one with a word for every row.
/// A table of fewer rows than a tokenizer needs is left without.
fn lay_tokenizer(out: &Path, from: Option<&Path>, config: &Config) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    match from {
        Some(from) => {
            let copied = copy_tokenizer(from, out)?;
            ensure!(copied > 0, "{} holds no tokenizer", from.display());
        }
        None if config.vocab_size() >= Tokenizer::FEWEST_MADE_UP => {
            Tokenizer::made_up(config.vocab_size())?.save(out, None)?;
        }
        None => {}
    }
    Ok(())
}

/// A network's shapes by name, or from a file.
fn config(shape: &str) -> Result<Config> {
    let tiny = 64;
    Ok(match shape {
        "phi-2" => Config::Phi(phi::Config::phi2()),
        "tiny-phi" => Config::Phi(phi::Config {
            hidden_size: tiny,
            intermediate_size: 4 * tiny,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: Some(4),
            ..phi::Config::phi2()
        }),
        "tiny-llama" => Config::Llama(llama::Config {
            vocab_size: 50_257,
            hidden_size: tiny,
            intermediate_size: 3 * tiny,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: Some(2),
            head_dim: None,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            rope_parameters: None,
            attention_bias: false,
            mlp_bias: false,
            tie_word_embeddings: true,
        }),
        file => {
            let path = Path::new(file);
            let text = std::fs::read_to_string(path).with_context(|| {
                format!(
                    "{file} is neither phi-2, tiny-phi, tiny-llama, clip-vit-base-patch32 nor a config.json"
                )
            })?;
            Config::from_json(&serde_json::from_str(&text).context(file.to_owned())?, path)?
        }
    })
}

fn format(weights: &str) -> Result<Format> {
    let quantization = || weights.parse().map(Format::Gguf).map_err(anyhow::Error::msg);
    parse_dtype(weights).map(Format::Safetensors).or_else(|_| quantization())
}

fn write(out: &Path, name: &str, tensor: &Tensor) -> Result<()> {
    let tensor = tensor.to_dtype(candle_core::DType::F32)?.contiguous()?;
    candle_core::safetensors::save(&HashMap::from([(name, tensor.clone())]), out)
        .with_context(|| out.display().to_string())?;
    println!("{}: {name} {:?}", out.display(), tensor.dims());
    Ok(())
}
