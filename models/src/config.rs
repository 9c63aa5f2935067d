//! What `config.json`, or a GGUF file's metadata, says about a network.

use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use serde_json::{Value as Json, json};

use crate::rotary::{RopeParameters, Scaling};
use crate::weights::{GgufFile, TensorSource};
use crate::{Error, Result, llama, phi};

/// A configuration of one of the families.
#[derive(Debug, Clone, PartialEq)]
pub enum Config {
    /// Phi-1, 1.5, 2.
    Phi(phi::Config),
    /// Llama and its relatives.
    Llama(llama::Config),
}

impl Config {
    /// Reads a `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// When `model_type` is not known or a field is missing.
    pub fn from_json(json: &Json, path: &Path) -> Result<Self> {
        match json["model_type"].as_str() {
            Some("phi") => serde_json::from_value(json.clone()).map(Self::Phi).map_err(Error::json(path)),
            Some("llama") => serde_json::from_value(json.clone()).map(Self::Llama).map_err(Error::json(path)),
            other => Err(Error::Field {
                path: path.to_owned(),
                key: "model_type".into(),
                expected: "phi or llama".into(),
                got: other.unwrap_or("nothing").to_owned(),
            }),
        }
    }

    /// The `config.json` of this configuration.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let (model_type, class, fields) = match self {
            Self::Phi(config) => ("phi", "PhiForCausalLM", json!(config)),
            Self::Llama(config) => ("llama", "LlamaForCausalLM", json!(config)),
        };
        let mut json = json!({ "model_type": model_type, "architectures": [class] });
        if let (Json::Object(all), Json::Object(fields)) = (&mut json, fields) {
            all.extend(fields);
        }
        json
    }

    /// Rows of the embedding table.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Phi(config) => config.vocab_size,
            Self::Llama(config) => config.vocab_size,
        }
    }

    /// Numbers of one position's keys and values.
    pub(crate) fn cache_numbers(&self) -> usize {
        let (layers, heads) = match self {
            Self::Phi(config) => (config.num_hidden_layers, config.heads()),
            Self::Llama(config) => (config.num_hidden_layers, config.heads()),
        };
        2 * layers * heads.kv_heads * heads.dim
    }

    /// The same network with only the first `rows` rows of embedding table and head, all of them when `None`.
    ///
    /// # Errors
    /// When there are fewer rows, or none would be left.
    pub fn cut(&self, rows: Option<usize>) -> Result<Self> {
        let (has, rows) = (self.vocab_size(), rows.unwrap_or(self.vocab_size()));
        if rows == 0 || rows > has {
            return Err(Error::Options {
                option: format!("vocab_rows {rows}"),
                reason: format!("the model has {has} rows, and they can only be cut"),
            });
        }
        Ok(match self.clone() {
            Self::Phi(config) => Self::Phi(phi::Config { vocab_size: rows, ..config }),
            Self::Llama(config) => Self::Llama(llama::Config { vocab_size: rows, ..config }),
        })
    }

    /// Refuses numbers that no network can have; `path` is for messages.
    ///
    /// # Errors
    /// When heads do not divide, or more of a head turns than there is.
    pub fn check(&self, path: &Path) -> Result<()> {
        let (heads, rotated) = match self {
            Self::Phi(config) => (config.heads(), config.rotated()),
            Self::Llama(config) => (config.heads(), config.heads().dim),
        };
        let even = rotated > 0 && rotated.is_multiple_of(2) && rotated <= heads.dim;
        let groups = heads.kv_heads > 0 && heads.heads > 0 && heads.heads.is_multiple_of(heads.kv_heads);
        if even && groups {
            return Ok(());
        }
        Err(Error::Field {
            path: path.to_owned(),
            key: "heads".into(),
            expected: "query heads a multiple of key heads, an even part of each turning".into(),
            got: format!("{heads:?} with {rotated} elements turning"),
        })
    }

    /// The configuration that a GGUF file's metadata describes.
    ///
    /// # Errors
    /// When an entry is missing or something else than it should be.
    pub fn from_gguf(file: &GgufFile) -> Result<Self> {
        let vocab_size = file.shape("model.embed_tokens.weight").and_then(|shape| shape.first().copied());
        let vocab_size = vocab_size.ok_or_else(|| Error::MissingTensor {
            path: file.path().to_owned(),
            tensor: "model.embed_tokens.weight".into(),
        })?;
        match file.architecture() {
            "phi2" => phi_from_gguf(file, vocab_size).map(Self::Phi),
            _ => llama_from_gguf(file, vocab_size).map(Self::Llama),
        }
    }
}

fn phi_from_gguf(file: &GgufFile, vocab_size: usize) -> Result<phi::Config> {
    let rotated = file.usize_of("rope.dimension_count")?;
    let stretched = |scaling| RopeParameters { rope_theta: None, partial_rotary_factor: None, scaling };
    Ok(phi::Config {
        vocab_size,
        hidden_size: file.usize_of("embedding_length")?,
        intermediate_size: file.usize_of("feed_forward_length")?,
        num_hidden_layers: file.usize_of("block_count")?,
        num_attention_heads: file.usize_of("attention.head_count")?,
        num_key_value_heads: file.optional_usize_of("attention.head_count_kv")?,
        max_position_embeddings: file.usize_of("context_length")?,
        layer_norm_eps: file.optional_f64_of("attention.layer_norm_epsilon")?.unwrap_or(1e-5),
        partial_rotary_factor: rotated as f64 / file.head_dim() as f64,
        rope_theta: file.optional_f64_of("rope.freq_base")?.unwrap_or(10_000.),
        rope_parameters: scaling_from_gguf(file)?.map(stretched),
        qk_layernorm: false,
        tie_word_embeddings: file.shape("lm_head.weight").is_none(),
    })
}

fn llama_from_gguf(file: &GgufFile, vocab_size: usize) -> Result<llama::Config> {
    let has = |name: &str| file.shape(name).is_some();
    Ok(llama::Config {
        vocab_size,
        hidden_size: file.usize_of("embedding_length")?,
        intermediate_size: file.usize_of("feed_forward_length")?,
        num_hidden_layers: file.usize_of("block_count")?,
        num_attention_heads: file.usize_of("attention.head_count")?,
        num_key_value_heads: file.optional_usize_of("attention.head_count_kv")?,
        head_dim: Some(file.head_dim()),
        max_position_embeddings: file.usize_of("context_length")?,
        rms_norm_eps: file.optional_f64_of("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6),
        rope_theta: file.optional_f64_of("rope.freq_base")?.unwrap_or(10_000.),
        rope_scaling: scaling_from_gguf(file)?,
        rope_parameters: None,
        attention_bias: has("model.layers.0.self_attn.q_proj.bias"),
        mlp_bias: has("model.layers.0.mlp.up_proj.bias"),
        tie_word_embeddings: !has("lm_head.weight"),
    })
}

fn scaling_from_gguf(file: &GgufFile) -> Result<Option<Scaling>> {
    let key = format!("{}.rope.scaling.type", file.architecture());
    match (file.value(&key), file.optional_f64_of("rope.scaling.factor")?) {
        (Some(Value::String(kind)), factor) if kind != "none" => {
            let factor = factor.filter(|_| kind == "linear");
            let factor = factor.ok_or_else(|| file.field(&key, "none or linear", kind))?;
            Ok(Some(Scaling::Linear { factor: factor as f32 }))
        }
        _ => Ok(None),
    }
}
