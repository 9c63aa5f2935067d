//! Reading and writing one sequence: the core alone beside llama-bench.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use super::context::{Context, number};
use super::pairs::in_turns;
use super::peers::llama::{self, Llama};
use super::table::{Better, Section};
use crate::shell;

/// Tokens to read and to write.
struct Lengths {
    prompt: usize,
    generate: usize,
}

/// Of one side in one pair.
#[derive(Default)]
struct Speed {
    /// Tokens a second.
    prefill: f64,
    decode: f64,
    /// Seconds.
    load: f64,
    /// Bytes.
    memory: f64,
}

/// Prefill and decode of each model.
pub fn compare(context: &Context) -> Result<Section> {
    let llama = Llama::build()?;
    let lengths = match context.quick {
        true => Lengths { prompt: 128, generate: 32 },
        false => Lengths { prompt: 512, generate: 128 },
    };
    let mut section = Section::default();
    for &model in context.models() {
        let file = context.file(model)?;
        let pairs = in_turns(
            context.pairs,
            |_| ours(context, &file, &lengths),
            |_| theirs(context, &llama, &file, &lengths),
        )?;
        let (name, Lengths { prompt, generate }) = (model.name(), &lengths);
        let what = format!("{name}, prefill {prompt}, tokens/s");
        section.row(what, llama::NAME, Better::Higher, &pairs, |ours, theirs| (ours.prefill, theirs.prefill));
        let what = format!("{name}, decode {generate}, tokens/s");
        section.row(what, llama::NAME, Better::Higher, &pairs, |ours, theirs| (ours.decode, theirs.decode));
        if let Some((Speed { load, memory, .. }, _)) = pairs.last() {
            let memory = memory / 1e9;
            let note = format!("{name}: ours loads in {load:.2} s and takes {memory:.2} GB at most.");
            section.notes.push(note);
        }
    }
    section.notes.push(llama::version());
    Ok(section)
}

fn ours(context: &Context, model: &Path, lengths: &Lengths) -> Result<Speed> {
    let report = context.measure(|command| {
        command.args(["--repeat", "1", "--prompt", &lengths.prompt.to_string()]);
        command.args(["--generate", &lengths.generate.to_string(), "--model"]).arg(model);
    })?;
    Ok(Speed {
        prefill: number(&report, "prefill_tokens_per_second")?,
        decode: number(&report, "decode_tokens_per_second")?,
        load: number(&report, "load_seconds")?,
        memory: number(&report, "peak_memory_bytes")?,
    })
}

fn theirs(context: &Context, llama: &Llama, model: &Path, lengths: &Lengths) -> Result<Speed> {
    let mut command = Command::new(llama.program("llama-bench"));
    command.args(["-o", "json", "-r", "1", "-t", &context.threads.to_string()]);
    command.args(["-p", &lengths.prompt.to_string(), "-n", &lengths.generate.to_string(), "-m"]).arg(model);
    let report: Value = serde_json::from_str(&shell::output(&mut command)?)?;
    Ok(Speed {
        prefill: llama::tokens_per_second(&report, "n_prompt")?,
        decode: llama::tokens_per_second(&report, "n_gen")?,
        ..Speed::default()
    })
}
