//! The pages of the book, and what a reader does with the blocks of code in them.

use std::path::{Path, PathBuf};

/// Why a block of commands cannot be run by a test, by its mark.
const REASONS: &[(&str, &str)] = &[
    ("needs-network", "it fetches something"),
    ("needs-gpu", "it wants a graphics card"),
    ("needs-root", "it changes the system"),
    ("needs-data", "it reads data or models that the tests do not have"),
    ("needs-program", "it calls a program that the tests do not install"),
    ("needs-time", "it takes minutes"),
];

/// Languages of blocks. Another spelling of `sh` would hide commands, and so would none.
const LANGUAGES: &[&str] = &["sh", "text", "json", "toml", "c", "rust", "python"];

/// Start of the mark that names a file.
const FILE: &str = "file=";

/// A fenced block of code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Line of its fence in the page, from 1.
    pub(crate) line: usize,
    /// Language and marks, separated by commas.
    pub(crate) info: String,
    /// What stands inside.
    pub(crate) text: String,
}

/// A page of the book.
#[derive(Debug)]
pub(crate) struct Page {
    /// Path in `docs`.
    pub(crate) name: String,
    /// In their order.
    pub(crate) blocks: Vec<Block>,
}

/// What a reader does with a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Use<'a> {
    /// Runs it.
    Run,
    /// Would run it, but a test cannot: the mark.
    LeaveOut(&'static str),
    /// Saves it under this name.
    Save(&'a str),
    /// Reads it.
    Read,
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Page {
    /// A page by its path in `docs`.
    pub(crate) fn read(name: &str) -> Self {
        let path = root().join("docs").join(name);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.to_owned(), blocks: blocks(&text) }
    }

    /// Every page of the summary, in its order.
    pub(crate) fn all() -> Vec<Self> {
        let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
        let links = summary.lines().filter_map(|line| line.split_once("](")?.1.strip_suffix(')'));
        links.map(Self::read).collect()
    }
}

/// The fenced blocks of a text in Markdown.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, words) in (1..).zip(text.lines()) {
        let fence = words.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(info)) => open = Some(Block { line, info: info.to_owned(), text: String::new() }),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => block.text.extend([words, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is never closed: {open:?}");
    blocks
}

impl Block {
    /// What is done with it. The error says what is wrong with its fence.
    pub(crate) fn usage(&self) -> Result<Use<'_>, String> {
        let (language, mark) = self.info.split_once(',').unwrap_or((&self.info, ""));
        if !LANGUAGES.contains(&language) {
            let known = LANGUAGES.join(", ");
            return Err(format!("line {}: expected a language ({known}), got {language:?}", self.line));
        }
        let reason = REASONS.iter().find(|(reason, _)| *reason == mark);
        match (language, reason, mark.strip_prefix(FILE)) {
            ("sh", None, None) if mark.is_empty() => Ok(Use::Run),
            ("sh", Some((reason, _)), _) => Ok(Use::LeaveOut(reason)),
            ("sh", ..) => Err(format!("line {}: nobody knows the mark {mark:?}", self.line)),
            (_, _, Some(name)) => Ok(Use::Save(name)),
            (..) if mark.is_empty() => Ok(Use::Read),
            (..) => Err(format!("line {}: nobody knows the mark {mark:?}", self.line)),
        }
    }
}

/// What a mark says, for people.
pub(crate) fn reason(mark: &str) -> &'static str {
    REASONS.iter().find(|(known, _)| *known == mark).map_or("", |(_, words)| words)
}

#[test]
fn blocks_are_run_saved_left_out_or_read() {
    let text = "a\n```sh\necho 1\n\necho 2\n```\n```c,file=a.c\nint a;\n```\n```json\n{}\n```\n```sh,needs-gpu\nx\n```\n";
    let blocks = blocks(text);
    assert_eq!(blocks[0], Block { line: 2, info: "sh".to_owned(), text: "echo 1\n\necho 2\n".to_owned() });
    let uses: Vec<_> = blocks.iter().map(|block| block.usage().unwrap()).collect();
    assert_eq!(uses, [Use::Run, Use::Save("a.c"), Use::Read, Use::LeaveOut("needs-gpu")]);
}

#[test]
fn a_fence_without_a_language_or_with_an_unknown_mark_is_refused() {
    for info in ["", "bash", "sh,needs-luck", "sh,file=a", "c,needs-gpu", "json,strict"] {
        let block = Block { line: 7, info: info.to_owned(), text: String::new() };
        assert!(block.usage().unwrap_err().contains("line 7"), "{info}");
    }
}
