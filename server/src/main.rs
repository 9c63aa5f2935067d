//! The jnana binary: serve, ask, models, plugin, bench, debug.

use std::process::ExitCode;

use clap::Parser;
use jnana_core::report::with_causes;
use jnana_kernels::process;
use jnana_server::{cli::Cli, commands};

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Some(threads) = command.threads() {
        process::take_threads(threads.get());
    }
    process::settle_threads();
    match commands::run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("jnana: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
