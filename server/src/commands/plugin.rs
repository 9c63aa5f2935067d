//! `jnana plugin`.

use anyhow::{Context, Result};
use jnana_api::plugins::PluginState;

use crate::assistant::open_plugins;
use crate::catalog::Catalog;
use crate::cli::Plugin;

pub(super) fn run(command: Plugin) -> Result<()> {
    match command {
        Plugin::List { given } => {
            let settings = given.resolve()?;
            crate::telemetry::start(settings.log_format);
            // Outside a server there is no embedding space to ask for.
            let host = open_plugins(&settings, &Catalog::built_in()?, &super::library(&settings), "", 0)?;
            for plugin in host.list() {
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
