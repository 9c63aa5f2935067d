//! Tests that documents name have to exist: a proof that is gone proves nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The document whose lines are claims with the tests that show them.
const DOCUMENT: &str = "docs/expectations.md";

/// Names every file and test of [`DOCUMENT`] that is not there. In its table, `` `path` `` is a file, `` `test_name` `` a
/// Rust test and `"test name"` a browser test.
pub fn missing(files: &[PathBuf]) -> Result<Vec<String>> {
    let text = fs::read_to_string(DOCUMENT).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let sources = files.iter().filter(|file| is_test_source(file));
    let sources = sources.map(fs::read_to_string).collect::<std::io::Result<Vec<_>>>()?.concat();
    let claims = (1..).zip(text.lines()).filter(|(_, line)| line.starts_with('|'));
    let missing = claims.flat_map(|(number, line)| {
        let proofs = proofs(line).into_iter().filter(|proof| !proof.is_there(&sources));
        proofs.map(move |proof| format!("{DOCUMENT}:{number}: there is no {proof:?}")).collect::<Vec<_>>()
    });
    Ok(missing.collect())
}

fn is_test_source(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "rs") || file.starts_with("e2e/tests")
}

#[derive(Debug, PartialEq, Eq)]
enum Proof<'a> {
    File(&'a str),
    RustTest(&'a str),
    BrowserTest(&'a str),
}

impl Proof<'_> {
    fn is_there(&self, sources: &str) -> bool {
        match self {
            Self::File(path) => Path::new(path).exists(),
            Self::RustTest(name) => sources.contains(&format!("fn {name}(")),
            Self::BrowserTest(name) => sources.contains(&format!("test('{name}'")),
        }
    }
}

/// What stands between backticks or quotation marks in a row and looks like a proof.
fn proofs(row: &str) -> Vec<Proof<'_>> {
    let code = row.split('`').skip(1).step_by(2).filter_map(|word| {
        let is_name = word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let is_path = word.contains('/') && word.contains('.');
        is_path.then_some(Proof::File(word)).or(is_name.then_some(Proof::RustTest(word)))
    });
    let quoted = row.split('"').skip(1).step_by(2).map(Proof::BrowserTest);
    code.chain(quoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_files_and_tests() {
        let row = "| 1 | said `--tls` | `a/b.rs` `it_holds`; `e2e/tests/c.spec.ts` \"it shows\" |";
        let found = [
            Proof::File("a/b.rs"),
            Proof::RustTest("it_holds"),
            Proof::File("e2e/tests/c.spec.ts"),
            Proof::BrowserTest("it shows"),
        ];
        assert_eq!(proofs(row), found);
        assert!(Proof::RustTest("it_holds").is_there("fn it_holds() {"));
        assert!(!Proof::BrowserTest("it shows").is_there("test('it shows more', "));
    }
}
