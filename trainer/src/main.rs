//! The jnana-trainer binary.

use std::process::ExitCode;

use clap::Parser;
use jnana_trainer::{cli::Cli, commands};

fn main() -> ExitCode {
    match commands::run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jnana-trainer: {error:#}");
            ExitCode::FAILURE
        }
    }
}
