//! Writes a model of random weights in phi-2's exact shapes:
//! `cargo run --release -p jnana-models --example random_phi2 -- FOLDER [f16|bf16|q4_0|q8_0|…] [FOLDER WITH TOKENIZER]`.

use std::path::Path;
use std::time::Instant;

use candle_core::DType;
use jnana_models::config::Config;
use jnana_models::export::copy_tokenizer;
use jnana_models::phi;
use jnana_models::synthetic::{Format, write_random};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, folder, rest @ ..] = args.as_slice() else {
        return Err("usage: random_phi2 FOLDER [f16|bf16|QUANTISATION] [FOLDER WITH TOKENIZER]".into());
    };
    let format = match rest.first().map(String::as_str) {
        None | Some("f16") => Format::Safetensors(DType::F16),
        Some("bf16") => Format::Safetensors(DType::BF16),
        Some(quantization) => Format::Gguf(quantization.parse()?),
    };
    let started = Instant::now();
    write_random(Path::new(folder), &Config::Phi(phi::Config::phi2()), format, 0)?;
    if let Some(tokenizer) = rest.get(1) {
        copy_tokenizer(Path::new(tokenizer), Path::new(folder))?;
    }
    println!("{folder} in {:?}", started.elapsed());
    Ok(())
}
