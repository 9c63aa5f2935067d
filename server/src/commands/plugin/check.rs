//! `jnana plugin check`.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use jnana_plugin_check::{Options, Task, TestResult, check};
use jnana_plugin_host::scan::scan;
use serde_json::{Map, Value};

use crate::assistant::resolve_model;
use crate::catalog::Catalog;
use crate::cli::Check;
use crate::settings::Settings;

/// How long the library may take to show its manifest, when its models are looked for.
const SCAN_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run(given: &Check) -> Result<ExitCode> {
    let settings = given.given.clone().resolve()?;
    let library = std::path::absolute(&given.library)?;
    let cache = tempfile::tempdir().context("making a folder for the plugin")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let task = Task {
        seed: given.seed.unwrap_or(now.as_secs()),
        settings: plugin_settings(&settings, &library),
        space: given.space.clone(),
        width: given.width,
        cache_dir: cache.path().to_owned(),
        input: given.input.as_ref().map(std::path::absolute).transpose()?,
        library,
    };
    let options = Options {
        exe: settings.program.clone(),
        limit: Duration::from_secs(given.limit.max(1)),
        only: given.tests.clone(),
    };
    // A report for a program comes at the end and alone; whoever watches still sees how far it is.
    let show = |result: &TestResult| match given.json {
        false => println!("{result}"),
        true if stderr().is_terminal() => eprintln!("{result}"),
        true => {}
    };
    let report = check(&task, &options, show).map_err(anyhow::Error::msg)?;
    if given.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The plugin's settings with the paths of its models. What cannot be had is left as it is: the plugin says so itself.
fn plugin_settings(settings: &Settings, library: &std::path::Path) -> Map<String, Value> {
    let Ok(manifest) = scan(&settings.program, library, SCAN_LIMIT) else { return Map::new() };
    let mut given = settings.plugin_settings.get(&manifest.id).cloned().unwrap_or_default();
    let Ok(catalog) = Catalog::built_in() else { return given };
    let models = crate::commands::library(settings);
    for model in &manifest.models {
        match resolve_model(&catalog, &models, model, given.get(&model.setting)) {
            Ok(path) => {
                given.insert(model.setting.clone(), path.display().to_string().into());
            }
            Err(why) => eprintln!("the model for the setting {} is not there: {why}", model.setting),
        }
    }
    given
}
