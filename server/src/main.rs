//! The jnana binary: serve, ask, models, plugin, debug.

use std::process::ExitCode;

use clap::Parser;
use jnana_core::report::with_causes;
use jnana_kernels::process;
use jnana_server::{cli::Cli, commands};

fn main() -> ExitCode {
    process::settle_threads();
    match commands::run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("jnana: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
