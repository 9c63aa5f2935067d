//! Writes a model as a GGUF file:
//! `cargo run --release -p jnana-models --example export_gguf -- MODEL FILE [f16|q8_0|q4_0|q4_k|…] [VOCABULARY ROWS]`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use jnana_models::config::Config;
use jnana_models::export_gguf::{GgufFormat, export_gguf, tokenizer_metadata};
use jnana_models::{LoadOptions, load_decoder, weights};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, model, file, rest @ ..] = args.as_slice() else {
        return Err("usage: export_gguf MODEL FILE [f16|QUANTISATION] [VOCABULARY ROWS]".into());
    };
    let format = rest.first().map_or(Ok(GgufFormat::F16), |name| name.parse())?;
    let rows = rest.get(1).map(|rows| rows.parse()).transpose()?;
    let started = Instant::now();
    let info = load_decoder(Path::new(model), &LoadOptions::new(Device::Cpu))?.info;
    let config = Config::from_json(&info.config, &info.path)?;
    let source = weights::open(&info.path)?;
    let tokenizer = tokenizer_metadata(&info.path)?;
    export_gguf(source.as_ref(), &config, tokenizer, rows, format, &info.name, Path::new(file))?;
    println!("{file} in {:?}", started.elapsed());
    Ok(())
}
