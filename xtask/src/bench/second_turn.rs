//! The second turn of a conversation of a thousand tokens: how soon its answer begins, when what was said before need not be
//! read again.

use anyhow::Result;
use serde_json::json;

use super::client::{Answer, ask};
use super::context::Context;
use super::pairs::in_turns;
use super::peers::llama::{self, Llama};
use super::prompts::{opening, words};
use super::servers::Server;
use super::table::{Better, Section};

/// Words of the second question.
const FOLLOWING: usize = 12;

/// Seeds of second questions begin here, apart from those of first ones.
const FOLLOWING_SEEDS: u64 = 1 << 32;

/// Milliseconds to the first token of the second answer, of each model.
pub fn compare(context: &Context) -> Result<Section> {
    let llama = Llama::build()?;
    let (first, tokens): (usize, usize) = if context.quick { (250, 16) } else { (870, 64) };
    let mut section = Section::default();
    for &model in context.models() {
        let file = context.file(model)?;
        let ours = Server::ours(context, &file, 1)?;
        let theirs = Server::llama(context, &llama.program("llama-server"), &file, 1, 2048)?;
        let pairs = in_turns(
            context.pairs,
            |pair| second_answer(&ours, pair as u64, first, tokens),
            |pair| second_answer(&theirs, pair as u64, first, tokens),
        )?;
        let name = model.name();
        section.row(
            format!("{name}, first token of the second turn, ms"),
            llama::NAME,
            Better::Lower,
            &pairs,
            |ours, theirs| (milliseconds(ours), milliseconds(theirs)),
        );
        if let Some((ours, theirs)) = pairs.last() {
            section.notes.push(format!(
                "{name}: {} tokens of prompt for ours and {} for the peer, all but the last question known before.",
                ours.prompt_tokens, theirs.prompt_tokens
            ));
        }
    }
    section.notes.push(llama::version());
    Ok(section)
}

fn milliseconds(answer: &Answer) -> f64 {
    answer.first_token.as_secs_f64() * 1e3
}

/// Holds a conversation of two turns; every pair has its own.
fn second_answer(server: &Server, pair: u64, first: usize, tokens: usize) -> Result<Answer> {
    let mut conversation = opening(first, pair);
    let answer = ask(&server.url, &conversation, tokens)?;
    conversation.push(json!({ "role": "assistant", "content": answer.text }));
    conversation.push(json!({ "role": "user", "content": words(FOLLOWING, FOLLOWING_SEEDS + pair) }));
    ask(&server.url, &conversation, tokens)
}
