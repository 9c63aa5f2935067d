//! What `jnana-trainer` does: one file a command.

mod answer;
mod check;
mod draw;
mod eval;
mod export;
mod forms;
mod merge;
mod pack;
mod params;
mod tokenizer;
mod train;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use jnana_core::report::with_causes;
use jnana_models::parse_device;

use crate::assemble::Places;
use crate::cli::{Command, Inputs};
use crate::recipe::Stage;
use crate::train::events::{EndReason, Event};

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
        Command::Merge(merge) => ended(merge.output.json, merge::run(&merge)),
        Command::Export(export) => ended(export.output.json, export::run(&export)),
        Command::Pack(pack) => pack::run(&pack),
        Command::Params(params) => params::run(&params),
        Command::Eval(eval) => ended(eval.json, eval::run(&eval)),
        Command::Answer(answer) => answer::run(&answer),
        Command::Tokenizer(tokenizer) => tokenizer::run(&tokenizer),
        Command::Draw(draw) => draw::run(&draw),
        Command::Forms(forms) => forms::run(&forms),
        Command::Check(check) => check::run(&check),
    }
}

/// Tells whoever reads events how work of one step ended.
fn ended(told: bool, result: Result<()>) -> Result<()> {
    if told {
        let (reason, message) = match &result {
            Ok(()) => (EndReason::Finished, None),
            Err(error) => (EndReason::Failed, Some(with_causes(error.as_ref()))),
        };
        let end = Event::End { step: u64::from(result.is_ok()), reason, message };
        println!("{}", serde_json::to_string(&end)?);
    }
    result
}

/// Where things lie; the pictures' features are in the folder `beside` where nothing else is said.
fn places(inputs: &Inputs, runs: PathBuf, beside: &Path) -> Result<Places> {
    for (name, folder) in [("--data", &inputs.data), ("--models", &inputs.models)] {
        ensure!(folder.is_dir(), "{name}: there is no folder {}", folder.display());
    }
    Ok(Places {
        data: inputs.data.clone(),
        models: inputs.models.clone(),
        runs,
        features: inputs.features.clone().unwrap_or_else(|| beside.join("features")),
        device: parse_device(&inputs.device)?,
    })
}
