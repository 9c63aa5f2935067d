//! What `jnana-trainer` does: one file a command.

mod answer;
mod draw;
mod eval;
mod export;
mod merge;
mod params;
mod tokenizer;
mod train;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device};

use crate::cli::Command;
use crate::recipe::Stage;

/// Runs a command.
///
/// # Errors
/// In words for a person: what happened, why, what to do.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Pretrain(train) => train::run(&train, Stage::Pretrain),
        Command::Align(train) => train::run(&train, Stage::Align),
        Command::Tune(train) => train::run(&train, Stage::Tune),
        Command::Features(train) => train::features(&train),
        Command::Merge(merge) => merge::run(&merge),
        Command::Export(export) => export::run(&export),
        Command::Params(params) => params::run(&params),
        Command::Eval(eval) => eval::run(&eval),
        Command::Answer(answer) => answer::run(&answer),
        Command::Tokenizer(tokenizer) => tokenizer::run(&tokenizer),
        Command::Draw(draw) => draw::run(&draw),
    }
}

/// The device of this name.
fn device(name: &str) -> Result<Device> {
    match name.strip_prefix("cuda") {
        None if name == "cpu" => Ok(Device::Cpu),
        None => bail!("--device: expected cpu, cuda or cuda:N, got {name}"),
        Some(_) if !cfg!(feature = "cuda") => {
            bail!("this program was built without CUDA; `cargo xtask cuda` builds one with it")
        }
        Some(rest) => {
            let index = rest.strip_prefix(':').map_or(Ok(0), str::parse).context("--device")?;
            Device::new_cuda(index)
                .with_context(|| format!("no CUDA device {index} can be used; --device cpu always works"))
        }
    }
}

/// The number type of this name.
fn dtype(name: &str) -> Result<DType> {
    match name {
        "f32" => Ok(DType::F32),
        "f16" => Ok(DType::F16),
        "bf16" => Ok(DType::BF16),
        _ => bail!("--dtype: expected f32, f16 or bf16, got {name}"),
    }
}
