//! Most memory of a server that answers four long requests at once.

use anyhow::Result;

use super::client::ask_together;
use super::context::{Context, Model};
use super::pairs::in_turns;
use super::peers::llama::{self, Llama};
use super::prompts::opening;
use super::servers::Server;
use super::table::{Better, Section};

const SEQUENCES: usize = 4;

/// New tokens of each; the prompt takes the other positions, but for what is around its words.
const TOKENS: usize = 64;
const AROUND: usize = 72;

/// Gigabytes of each side. One pair is enough: memory does not change from one minute to the next.
pub fn compare(context: &Context) -> Result<Section> {
    let llama = Llama::build()?;
    let (model, positions): (Model, usize) =
        if context.quick { (Model::SmolLm2, 256) } else { (Model::Phi2, 1024) };
    let file = context.file(model)?;
    let peak = |server: Server| -> Result<f64> {
        let words = positions - TOKENS - AROUND;
        let conversations: Vec<_> = (0..SEQUENCES as u64).map(|seed| opening(words, seed)).collect();
        ask_together(&server.url, &conversations, TOKENS)?;
        Ok(server.peak_memory()? as f64 / 1e9)
    };
    let pairs = in_turns(
        1,
        |_| peak(Server::ours(context, &file, SEQUENCES)?),
        |_| peak(Server::llama(context, &llama.program("llama-server"), &file, SEQUENCES, positions)?),
    )?;
    let mut section = Section::default();
    let what = format!("{}, {SEQUENCES} sequences of {positions}, GB", model.name());
    section.row(what, llama::NAME, Better::Lower, &pairs, |ours, theirs| (*ours, *theirs));
    section.notes.push(llama::version());
    Ok(section)
}
