//! How well SmolLM2 foretells a text: what our kernels lose in precision would show here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::context::{Context, Model, number};
use super::pairs::in_turns;
use super::peers;
use super::peers::llama::{self, Llama};
use super::table::{Better, Section};
use crate::shell;

/// The text: documents of the repository, which no model has been trained on.
const DOCUMENTS: [&str; 4] =
    ["ARCHITECTURE.md", "docs/user-guide.md", "docs/training.md", "docs/expectations.md"];

/// Characters of a quick run: a little more than the two pieces that llama-perplexity asks for.
const QUICK: usize = 6000;

/// Tokens of a piece; `jnana bench` has the same.
const CONTEXT: &str = "512";

/// The perplexity of each side. It is the same in every pair.
pub fn compare(context: &Context) -> Result<Section> {
    let llama = Llama::build()?;
    let (model, text) = (context.file(Model::SmolLm2)?, text(context.quick)?);
    let pairs = in_turns(1, |_| ours(context, &model, &text), |_| theirs(context, &llama, &model, &text))?;
    let mut section = Section::default();
    let what = format!("{}, perplexity", Model::SmolLm2.name());
    section.row(what, llama::NAME, Better::Lower, &pairs, |ours, theirs| (ours.0, *theirs));
    if let Some(((_, tokens), _)) = pairs.last() {
        section.notes.push(format!("{tokens:.0} tokens of {}.", DOCUMENTS.join(", ")));
    }
    section.notes.push(llama::version());
    Ok(section)
}

/// Writes the text to a file that both sides read.
fn text(quick: bool) -> Result<PathBuf> {
    let mut text = String::new();
    for document in DOCUMENTS {
        text += &fs::read_to_string(document).with_context(|| format!("cannot read {document}"))?;
    }
    // llama-perplexity would read backslashes as escapes.
    let text: String = text.replace('\\', "").chars().take(if quick { QUICK } else { usize::MAX }).collect();
    let file = peers::cache()?.join("perplexity.txt");
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The perplexity and the number of tokens.
fn ours(context: &Context, model: &Path, text: &Path) -> Result<(f64, f64)> {
    let report = context.measure(|command| {
        command.args(["--repeat", "1", "--prompt", "1", "--generate", "0", "--perplexity"]);
        command.arg(text).arg("--model").arg(model);
    })?;
    Ok((number(&report, "perplexity")?, number(&report, "perplexity_tokens")?))
}

fn theirs(context: &Context, llama: &Llama, model: &Path, text: &Path) -> Result<f64> {
    let mut command = Command::new(llama.program("llama-perplexity"));
    command.args(["--ctx-size", CONTEXT, "--batch-size", CONTEXT, "--threads", &context.threads.to_string()]);
    command.arg("--model").arg(model).arg("--file").arg(text);
    llama::perplexity(&shell::everything(&mut command)?)
}
