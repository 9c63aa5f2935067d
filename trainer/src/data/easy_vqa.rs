//! easy-VQA: questions about simple drawings, `questions.json` beside `images/<id>.png`.
//!
//! Format: <https://github.com/vzhou842/easy-VQA>: a list of `[question, answer, image id]`.

use std::path::Path;

use serde_json::value::RawValue;

use super::faults::{Fault, Faults};
use super::record::{Content, Exchange, Record, filled};
use crate::{Error, Result};

/// Reads the questions in the file's order; their ids are `<image id>#<line>`.
///
/// # Errors
/// When the file cannot be read, or more than a share of `allowed` of its questions is broken.
pub fn read(file: &Path, images: &Path, allowed: f64) -> Result<(Vec<Record>, Vec<Fault>)> {
    let bytes = std::fs::read(file).map_err(Error::io("read", file))?;
    let list: Vec<&RawValue> = serde_json::from_slice(&bytes).map_err(Error::json(file))?;
    let mut faults = Faults::new(format!("questions of {}", file.display()), list.len(), allowed);
    let parsed = list
        .into_iter()
        .enumerate()
        .map(|(index, raw)| (format!("question {index}"), record(index, raw.get(), images)));
    Ok((faults.sift(parsed)?, faults.into_list()))
}

fn record(index: usize, json: &str, images: &Path) -> Result<Record, String> {
    let (question, answer, image): (String, String, u64) =
        serde_json::from_str(json).map_err(|error| error.to_string())?;
    let exchange = Exchange {
        images: vec![images.join(format!("{image}.png"))],
        question: filled(&question, "the question")?,
        answer: filled(&answer, "the answer")?,
    };
    Ok(Record::new(format!("{image}#{index}"), Content::Conversation(vec![exchange])))
}
