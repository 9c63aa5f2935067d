//! Continues a prompt greedily and prints tokens per second:
//! `cargo run --release -p jnana-models --example generate -- MODEL "Once upon a time" 100 [f16|q4_0|q8_0|…]`.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use jnana_models::decoder::{SequenceCache, Span};
use jnana_models::{LoadOptions, load_decoder};

/// The work runs on a thread of candle's pool, as an engine's does: from outside, every parallel operation would hand
/// over to the pool and sleep.
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    Device::Cpu.with_context(generate)
}

fn generate() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, path, prompt, rest @ ..] = args.as_slice() else {
        return Err("usage: generate MODEL PROMPT [TOKENS] [f16|QUANTISATION]".into());
    };
    let count: usize = rest.first().map_or(Ok(100), |n| n.parse())?;
    let mut options = LoadOptions::new(Device::Cpu);
    match rest.get(1).map(String::as_str) {
        Some("f16") => options.dtype = Some(DType::F16),
        Some(name) => options.quantize = Some(name.parse()?),
        None => {}
    }
    let started = Instant::now();
    let loaded = load_decoder(Path::new(path), &options)?;
    let (decoder, tokenizer) = (loaded.decoder, loaded.tokenizer.ok_or("the model has no tokenizer")?);
    let megabytes = loaded.info.weight_bytes / 1_000_000;
    println!(
        "{} ({} parameters, {megabytes} MB) in {:?}",
        loaded.info.name,
        loaded.info.parameters,
        started.elapsed()
    );

    let ids = tokenizer.encode_markup(prompt)?;
    let mut cache = SequenceCache::new(decoder.shape(), ids.len() + count, DType::F32, &Device::Cpu)?;
    let mut stream = tokenizer.stream();
    let started = Instant::now();
    let mut next = step(decoder.as_ref(), &ids, &mut cache)?;
    let prefill = started.elapsed();
    let started = Instant::now();
    let mut made = 0;
    while made < count && !tokenizer.eos_ids().contains(&next) {
        made += 1;
        if let Some(text) = stream.push(next)? {
            print!("{text}");
            std::io::stdout().flush()?;
        }
        if made < count {
            next = step(decoder.as_ref(), &[next], &mut cache)?;
        }
    }
    let decode = started.elapsed();
    println!("\nprefill: {} tokens, {:.1}/s", ids.len(), ids.len() as f64 / prefill.as_secs_f64());
    println!("decode: {made} tokens, {:.1}/s", made.saturating_sub(1) as f64 / decode.as_secs_f64());
    Ok(())
}

fn step(
    decoder: &dyn jnana_models::decoder::Decoder,
    ids: &[u32],
    cache: &mut SequenceCache,
) -> Result<u32, candle_core::Error> {
    let rows = decoder.embed(&Tensor::new(ids, &Device::Cpu)?)?;
    let hidden = decoder.forward_ragged(&rows, &mut [Span { cache, rows: ids.len() }])?;
    let last = decoder.logits(&hidden.narrow(0, ids.len() - 1, 1)?)?;
    last.squeeze(0)?.argmax(0)?.to_scalar::<u32>()
}
