//! Memory as it is told before loading, beside what loading takes.

use std::path::Path;

use candle_core::DType;
use jnana_models::config::Config;
use jnana_models::synthetic::{Format, write_random};
use jnana_models::{LoadOptions, footprint, load_decoder, phi};

use crate::support::{cpu, fixture, network};

fn compare(path: &Path, options: &LoadOptions) {
    let told = footprint(path, options).unwrap();
    let loaded = load_decoder(path, options).unwrap();
    let taken = loaded.info.weight_bytes;
    let ratio = told.weights as f64 / taken as f64;
    assert!((0.85..1.2).contains(&ratio), "{}: told {}, taken {taken}", path.display(), told.weights);
    let position = loaded.decoder.shape().cache_bytes_per_position(DType::F32);
    assert_eq!(told.position, position as u64);
}

/// Large enough that tokens, norms and headers are a small part, as in a real one.
fn write(format: Format) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = phi::Config {
        vocab_size: 128,
        hidden_size: 256,
        intermediate_size: 1024,
        num_hidden_layers: 4,
        num_attention_heads: 8,
        num_key_value_heads: Some(4),
        ..phi::Config::phi2()
    };
    write_random(folder.path(), &Config::Phi(config), format, 3).unwrap();
    folder
}

#[test]
fn dense_weights_are_told_as_they_will_lie_in_memory() {
    for dtype in [DType::F32, DType::F16] {
        let folder = write(Format::Safetensors(dtype));
        compare(folder.path(), &cpu());
        for quantization in ["q4_0", "q8_0", "q4_k", "nf4"] {
            compare(folder.path(), &LoadOptions { quantize: Some(quantization.parse().unwrap()), ..cpu() });
        }
    }
}

#[test]
fn blocks_are_told_as_they_are() {
    for quantization in ["q4_0", "q8_0", "q6_k"] {
        let folder = write(Format::Gguf(quantization.parse().unwrap()));
        let mut files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let file = files.find(|file| file.extension().is_some_and(|it| it == "gguf"));
        compare(&file.unwrap(), &cpu());
    }
}

#[test]
fn what_is_no_model_is_an_error() {
    assert!(footprint(&fixture("nothing"), &cpu()).is_err());
    let wrong = LoadOptions { dtype: Some(DType::BF16), ..cpu() };
    assert!(footprint(&network("phi"), &wrong).unwrap_err().to_string().contains("BF16"));
}
