//! The jnana-trainer binary.

use std::process::ExitCode;

use clap::Parser;
use jnana_core::report::with_causes;
use jnana_trainer::{cli::Cli, commands};

fn main() -> ExitCode {
    match commands::run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jnana-trainer: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
