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

/// How many tokens are read, the fewest first, and written.
struct Lengths {
    prompts: &'static [usize],
    generate: usize,
}

/// Of one side in one pair.
#[derive(Default)]
struct Speed {
    /// Tokens a second, for each length of a prompt.
    prefill: Vec<f64>,
    /// Tokens a second.
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
        true => Lengths { prompts: &[128], generate: 32 },
        false => Lengths { prompts: &[64, 512], generate: 128 },
    };
    let mut section = Section::default();
    for &model in context.models() {
        let file = context.file(model)?;
        let pairs = in_turns(
            context.pairs,
            |_| ours(context, &file, &lengths),
            |_| theirs(context, &llama, &file, &lengths),
        )?;
        let name = model.name();
        for (index, prompt) in lengths.prompts.iter().enumerate() {
            let what = format!("{name}, prefill {prompt}, tokens/s");
            section.row(what, llama::NAME, Better::Higher, &pairs, |ours, theirs| {
                (ours.prefill[index], theirs.prefill[index])
            });
        }
        let what = format!("{name}, decode {}, tokens/s", lengths.generate);
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

/// A process for each length, as llama-bench begins each test with an empty cache: it writes behind nothing read.
fn ours(context: &Context, model: &Path, lengths: &Lengths) -> Result<Speed> {
    let measure = |prompt: usize, generate: usize| {
        context.measure(|command| {
            command.args(["--repeat", "1", "--prompt", &prompt.to_string()]);
            command.args(["--generate", &generate.to_string(), "--model"]).arg(model);
        })
    };
    let mut speed = Speed::default();
    for &prompt in lengths.prompts {
        let report = measure(prompt, 0)?;
        speed.prefill.push(number(&report, "prefill_tokens_per_second")?);
        // In the end, that of the longest.
        speed.memory = number(&report, "peak_memory_bytes")?;
    }
    let report = measure(1, lengths.generate)?;
    speed.decode = number(&report, "decode_tokens_per_second")?;
    speed.load = number(&report, "load_seconds")?;
    Ok(speed)
}

fn theirs(context: &Context, llama: &Llama, model: &Path, lengths: &Lengths) -> Result<Speed> {
    let prompts: Vec<String> = lengths.prompts.iter().map(usize::to_string).collect();
    let mut command = Command::new(llama.program("llama-bench"));
    command.args(["-o", "json", "-r", "1", "-t", &context.threads.to_string()]);
    command.args(["-p", &prompts.join(","), "-n", &lengths.generate.to_string(), "-m"]).arg(model);
    let report: Value = serde_json::from_str(&shell::output(&mut command)?)?;
    let prefill = lengths.prompts.iter().map(|&prompt| llama::tokens_per_second(&report, "n_prompt", prompt));
    Ok(Speed {
        prefill: prefill.collect::<Result<_>>()?,
        decode: llama::tokens_per_second(&report, "n_gen", lengths.generate)?,
        ..Speed::default()
    })
}
