//! `jnana-trainer answer`: what an untouched model says, to mix into stage 2 so that it still says it afterwards.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use jnana_core::ModelCard;
use jnana_models::{LoadOptions, load_decoder, parse_device};
use serde_json::json;

use crate::cli::Answer;
use crate::data::record::{Content, Record};
use crate::data::text::read_chats;
use crate::eval::generate::{Generator, Question, Said};
use crate::train::progress::style;

pub(super) fn run(answer: &Answer) -> Result<()> {
    let mut questions = questions(&answer.questions)?;
    questions.truncate(answer.limit.unwrap_or(usize::MAX));
    ensure!(!questions.is_empty(), "{} holds no question", answer.questions.display());
    let loaded = load_decoder(&answer.model, &LoadOptions::new(parse_device(&answer.device)?))?;
    let tokenizer = loaded.tokenizer.context("the model has no tokenizer")?;
    let card = ModelCard::load(&answer.model, &loaded.info.name, loaded.decoder.shape(), &tokenizer)?;
    let generator = Generator::start(loaded.decoder, tokenizer, card, None, answer.max_tokens);

    let file = File::create(&answer.out).with_context(|| answer.out.display().to_string())?;
    let mut out = BufWriter::new(file);
    let bar = ProgressBar::new(questions.len() as u64).with_style(style());
    let asked = questions.iter().map(|words| Question { picture: None, words: words.clone() });
    let (mut number, mut kept) = (0, 0);
    generator.answer(asked, |Said { text, ended }| -> Result<()> {
        // An answer that was cut would teach to stop in mid-sentence.
        if ended && !text.is_empty() {
            writeln!(out, "{}", json!({ "turns": [questions[number], text] }))?;
            kept += 1;
        }
        number += 1;
        bar.inc(1);
        Ok(())
    })?;
    out.flush()?;
    bar.finish_and_clear();
    println!("{kept} answers of {} in {}", questions.len(), answer.out.display());
    Ok(())
}

/// The first question of each chat, each once.
fn questions(path: &Path) -> Result<Vec<String>> {
    let (records, faults) = read_chats(path, 0.01)?;
    for fault in faults {
        eprintln!("skipped {fault}");
    }
    let mut seen = HashSet::new();
    let first = |record: Record| match record.content {
        Content::Conversation(exchanges) => exchanges.into_iter().next().map(|exchange| exchange.question),
        _ => None,
    };
    Ok(records.into_iter().filter_map(first).filter(|question| seen.insert(question.clone())).collect())
}
