//! `jnana plugin`.

mod check;
mod install;
mod new;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use jnana_api::plugins::{PluginInfo, PluginState, Runs};
use jnana_core::report::with_causes;
use jnana_plugin_host::install::{pin_checked, remove, switch};
use jnana_plugin_host::{InstallOptions, Trust};

use crate::assistant::{Assistant, open_plugins};
use crate::catalog::Catalog;
use crate::cli::{Named, Plugin, TrustLevel};
use crate::settings::Settings;

/// The plugins as a server of these settings would have them. Nothing is fetched to list them: without the language
/// model there is no embedding space to ask encoders for.
fn plugins(settings: &Settings) -> Result<Vec<PluginInfo>> {
    let mut settings = settings.clone();
    settings.network.offline = true;
    let (catalog, library) = (Catalog::built_in()?, crate::commands::library(&settings));
    match Assistant::load(&settings, &catalog, &library, Arc::default()) {
        Ok(assistant) => Ok(assistant.inputs.list()),
        Err(error) => {
            let why = with_causes(error.as_ref());
            eprintln!("listed without a language model, which encoders need: {why}");
            Ok(open_plugins(&settings, &catalog, &library, None)?.list())
        }
    }
}

pub(super) fn run(command: Plugin) -> Result<ExitCode> {
    match command {
        Plugin::List { given } => {
            for plugin in plugins(&given.resolve()?)? {
                print(&plugin);
            }
        }
        Plugin::New(given) => new::run(&given)?,
        Plugin::Install(install) => install::run(&install)?,
        Plugin::Enable(named) => switched(named, true)?,
        Plugin::Disable(named) => switched(named, false)?,
        Plugin::Remove(Named { name, given }) => {
            println!("{}: removed", remove(&given.resolve()?.plugins, &name)?);
        }
        Plugin::Check(check) => return check::run(&check),
        Plugin::Verify { given } => return install::verify(&given.resolve()?),
        Plugin::Pin { library, trust } => {
            let library = std::path::absolute(library)?;
            let (folder, file) = (library.parent(), library.file_name().and_then(|name| name.to_str()));
            let (folder, file) =
                folder.zip(file).with_context(|| format!("{} is no library", library.display()))?;
            let exe = Some(std::env::current_exe().context("finding the running program")?);
            let options = InstallOptions { exe, trust: trust.into(), ..InstallOptions::default() };
            println!("{file}: sha256 {}", pin_checked(folder, file, &options)?.pin.sha256);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl From<TrustLevel> for Trust {
    fn from(level: TrustLevel) -> Self {
        match level {
            TrustLevel::Full => Self::Full,
            TrustLevel::Contained => Self::Contained,
        }
    }
}

fn switched(Named { name, given }: Named, on: bool) -> Result<()> {
    let file = switch(&given.resolve()?.plugins, &name, on)?;
    println!("{file}: switched {}, from the next start on", if on { "on" } else { "off" });
    Ok(())
}

fn print(plugin: &PluginInfo) {
    let state = match &plugin.state {
        PluginState::Ready => "ready".to_owned(),
        PluginState::Disabled => "switched off".to_owned(),
        PluginState::Failed { reason } => format!("failed: {reason}"),
    };
    let runs = match plugin.runs {
        Some(Runs::InProcess) => ", in process",
        Some(Runs::Worker) => ", in a worker",
        None => "",
    };
    println!("{} ({}{runs}, sha256 {}): {state}", plugin.id, plugin.file, plugin.sha256);
    if !plugin.status.is_empty() {
        println!("  {}", plugin.status);
    }
}
