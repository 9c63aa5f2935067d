//! One plugin, called through the host as serving does.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use jnana_plugin_host::CancelFlag;
use serde_json::{Value, json};

use super::median;
use crate::assistant::Assistant;
use crate::catalog::Catalog;
use crate::cli::Bench;

/// Calls the plugin `id` with the input again and again, and says how long it takes.
pub(super) fn report(bench: &Bench, id: &str) -> Result<Value> {
    let mut settings = bench.given.clone().resolve()?;
    if let Some(threads) = bench.threads {
        settings.plugin_threads = threads.get();
    }
    let library = super::super::library(&settings);
    let assistant = Assistant::load(&settings, &Catalog::built_in()?, &library, Arc::default())?;
    let file = bench.input.as_deref().context("--input is missing")?;
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    // What an encoder made is kept by content, so it is called where nothing is kept.
    let encodes = assistant.inputs.embed(id, &bytes).is_ok();
    let call = || match encodes {
        true => assistant.inputs.embed(id, &bytes).map(drop),
        false => assistant.inputs.interpret(id, "", &bytes, &CancelFlag::new()).map(drop),
    };
    call()?;
    let mut times = Vec::with_capacity(bench.repeat.get());
    for _ in 0..bench.repeat.get() {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let best = times.iter().copied().min_by(f64::total_cmp);
    Ok(json!({ "plugin": id, "repeat": times.len(), "median_ms": median(&times), "best_ms": best }))
}
