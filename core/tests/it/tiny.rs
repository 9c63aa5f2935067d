//! A random Llama over bytes, small enough for every test, made as files and loaded as any model is.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use jnana_models::weights::Quantization;
use jnana_models::{LoadOptions, Loaded, load_decoder};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Map, Value, json};

pub const WIDTH: usize = 32;
pub const MAX_POSITIONS: usize = 512;
/// Bytes of keys and values of one position: two layers of two heads of eight floats, twice.
pub const CACHE_BYTES: usize = 2 * 2 * 2 * 8 * 4;

/// Ids 0 to 255 are the bytes; behind them come these.
const SPECIAL: [&str; 3] = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"];
pub const IM_END: u32 = 257;

const INNER: usize = 64;
const KV_WIDTH: usize = 16;
const VOCAB: usize = 256 + SPECIAL.len();

/// The network and its tokenizer; the weights are the same at every call.
pub fn load() -> Loaded {
    load_with(None)
}

/// The same in blocks of 8 bits, which the CPU multiplies packed.
pub fn load_packed() -> Loaded {
    load_with(Some(Quantization::Q8_0))
}

fn load_with(quantize: Option<Quantization>) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    load_decoder(folder.path(), &LoadOptions { quantize, ..LoadOptions::new(Device::Cpu) }).unwrap()
}

fn write(folder: &Path) {
    let save = |name: &str, value: &Value| std::fs::write(folder.join(name), value.to_string()).unwrap();
    save("config.json", &config());
    save("tokenizer.json", &tokenizer());
    save("tokenizer_config.json", &json!({"eos_token": "<|im_end|>", "add_bos_token": false}));
    candle_core::safetensors::save(&weights(), folder.join("model.safetensors")).unwrap();
}

fn config() -> Value {
    json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": VOCAB, "hidden_size": WIDTH,
        "intermediate_size": INNER, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": MAX_POSITIONS, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": false, "eos_token_id": IM_END
    })
}

fn weights() -> HashMap<String, Tensor> {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut uniform = |shape: &[usize], scale: f32| {
        let n = shape.iter().product();
        let values: Vec<f32> =
            (0..n).map(|_| (random.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0) * scale).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    let mut weights = HashMap::new();
    weights.insert("model.embed_tokens.weight".to_owned(), uniform(&[VOCAB, WIDTH], 1.0));
    weights.insert("lm_head.weight".to_owned(), uniform(&[VOCAB, WIDTH], 1.0));
    for layer in 0..2 {
        let linears = [
            ("self_attn.q_proj", WIDTH, WIDTH),
            ("self_attn.k_proj", KV_WIDTH, WIDTH),
            ("self_attn.v_proj", KV_WIDTH, WIDTH),
            ("self_attn.o_proj", WIDTH, WIDTH),
            ("mlp.gate_proj", INNER, WIDTH),
            ("mlp.up_proj", INNER, WIDTH),
            ("mlp.down_proj", WIDTH, INNER),
        ];
        for (name, rows, columns) in linears {
            weights.insert(format!("model.layers.{layer}.{name}.weight"), uniform(&[rows, columns], 0.5));
        }
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            weights.insert(format!("model.layers.{layer}.{norm}.weight"), ones());
        }
    }
    weights.insert("model.norm.weight".to_owned(), ones());
    weights
}

fn ones() -> Tensor {
    Tensor::ones(WIDTH, candle_core::DType::F32, &Device::Cpu).unwrap()
}

/// A byte-level BPE without merges.
fn tokenizer() -> Value {
    let vocab: Map<String, Value> =
        (0..=255).map(|byte: u8| (printable(byte).to_string(), json!(byte))).collect();
    let special = |(id, token): (usize, &&str)| {
        json!({"id": 256 + id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": SPECIAL.iter().enumerate().map(special).collect::<Vec<_>>(),
        "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []}
    })
}

/// GPT-2's printable stand-in for a byte.
fn printable(byte: u8) -> char {
    let stands_for_itself = |b: u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    if stands_for_itself(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !stands_for_itself(b)).count() as u32;
    char::from_u32(256 + before).unwrap()
}
