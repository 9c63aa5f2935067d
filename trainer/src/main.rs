//! The jnana-trainer binary.

use std::process::ExitCode;

use clap::Parser;
use jnana_core::report::with_causes;
use jnana_kernels::process;
use jnana_trainer::{cli::Cli, commands};

fn main() -> ExitCode {
    process::settle_threads();
    process::sleep_between_tasks();
    process::keep_freed_memory();
    match commands::run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jnana-trainer: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
