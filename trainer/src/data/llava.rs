//! LLaVA's conversations: a JSON list of records and a folder of pictures.
//!
//! Format: <https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K>: `id`, `image` (a file name, or several) and
//! `conversations`, whose turns are `from` `human` or `gpt` with a `value`; `<image>` in a human turn is the picture's place.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::faults::{Fault, Faults};
use super::record::{Content, Exchange, Record, filled, picture};
use crate::{Error, Result};

/// Where a picture stands in a question. The template has its own place for it.
const IMAGE: &str = "<image>";

/// What becomes of a conversation with several questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conversations {
    /// It stays one record.
    Whole,
    /// Each question with its answer becomes a record that shows the conversation's pictures, as in the recipe.
    #[default]
    Pairs,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    id: serde_json::Value,
    #[serde(default)]
    image: Option<OneOrMore>,
    conversations: Vec<RawTurn>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
struct RawTurn {
    from: String,
    value: String,
}

/// Reads the records in the file's order.
///
/// # Errors
/// When the file cannot be read, or more than a share of `allowed` of its records is broken.
pub fn read(
    file: &Path,
    images: &Path,
    conversations: Conversations,
    allowed: f64,
) -> Result<(Vec<Record>, Vec<Fault>)> {
    let bytes = std::fs::read(file).map_err(Error::io("read", file))?;
    let list: Vec<&RawValue> = serde_json::from_slice(&bytes).map_err(Error::json(file))?;
    let mut faults = Faults::new(format!("records of {}", file.display()), list.len(), allowed);
    let parsed = list.into_iter().enumerate().map(|(index, raw)| {
        let parsed = serde_json::from_str::<Raw>(raw.get()).map_err(|error| error.to_string());
        let id = parsed.as_ref().ok().and_then(id).unwrap_or_else(|| index.to_string());
        let record = parsed.and_then(|raw| Ok((id.clone(), exchanges(raw, images)?)));
        (format!("record {id}"), record)
    });
    let parsed = faults.sift(parsed)?;
    let split = |(id, exchanges): (String, Vec<Exchange>)| match conversations {
        Conversations::Whole => vec![Record::new(id, Content::Conversation(exchanges))],
        Conversations::Pairs => pairs(&id, exchanges),
    };
    Ok((parsed.into_iter().flat_map(split).collect(), faults.into_list()))
}

/// Ids are strings in some files and numbers in others.
fn id(raw: &Raw) -> Option<String> {
    match &raw.id {
        serde_json::Value::Null => None,
        serde_json::Value::String(id) => Some(id.clone()),
        other => Some(other.to_string()),
    }
}

fn exchanges(raw: Raw, folder: &Path) -> Result<Vec<Exchange>, String> {
    let names = match raw.image {
        None => Vec::new(),
        Some(OneOrMore::One(name)) => vec![name],
        Some(OneOrMore::More(names)) => names,
    };
    let mut pictures: VecDeque<PathBuf> =
        names.iter().map(|name| picture(folder, name)).collect::<Result<_, _>>()?;
    let turns = raw.conversations;
    if turns.is_empty() || !turns.len().is_multiple_of(2) {
        return Err(format!("{} turns, expected questions and answers in turn", turns.len()));
    }
    let mut exchanges =
        turns.chunks(2).map(|turns| exchange(turns, &mut pictures)).collect::<Result<Vec<_>, _>>()?;
    // Pictures that no `<image>` shows stand before the first question.
    if let Some(first) = exchanges.first_mut() {
        first.images.splice(0..0, pictures);
    }
    match exchanges.iter().find(|exchange| exchange.question.is_empty() && exchange.images.is_empty()) {
        Some(_) => Err("a question is empty".to_owned()),
        None => Ok(exchanges),
    }
}

fn exchange(turns: &[RawTurn], pictures: &mut VecDeque<PathBuf>) -> Result<Exchange, String> {
    let [question, answer] = turns else { return Err("a question without an answer".to_owned()) };
    if !matches!(question.from.as_str(), "human" | "user") {
        return Err(format!("a turn from {:?} where a human's was expected", question.from));
    }
    if !matches!(answer.from.as_str(), "gpt" | "assistant") {
        return Err(format!("a turn from {:?} where an answer was expected", answer.from));
    }
    let shown = question.value.matches(IMAGE).count();
    if shown > pictures.len() {
        return Err(format!("{shown} times {IMAGE} with {} pictures left", pictures.len()));
    }
    let words = question.value.split(IMAGE).map(str::trim).filter(|part| !part.is_empty());
    Ok(Exchange {
        images: pictures.drain(..shown).collect(),
        question: words.collect::<Vec<_>>().join(" "),
        answer: filled(&answer.value, "an answer")?,
    })
}

/// Each question with the pictures shown up to it.
fn pairs(id: &str, exchanges: Vec<Exchange>) -> Vec<Record> {
    let mut shown = Vec::new();
    let pair = |(number, exchange): (usize, Exchange)| {
        shown.extend(exchange.images);
        let exchange = Exchange { images: shown.clone(), ..exchange };
        Record::new(format!("{id}#{number}"), Content::Conversation(vec![exchange]))
    };
    exchanges.into_iter().enumerate().map(pair).collect()
}
