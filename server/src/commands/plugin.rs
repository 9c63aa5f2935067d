//! `jnana plugin`.

use std::sync::Arc;

use anyhow::{Context, Result};
use jnana_api::plugins::{PluginInfo, PluginState};
use jnana_core::report::with_causes;

use crate::assistant::{Assistant, open_plugins};
use crate::catalog::Catalog;
use crate::cli::Plugin;
use crate::settings::Settings;

/// The plugins as a server of these settings would have them. Nothing is fetched to list them: without the language
/// model there is no embedding space to ask encoders for.
fn plugins(settings: &Settings) -> Result<Vec<PluginInfo>> {
    let mut settings = settings.clone();
    settings.network.offline = true;
    let (catalog, library) = (Catalog::built_in()?, super::library(&settings));
    match Assistant::load(&settings, &catalog, &library, Arc::default()) {
        Ok(assistant) => Ok(assistant.inputs.list()),
        Err(error) => {
            let why = with_causes(error.as_ref());
            eprintln!("listed without a language model, which encoders need: {why}");
            Ok(open_plugins(&settings, &catalog, &library, None)?.list())
        }
    }
}

pub(super) fn run(command: Plugin) -> Result<()> {
    match command {
        Plugin::List { given } => {
            for plugin in plugins(&given.resolve()?)? {
                let state = match &plugin.state {
                    PluginState::Ready => "ready".to_owned(),
                    PluginState::Disabled => "switched off".to_owned(),
                    PluginState::Failed { reason } => format!("failed: {reason}"),
                };
                println!("{} ({}, sha256 {}): {state}", plugin.id, plugin.file, plugin.sha256);
                if !plugin.status.is_empty() {
                    println!("  {}", plugin.status);
                }
            }
        }
        Plugin::Pin { library } => {
            let library = std::path::absolute(library)?;
            let (folder, file) = (library.parent(), library.file_name().and_then(|name| name.to_str()));
            let (folder, file) =
                folder.zip(file).with_context(|| format!("{} is no library", library.display()))?;
            println!("{file}: sha256 {}", jnana_plugin_host::pin(folder, file)?);
        }
        Plugin::Install { library, given } => {
            let settings = given.resolve()?;
            println!("{}", jnana_plugin_host::install(&settings.plugins, &library)?.display());
        }
    }
    Ok(())
}
