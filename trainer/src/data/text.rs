//! Text: to be continued (stage 0), or as the turns of a chat.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::faults::{Fault, Faults};
use super::record::{Content, Exchange, Record, filled};
use crate::{Error, Result};

/// A long document is cut at the end of the line that reaches so many bytes. Pieces, not whole books, can then be held
/// out or dealt to different batches.
const PIECE: usize = 8 << 10;

/// What a document is within a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Documents {
    /// The file.
    #[default]
    File,
    /// Each line that is not empty.
    Lines,
}

/// Reads a text file (UTF-8). A document of several kilobytes becomes several records; the last of them ends it.
///
/// # Errors
/// When the file cannot be read.
pub fn read_plain(file: &Path, documents: Documents) -> Result<Vec<Record>> {
    let text = std::fs::read_to_string(file).map_err(Error::io("read", file))?;
    let records = match documents {
        Documents::File => pieces(text.trim()),
        Documents::Lines => {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| (line, true)).collect()
        }
    };
    let record = |(number, (text, ends)): (usize, (&str, bool))| {
        Record::new(number.to_string(), Content::Text { text: text.to_owned(), ends })
    };
    Ok(records.into_iter().enumerate().map(record).collect())
}

/// The document in pieces of whole lines, and whether each is the last.
fn pieces(text: &str) -> Vec<(&str, bool)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.as_bytes().iter().skip(PIECE).position(|&byte| byte == b'\n') {
        let (piece, after) = rest.split_at(PIECE + end + 1);
        pieces.push((piece, false));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push((rest, true));
    }
    pieces
}

/// A line of a chat file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Chat {
    /// Turns of two speakers; the first is the person.
    Turns { turns: Vec<String> },
    /// Messages as in chat completion calls.
    Messages { messages: Vec<Message> },
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

/// Reads chats from JSON Lines: `{"turns": ["…", "…"]}`, which alternate and begin with the person, or `{"messages":
/// [{"role": "user", "content": "…"}, …]}`. A last question without an answer is dropped. Ids are line numbers.
///
/// # Errors
/// When the file cannot be read, or more than a share of `allowed` of its lines is broken.
pub fn read_chats(file: &Path, allowed: f64) -> Result<(Vec<Record>, Vec<Fault>)> {
    let text = std::fs::read_to_string(file).map_err(Error::io("read", file))?;
    let lines: Vec<(usize, &str)> =
        (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).collect();
    let mut faults = Faults::new(format!("lines of {}", file.display()), lines.len(), allowed);
    let parsed = lines.into_iter().map(|(number, line)| {
        let record =
            chat(line).map(|exchanges| Record::new(number.to_string(), Content::Conversation(exchanges)));
        (format!("line {number}"), record)
    });
    Ok((faults.sift(parsed)?, faults.into_list()))
}

fn chat(line: &str) -> Result<Vec<Exchange>, String> {
    let turns = match serde_json::from_str(line).map_err(|error| error.to_string())? {
        Chat::Turns { turns } => turns,
        Chat::Messages { messages } => alternating(messages)?,
    };
    let exchange = |pair: &[String]| {
        let [question, answer] = pair else { return Err("a question without an answer".to_owned()) };
        let (question, answer) = (filled(question, "a question")?, filled(answer, "an answer")?);
        Ok(Exchange { images: Vec::new(), question, answer })
    };
    match turns.chunks_exact(2).map(exchange).collect::<Result<Vec<_>, _>>()? {
        exchanges if exchanges.is_empty() => Err(format!("{} turns, expected two or more", turns.len())),
        exchanges => Ok(exchanges),
    }
}

fn alternating(messages: Vec<Message>) -> Result<Vec<String>, String> {
    let expected = ["user", "assistant"].into_iter().cycle();
    let turn = |(Message { role, content }, expected): (Message, &str)| {
        if role != expected {
            return Err(format!("a message of {role:?} where {expected:?} was expected"));
        }
        Ok(content)
    };
    messages.into_iter().zip(expected).map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_document() {
        let text = (0..2000).map(|i| format!("line {i} é\n")).collect::<String>();
        let pieces = pieces(text.trim());
        assert_eq!(pieces.iter().map(|(piece, _)| *piece).collect::<String>(), text.trim());
        assert!(pieces.len() > 2);
        let (last, others) = pieces.split_last().unwrap();
        assert!(last.1 && others.iter().all(|(piece, ends)| !ends && piece.ends_with('\n')));
        assert!(others.iter().all(|(piece, _)| (PIECE..PIECE + 20).contains(&piece.len())));
    }

    #[test]
    fn chats_come_in_two_spellings() {
        let turns = chat(r#"{"turns": ["Hi", " Hello! ", "Bye"]}"#).unwrap();
        let messages = chat(
            r#"{"messages": [{"role":"user","content":"Hi"}, {"role":"assistant","content":"Hello!"}]}"#,
        );
        let hello = Exchange { question: "Hi".into(), answer: "Hello!".into(), ..Exchange::default() };
        assert_eq!(turns, [hello]);
        assert_eq!(messages.unwrap(), turns);
        for broken in [
            r#"{"turns": ["Hi"]}"#,
            r#"{"turns": ["Hi", " "]}"#,
            r#"{"messages": [{"role":"assistant","content":"Hi"}, {"role":"user","content":"Hi"}]}"#,
            "{",
        ] {
            assert!(chat(broken).is_err(), "{broken}");
        }
    }
}
