//! Times whole training steps (forward, backward, clipping, AdamW) of stage 1 and stage 2 on random weights in
//! SmolLM2-135M's shapes; `train_step.py` does the same with PyTorch and peft on the same folder:
//! `cargo run --release -p jnana-trainer --example train_step -- FOLDER align|tune [STEPS] [recompute]`.
//!
//! FOLDER is written when it is not there. A step has 8 rows of 80 positions: a picture's 49, then text, whose last 27 are
//! targets. Prints milliseconds, positions a second and the process's peak memory.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use jnana_kernels::process;
use jnana_models::config::Config;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_models::synthetic::{Format, write_random};
use jnana_models::{Adapter, LoadOptions, LoraConfig, Mode, load_decoder};
use jnana_trainer::data::batch::Batch;
use jnana_trainer::learner::Learner;
use jnana_trainer::train::optimizer::{AdamW, AdamWSettings, Group};
use serde_json::json;

const ROWS: usize = 8;
const POSITIONS: usize = 80;
const TARGETS: usize = 27;
/// Positions and channels of a picture.
const PICTURE: (usize, usize) = (49, 1280);
const RATE: f64 = 1e-4;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The work runs on a thread of rayon's pool: from outside, every parallel operation would hand over to it and sleep.
fn main() -> Outcome<()> {
    process::settle_threads();
    process::sleep_between_tasks();
    process::keep_freed_memory();
    rayon::scope(|_| time())
}

fn time() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, stage, rest @ ..] = arguments.as_slice() else {
        return Err("usage: train_step FOLDER align|tune [STEPS] [recompute]".into());
    };
    let steps: usize = rest.first().map_or(Ok(10), |steps| steps.parse())?;
    let recompute = rest.get(1).is_some_and(|word| word == "recompute");
    let folder = Path::new(folder);
    let config = smollm2_135m()?;
    if !folder.join("config.json").is_file() {
        write_random(folder, &config, Format::Safetensors(DType::F32), 0)?;
    }
    let (learner, mut optimizer) = learner(folder, &config, stage == "tune")?;
    let batch = batch(config.vocab_size())?;
    let mut times = Vec::with_capacity(steps);
    for step in 0..=steps {
        let started = Instant::now();
        let mut gradients = optimizer.gradients();
        let loss = learner.backward(&batch, recompute, &mut gradients)? / batch.target_count() as f64;
        gradients.scale(1. / batch.target_count() as f64);
        let norm = gradients.clip(1.)?;
        optimizer.step(&gradients, RATE)?;
        match step {
            0 => println!("loss {loss:.4}, gradient's norm {norm:.4e}"),
            _ => times.push(started.elapsed()),
        }
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).map_or(0., Duration::as_secs_f64);
    println!("{:.0} ms a step (median of {steps})", 1e3 * median);
    println!("{:.0} positions a second", (ROWS * POSITIONS) as f64 / median);
    println!("{}", peak_memory()?);
    Ok(())
}

fn smollm2_135m() -> Outcome<Config> {
    let config = json!({
        "model_type": "llama", "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10_000., "tie_word_embeddings": true,
    });
    Ok(Config::from_json(&config, Path::new("SmolLM2-135M"))?)
}

/// Stage 1's learner, or stage 2's with an adapter of rank 16 on all linears.
fn learner(folder: &Path, config: &Config, tune: bool) -> Outcome<(Learner, AdamW)> {
    let mut groups = Vec::new();
    let mut adapter = None;
    if tune {
        let modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
        let lora = LoraConfig {
            r: 16,
            lora_alpha: 32.,
            lora_dropout: 0.,
            target_modules: modules.map(String::from).into(),
        };
        let (trainable, variables) = Adapter::random(lora, config, 0, &Device::Cpu)?.trainable(0)?;
        groups.extend(Group::by_decay(variables, 1., 0.));
        adapter = Some(Arc::new(trainable));
    }
    let options =
        LoadOptions { mode: Mode::Training, adapter: adapter.clone(), ..LoadOptions::new(Device::Cpu) };
    let decoder = load_decoder(folder, &options)?.decoder;
    let info = ProjectorInfo {
        space: String::new(),
        encoder: String::new(),
        d_in: PICTURE.1,
        width: decoder.shape().width,
        trained: false,
    };
    let (projector, variables) = Projector::random(info, None, 0, &Device::Cpu)?.trainable()?;
    groups.extend(Group::by_decay(variables, 1., 0.));
    let optimizer = AdamW::new(groups, AdamWSettings::default())?;
    Ok((Learner { decoder, projector: Some(projector), adapter }, optimizer))
}

fn batch(vocabulary: usize) -> Outcome<Batch> {
    let (n, (positions, channels)) = (ROWS * POSITIONS, PICTURE);
    let ids = |factor: usize| (0..n).map(|i| (i * factor % vocabulary) as u32).collect::<Vec<_>>();
    let origin = (0..n).map(|i| match i % POSITIONS {
        position if position < positions => n + i / POSITIONS * positions + position,
        _ => i,
    });
    let origin: Vec<u32> = origin.map(|row| row as u32).collect();
    let predicting: Vec<u32> =
        (0..n as u32).filter(|row| *row as usize % POSITIONS + TARGETS >= POSITIONS).collect();
    let predicting = Tensor::new(predicting, &Device::Cpu)?;
    let values: Vec<f32> = (0..ROWS * positions * channels).map(|i| (i as f32 * 0.37).sin()).collect();
    Ok(Batch {
        ids: Tensor::from_vec(ids(7919), (ROWS, POSITIONS), &Device::Cpu)?,
        mask: None,
        features: Some(Tensor::from_vec(values, (ROWS, positions, channels), &Device::Cpu)?),
        origin: Tensor::from_vec(origin, n, &Device::Cpu)?,
        targets: Tensor::from_vec(ids(10_007), n, &Device::Cpu)?.index_select(&predicting, 0)?,
        predicting,
        records: Vec::new(),
        positions: n,
    })
}

/// Linux's line about the process's largest resident set.
fn peak_memory() -> std::io::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown").to_owned())
}
