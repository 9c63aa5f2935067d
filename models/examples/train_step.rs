//! Times a training step of stage 1 (frozen network, gradient to the input embeddings) on random weights in
//! SmolLM2-135M's shapes; `train_step.py` does the same with PyTorch on the same folder:
//! `cargo run --release -p jnana-models --example train_step -- FOLDER [TARGETS A SEQUENCE] [STEPS] [QUANTISATION]`.
//!
//! FOLDER is written when it is not there. Prints loss and norm of the gradient, which both programs have to agree on,
//! then milliseconds, positions a second and the process's peak memory.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use jnana_models::config::Config;
use jnana_models::decoder::Decoder;
use jnana_models::synthetic::{Format, write_random};
use jnana_models::{LoadOptions, Mode, load_decoder};
use serde_json::json;

const BATCH: usize = 8;
const POSITIONS: usize = 80;

/// The work runs on a thread of rayon's pool: from outside, every parallel operation would hand over to it and sleep.
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    rayon::scope(|_| train())
}

fn train() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, folder, rest @ ..] = args.as_slice() else {
        return Err("usage: train_step FOLDER [TARGETS A SEQUENCE] [STEPS] [QUANTISATION]".into());
    };
    // A picture's 49 positions and the marker's 4 have no targets.
    let targets: usize = rest.first().map_or(Ok(27), |n| n.parse())?;
    let steps: usize = rest.get(1).map_or(Ok(10), |n| n.parse())?;
    let quantize = rest.get(2).map(|name| name.parse()).transpose()?;
    let folder = Path::new(folder);
    if !folder.join("config.json").is_file() {
        write_random(folder, &smollm2_135m()?, Format::Safetensors(DType::F32), 0)?;
    }
    let options = LoadOptions { mode: Mode::Training, quantize, ..LoadOptions::new(Device::Cpu) };
    let loaded = load_decoder(folder, &options)?;
    println!("{} parameters in {} MB", loaded.info.parameters, loaded.info.weight_bytes / 1_000_000);
    let decoder = loaded.decoder;
    let batch = Batch::new(decoder.as_ref(), targets)?;
    let mut times = Vec::with_capacity(steps);
    for step in 0..=steps {
        let started = Instant::now();
        let (loss, norm) = batch.step(decoder.as_ref())?;
        match step {
            0 => println!("loss {loss:.6}, gradient's norm {norm:.6e}"),
            _ => times.push(started.elapsed()),
        }
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).map_or(0., Duration::as_secs_f64);
    println!("{:.0} ms a step (median of {steps})", 1e3 * median);
    println!("{:.0} positions a second", (BATCH * POSITIONS) as f64 / median);
    println!("{}", peak_memory()?);
    Ok(())
}

fn smollm2_135m() -> Result<Config, Box<dyn Error + Send + Sync>> {
    let config = json!({
        "model_type": "llama", "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10_000., "tie_word_embeddings": true,
    });
    Ok(Config::from_json(&config, Path::new("SmolLM2-135M"))?)
}

/// Sequences whose last positions have a target.
struct Batch {
    embeds: Var,
    /// Rows of all sequences that have a target.
    rows: Tensor,
    /// Their targets.
    targets: Tensor,
}

impl Batch {
    fn new(decoder: &dyn Decoder, targets: usize) -> candle_core::Result<Self> {
        let (n, vocab) = (BATCH * POSITIONS, decoder.shape().vocab_size);
        let ids = |factor: usize| (0..n).map(|i| (i * factor % vocab) as u32).collect::<Vec<_>>();
        let inputs = Tensor::from_vec(ids(7919), (BATCH, POSITIONS), &Device::Cpu)?;
        let rows: Vec<u32> =
            (0..n as u32).filter(|row| *row as usize % POSITIONS + targets >= POSITIONS).collect();
        let next = Tensor::from_vec(ids(10_007), n, &Device::Cpu)?;
        let rows = Tensor::new(rows, &Device::Cpu)?;
        Ok(Self {
            embeds: Var::from_tensor(&decoder.embed(&inputs)?)?,
            targets: next.index_select(&rows, 0)?,
            rows,
        })
    }

    /// The loss and the norm of the embeddings' gradient.
    fn step(&self, decoder: &dyn Decoder) -> candle_core::Result<(f32, f32)> {
        let hidden = decoder.forward_padded(&self.embeds, None)?.flatten_to(1)?;
        let loss = decoder.losses(&hidden.index_select(&self.rows, 0)?, &self.targets)?.mean_all()?;
        let gradients = loss.backward()?;
        let Some(gradient) = gradients.get(&self.embeds) else {
            candle_core::bail!("the embeddings have no gradient");
        };
        Ok((loss.to_scalar()?, gradient.sqr()?.sum_all()?.sqrt()?.to_scalar()?))
    }
}

/// Linux's line about the process's largest resident set.
fn peak_memory() -> std::io::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown").to_owned())
}
