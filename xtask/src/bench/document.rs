//! The sections of `docs/benchmarks.md` that the comparisons write, each between two marks.

use std::fs;

use anyhow::{Context, Result};

const DOCUMENT: &str = "docs/benchmarks.md";

/// Puts `text` in place of what is in the section `name`.
pub fn rewrite(name: &str, text: &str) -> Result<()> {
    let document = fs::read_to_string(DOCUMENT).with_context(|| format!("cannot read {DOCUMENT}"))?;
    fs::write(DOCUMENT, with_section(&document, name, text)?)
        .with_context(|| format!("cannot write {DOCUMENT}"))
}

/// The document with `text` between the marks of `name`.
pub fn with_section(document: &str, name: &str, text: &str) -> Result<String> {
    let (open, close) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
    let missing = |mark: &str| format!("{DOCUMENT} has no {mark}");
    let (before, rest) = document.split_once(&open).with_context(|| missing(&open))?;
    let (_, after) = rest.split_once(&close).with_context(|| missing(&close))?;
    // Markdown wants blank lines around a table.
    Ok(format!("{before}{open}\n\n{}\n\n{close}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# A\n<!-- bench:a -->\nold\n<!-- /bench:a -->\nkept\n<!-- bench:b --><!-- /bench:b -->\n";

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let once = with_section(TEXT, "a", "new\n").unwrap();
        assert_eq!(
            once,
            "# A\n<!-- bench:a -->\n\nnew\n\n<!-- /bench:a -->\nkept\n<!-- bench:b --><!-- /bench:b -->\n"
        );
        assert_eq!(with_section(&once, "a", "new").unwrap(), once);
        let both = with_section(&once, "b", "more").unwrap();
        assert!(both.contains("new") && both.ends_with("<!-- bench:b -->\n\nmore\n\n<!-- /bench:b -->\n"));
    }

    #[test]
    fn a_missing_mark_is_named() {
        let error = with_section(TEXT, "c", "").unwrap_err().to_string();
        assert!(error.contains("<!-- bench:c -->"), "{error}");
        let error = with_section("<!-- bench:c -->", "c", "").unwrap_err().to_string();
        assert!(error.contains("<!-- /bench:c -->"), "{error}");
    }
}
