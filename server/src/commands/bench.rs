//! `jnana bench`: the core alone, or one plugin, without server and without a tokenizer.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::{D, Device, Tensor};
use jnana_models::decoder::{Decoder, SequenceCache, Span};
use jnana_plugin_host::CancelFlag;
use serde_json::{Value, json};

use crate::assistant::{Assistant, load_with};
use crate::catalog::Catalog;
use crate::cli::Bench;

/// Rows of one prefill step, as in serving.
const PREFILL_ROWS: usize = 128;

pub(super) fn run(bench: &Bench) -> Result<()> {
    let report = match (&bench.plugin, &bench.input) {
        (Some(plugin), Some(_)) => plugin_report(bench, plugin)?,
        _ => Device::Cpu.with_context(|| core_report(bench))?,
    };
    if bench.json {
        println!("{report}");
    } else if let Some(rows) = report.as_object() {
        for (name, value) in rows {
            println!("{name:>28}  {value}");
        }
    }
    Ok(())
}

/// On a thread of candle's pool, as an engine: loads the decoder, reads a prompt of pseudo-random ids, then writes greedily.
fn core_report(bench: &Bench) -> Result<Value> {
    let settings = bench.given.clone().resolve()?;
    let path = super::library(&settings).resolve(&Catalog::built_in()?, &settings.model)?;
    let start = Instant::now();
    let decoder = load_with(&path, &settings)?.decoder;
    let load = start.elapsed();
    let shape = decoder.shape();
    let positions = bench.prompt + bench.generate;
    ensure!(bench.prompt > 0, "--prompt must be at least 1");
    ensure!(
        positions <= shape.max_positions,
        "the model has {} positions, not {positions}",
        shape.max_positions
    );
    let mut cache = SequenceCache::new(shape, positions, decoder.dtype(), decoder.device())?;
    // One step before the clock starts: thread pools and pages are warm, as in a server that runs.
    step(decoder.as_ref(), &mut cache, &[0])?;
    cache.truncate(0);

    let prompt: Vec<u32> = (0..bench.prompt).map(|i| (i * 7919 % shape.vocab_size) as u32).collect();
    let start = Instant::now();
    let mut next = 0;
    for chunk in prompt.chunks(PREFILL_ROWS) {
        next = step(decoder.as_ref(), &mut cache, chunk)?;
    }
    let prefill = start.elapsed();
    let start = Instant::now();
    for _ in 0..bench.generate {
        next = step(decoder.as_ref(), &mut cache, &[next])?;
    }
    let decode = start.elapsed();
    Ok(json!({
        "model": path.display().to_string(),
        "load_seconds": load.as_secs_f64(),
        "prefill_tokens_per_second": bench.prompt as f64 / prefill.as_secs_f64(),
        "decode_tokens_per_second": bench.generate as f64 / decode.as_secs_f64(),
        "peak_memory_bytes": peak_memory(),
    }))
}

/// Continues the sequence by `ids`; returns the most probable next id.
fn step(decoder: &dyn Decoder, cache: &mut SequenceCache, ids: &[u32]) -> Result<u32> {
    let rows = decoder.embed(&Tensor::new(ids, decoder.device())?)?;
    let hidden = decoder.forward_ragged(&rows, &mut [Span { cache, rows: ids.len() }])?;
    let last = hidden.narrow(0, ids.len() - 1, 1)?;
    Ok(decoder.logits(&last)?.argmax(D::Minus1)?.squeeze(0)?.to_scalar::<u32>()?)
}

/// Calls the plugin through the host, as serving does.
fn plugin_report(bench: &Bench, id: &str) -> Result<Value> {
    let settings = bench.given.clone().resolve()?;
    let library = super::library(&settings);
    let assistant = Assistant::load(&settings, &Catalog::built_in()?, &library, std::sync::Arc::default())?;
    let file = bench.input.as_deref().context("--input is missing")?;
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    ensure!(bench.runs > 0, "--runs must be at least 1");
    // What an encoder made is kept by content, so it is called where nothing is kept.
    let encodes = assistant.inputs.embed(id, &bytes).is_ok();
    let call = || match encodes {
        true => assistant.inputs.embed(id, &bytes).map(drop),
        false => assistant.inputs.interpret(id, "", &bytes, &CancelFlag::new()).map(drop),
    };
    call()?;
    let mut times = Vec::with_capacity(bench.runs);
    for _ in 0..bench.runs {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(json!({ "plugin": id, "runs": times.len(), "median_ms": times[times.len() / 2], "best_ms": times[0] }))
}

/// Most memory that the process has held, in bytes (Linux's `VmHWM`).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}
