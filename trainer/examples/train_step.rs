//! Times whole training steps (forward, backward, clipping, AdamW) of stage 1 or stage 2 on random weights in a model's
//! shapes; `train_step.py` does the same with PyTorch and peft on the same folder:
//!
//! ```text
//! cargo run --release -p jnana-trainer --example train_step -- FOLDER --stage align|tune [--shape smollm2-135m|phi-2]
//!     [--device cpu|cuda] [--nf4] [--steps N] [--recompute]
//! ```
//!
//! FOLDER is written when it is not there. SmolLM2's step has 8 rows of 80 positions with a picture of 49 × 1,280 first and
//! 27 targets last, phi-2's the recipe's 4 rows of 107 with 49 × 768 and 31. Prints milliseconds, positions a second and
//! the process's peak memory.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use clap::{Parser, ValueEnum};
use jnana_kernels::{process, usage};
use jnana_models::config::Config;
use jnana_models::phi;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_models::synthetic::{Format, write_random};
use jnana_models::weights::Quantization;
use jnana_models::{Adapter, LoadOptions, LoraConfig, Mode, load_decoder, parse_device};
use jnana_trainer::data::batch::Batch;
use jnana_trainer::learner::Learner;
use jnana_trainer::train::optimizer::{AdamW, AdamWSettings, Group};
use serde_json::json;

/// Positions of a picture.
const PICTURE: usize = 49;
const RATE: f64 = 1e-4;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
struct Arguments {
    folder: PathBuf,
    #[arg(long)]
    stage: Stage,
    #[arg(long, default_value = "smollm2-135m")]
    shape: Shape,
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The frozen weights in NF4.
    #[arg(long)]
    nf4: bool,
    #[arg(long, default_value_t = 10)]
    steps: usize,
    #[arg(long)]
    recompute: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Stage {
    Align,
    Tune,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    #[value(name = "smollm2-135m")]
    SmolLm2,
    #[value(name = "phi-2")]
    Phi2,
}

/// What is trained on: sizes of the network and of a batch.
struct Case {
    config: Config,
    rows: usize,
    positions: usize,
    targets: usize,
    /// Channels of a picture's positions.
    channels: usize,
    rank: usize,
    modules: &'static [&'static str],
}

impl Shape {
    fn case(self) -> Outcome<Case> {
        let case = match self {
            Self::SmolLm2 => Case {
                config: smollm2_135m()?,
                rows: 8,
                positions: 80,
                targets: 27,
                channels: 1280,
                rank: 16,
                modules: &["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
            },
            Self::Phi2 => Case {
                config: Config::Phi(phi::Config::phi2()),
                rows: 4,
                positions: 107,
                targets: 31,
                channels: 768,
                rank: 64,
                modules: &["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
            },
        };
        Ok(case)
    }
}

/// The work runs on a thread of rayon's pool: from outside, every parallel operation would hand over to it and sleep.
fn main() -> Outcome<()> {
    process::settle_threads();
    process::sleep_between_tasks();
    process::keep_freed_memory();
    let arguments = Arguments::parse();
    rayon::scope(|_| time(&arguments))
}

fn time(arguments: &Arguments) -> Outcome<()> {
    let (case, device) = (arguments.shape.case()?, parse_device(&arguments.device)?);
    if !arguments.folder.join("model.safetensors").is_file() {
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        write_random(&arguments.folder, &case.config, Format::Safetensors(dtype), 0)?;
    }
    let (learner, mut optimizer) = case.learner(arguments, &device)?;
    let batch = case.batch()?.to_device(&device)?;
    let mut times = Vec::with_capacity(arguments.steps);
    for step in 0..=arguments.steps {
        let started = Instant::now();
        let mut gradients = optimizer.gradients();
        let loss =
            learner.backward(&batch, arguments.recompute, &mut gradients)? / batch.target_count() as f64;
        gradients.scale(1. / batch.target_count() as f64);
        let norm = gradients.clip(1.)?;
        optimizer.step(&gradients, RATE)?;
        device.synchronize()?;
        match step {
            0 => println!("loss {loss:.4}, gradient's norm {norm:.4e}"),
            _ => times.push(started.elapsed()),
        }
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).map_or(0., Duration::as_secs_f64);
    println!("{:.0} ms a step (median of {})", 1e3 * median, arguments.steps);
    println!("{:.0} positions a second", (case.rows * case.positions) as f64 / median);
    match usage::memory("self", "VmHWM") {
        Some(bytes) => println!("{:.2} GB of memory at most", bytes as f64 / 1e9),
        None => println!("this system does not say how much memory it took"),
    }
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

impl Case {
    /// Stage 1's learner, or stage 2's with an adapter on all linears of the layers.
    fn learner(&self, arguments: &Arguments, device: &Device) -> Outcome<(Learner, AdamW)> {
        let mut groups = Vec::new();
        let mut adapter = None;
        if arguments.stage == Stage::Tune {
            let lora = LoraConfig {
                r: self.rank,
                lora_alpha: 32.,
                lora_dropout: 0.,
                target_modules: self.modules.iter().map(|&module| module.to_owned()).collect(),
            };
            let (trainable, variables) = Adapter::random(lora, &self.config, 0, device)?.trainable(0)?;
            groups.extend(Group::by_decay(variables, 1., 0.));
            adapter = Some(Arc::new(trainable));
        }
        let options = LoadOptions {
            mode: Mode::Training,
            quantize: arguments.nf4.then_some(Quantization::Nf4),
            adapter: adapter.clone(),
            ..LoadOptions::new(device.clone())
        };
        let decoder = load_decoder(&arguments.folder, &options)?.decoder;
        let info = ProjectorInfo {
            space: String::new(),
            encoder: String::new(),
            d_in: self.channels,
            width: decoder.shape().width,
            trained: false,
        };
        let (projector, variables) = Projector::random(info, None, 0, device)?.trainable()?;
        groups.extend(Group::by_decay(variables, 1., 0.));
        let optimizer = AdamW::new(groups, AdamWSettings::default())?;
        Ok((Learner { decoder, projector: Some(projector), adapter }, optimizer))
    }

    fn batch(&self) -> Outcome<Batch> {
        let Self { rows, positions, targets, channels, .. } = *self;
        let (n, vocabulary) = (rows * positions, self.config.vocab_size());
        let ids = |factor: usize| (0..n).map(|i| (i * factor % vocabulary) as u32).collect::<Vec<_>>();
        let origin = (0..n).map(|i| match i % positions {
            position if position < PICTURE => n + i / positions * PICTURE + position,
            _ => i,
        });
        let origin: Vec<u32> = origin.map(|row| row as u32).collect();
        let predicting: Vec<u32> =
            (0..n as u32).filter(|row| *row as usize % positions + targets >= positions).collect();
        let predicting = Tensor::new(predicting, &Device::Cpu)?;
        let values: Vec<f32> = (0..rows * PICTURE * channels).map(|i| (i as f32 * 0.37).sin()).collect();
        Ok(Batch {
            ids: Tensor::from_vec(ids(7919), (rows, positions), &Device::Cpu)?,
            mask: None,
            features: Some(Tensor::from_vec(values, (rows, PICTURE, channels), &Device::Cpu)?),
            origin: Tensor::from_vec(origin, n, &Device::Cpu)?,
            targets: Tensor::from_vec(ids(10_007), n, &Device::Cpu)?.index_select(&predicting, 0)?,
            predicting,
            records: Vec::new(),
            positions: n,
        })
    }
}
