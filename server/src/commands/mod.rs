//! What each command does.

mod admin;
mod ask;
mod bench;
mod debug;
mod models;
mod plugin;
mod serve;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::catalog::Library;
use crate::cli::Command;
use crate::settings::Settings;

/// Runs a command to its end.
///
/// # Errors
/// In words for the person at the terminal.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve(given) => serve::run(given.resolve()?)?,
        Command::Admin(command) => admin::run(command)?,
        Command::Ask(ask) => ask::run(&ask)?,
        Command::Models(command) => return models::run(command),
        Command::Plugin(command) => return plugin::run(command),
        Command::Bench(bench) => bench::run(&bench)?,
        Command::Debug(command) => debug::run(command)?,
        Command::PluginScan { path } => return Ok(jnana_plugin_host::scan_child_main(&path)),
        Command::PluginCheckChild { test, task } => {
            return Ok(jnana_plugin_check::check_child_main(&test, &task));
        }
        Command::PluginWorker { parent, sockets } => {
            return Ok(jnana_plugin_host::worker_child_main(parent, &sockets));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the async runtime")
}

fn library(settings: &Settings) -> Library {
    Library::new(settings.home.join("models"), settings.network.clone())
}
