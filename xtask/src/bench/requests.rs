//! Sixteen requests at once, each with a prompt of its own, streamed over HTTP by both servers.

use anyhow::Result;

use super::client::ask_together;
use super::context::Context;
use super::pairs::{in_turns, percentile_95};
use super::peers::llama::{self, Llama};
use super::prompts::opening;
use super::servers::Server;
use super::table::{Better, Section};

const REQUESTS: usize = 16;

/// Positions beside the words that are counted: markers, the system message, the question around the words.
const AROUND: usize = 160;

/// Seeds of one pair are apart from those of the next.
const SEEDS_A_PAIR: u64 = 1000;

/// Of one server in one pair.
struct Outcome {
    tokens_per_second: f64,
    /// Milliseconds that 95 of 100 did not have to wait longer.
    first_token: f64,
    /// Tokens of all prompts.
    prompt_tokens: u64,
}

/// All tokens a second, and the wait for the first, of each model.
pub fn compare(context: &Context) -> Result<Section> {
    let llama = Llama::build()?;
    let (words, tokens): (usize, usize) = if context.quick { (32, 16) } else { (96, 64) };
    let mut section = Section::default();
    for &model in context.models() {
        let file = context.file(model)?;
        let ours = Server::ours(context, &file, REQUESTS)?;
        let positions = (words + tokens + AROUND).next_multiple_of(256);
        let theirs = Server::llama(context, &llama.program("llama-server"), &file, REQUESTS, positions)?;
        let pairs = in_turns(
            context.pairs,
            |pair| ask(&ours, pair, words, tokens),
            |pair| ask(&theirs, pair, words, tokens),
        )?;
        let name = model.name();
        let what = format!("{name}, {REQUESTS} requests, tokens/s");
        section.row(what, llama::NAME, Better::Higher, &pairs, |ours, theirs| {
            (ours.tokens_per_second, theirs.tokens_per_second)
        });
        let what = format!("{name}, {REQUESTS} requests, first token (95 %), ms");
        section.row(what, llama::NAME, Better::Lower, &pairs, |ours, theirs| {
            (ours.first_token, theirs.first_token)
        });
        if let Some((ours, theirs)) = pairs.last() {
            let [ours, theirs] = [ours, theirs].map(|side| side.prompt_tokens / REQUESTS as u64);
            section.notes.push(format!(
                "{name}: prompts of {ours} tokens for ours and {theirs} for the peer, answers of {tokens} at most."
            ));
        }
    }
    section.notes.push(llama::version());
    Ok(section)
}

fn ask(server: &Server, pair: usize, words: usize, tokens: usize) -> Result<Outcome> {
    let seeds = (0..REQUESTS as u64).map(|request| pair as u64 * SEEDS_A_PAIR + request);
    let conversations: Vec<_> = seeds.map(|seed| opening(words, seed)).collect();
    let (time, answers) = ask_together(&server.url, &conversations, tokens)?;
    let written: u64 = answers.iter().map(|answer| answer.tokens).sum();
    Ok(Outcome {
        tokens_per_second: written as f64 / time.as_secs_f64(),
        first_token: percentile_95(answers.iter().map(|answer| answer.first_token.as_secs_f64() * 1e3)),
        prompt_tokens: answers.iter().map(|answer| answer.prompt_tokens).sum(),
    })
}
