//! What a GGUF file says about a network: what [`Config::from_gguf`] reads.
//!
//! Keys: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use candle_core::quantized::gguf_file::Value;

use crate::config::Config;
use crate::pass::HeadShape;
use crate::rotary::Scaling;
use crate::{llama, phi};

/// Keys and values in the order of writing.
pub type Metadata = Vec<(String, Value)>;

/// `general.architecture`: what llama.cpp calls the family.
pub(crate) fn architecture(config: &Config) -> &'static str {
    match config {
        Config::Phi(_) => "phi2",
        Config::Llama(_) => "llama",
    }
}

/// The entries about the network; `name` is for people.
pub(crate) fn metadata(config: &Config, name: &str) -> Metadata {
    let architecture = architecture(config);
    let fields = match config {
        Config::Phi(config) => phi_fields(config),
        Config::Llama(config) => llama_fields(config),
    };
    let mut all = vec![
        ("general.architecture".to_owned(), text(architecture)),
        ("general.name".to_owned(), text(name)),
        (format!("{architecture}.vocab_size"), number(config.vocab_size())),
    ];
    all.extend(fields.into_iter().map(|(key, value)| (format!("{architecture}.{key}"), value)));
    all
}

type Fields = Vec<(&'static str, Value)>;

fn phi_fields(config: &phi::Config) -> Fields {
    let mut fields = vec![
        ("context_length", number(config.max_position_embeddings)),
        ("embedding_length", number(config.hidden_size)),
        ("feed_forward_length", number(config.intermediate_size)),
        ("block_count", number(config.num_hidden_layers)),
        ("attention.layer_norm_epsilon", fraction(config.layer_norm_eps)),
    ];
    fields.extend(attention_fields(config.heads(), config.rotated(), config.rope()));
    fields
}

fn llama_fields(config: &llama::Config) -> Fields {
    let mut fields = vec![
        ("context_length", number(config.max_position_embeddings)),
        ("embedding_length", number(config.hidden_size)),
        ("feed_forward_length", number(config.intermediate_size)),
        ("block_count", number(config.num_hidden_layers)),
        ("attention.layer_norm_rms_epsilon", fraction(config.rms_norm_eps)),
    ];
    fields.extend(attention_fields(config.heads(), config.heads().dim, config.rope()));
    fields
}

/// Stretching by one factor for each frequency is no entry but a tensor.
fn attention_fields(heads: HeadShape, rotated: usize, (theta, scaling): (f64, Scaling)) -> Fields {
    let mut fields = vec![
        ("attention.head_count", number(heads.heads)),
        ("attention.head_count_kv", number(heads.kv_heads)),
        ("attention.key_length", number(heads.dim)),
        ("attention.value_length", number(heads.dim)),
        ("rope.dimension_count", number(rotated)),
        ("rope.freq_base", fraction(theta)),
    ];
    if let Scaling::Linear { factor } = scaling {
        fields.push(("rope.scaling.type", text("linear")));
        fields.push(("rope.scaling.factor", Value::F32(factor)));
    }
    fields
}

fn number(n: usize) -> Value {
    Value::U32(n as u32)
}

fn fraction(n: f64) -> Value {
    Value::F32(n as f32)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}
