//! The book's summary is whole, and a link from one document to another leads somewhere.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

/// Where the book lies.
const FOLDER: &str = "docs";
/// The page that lists the others.
const SUMMARY: &str = "docs/SUMMARY.md";
/// How mdBook takes a file into a page.
const INCLUDE: &str = "{{#include ";

/// Names every page that the summary lacks, and every relative link of a document that leads nowhere.
pub fn breaches(files: &[PathBuf]) -> Result<Vec<String>> {
    let documents = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    let mut breaches = Vec::new();
    for document in documents {
        let text = read(document)?;
        for link in links(&text) {
            if let Some(what) = broken(document, &text, &link)? {
                breaches.push(format!("{}:{}: {what}", document.display(), link.line));
            }
        }
        if document.starts_with(FOLDER) && document != Path::new(SUMMARY) && !is_listed(document)? {
            breaches.push(format!("{SUMMARY}: {} is not listed", document.display()));
        }
    }
    Ok(breaches)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn is_listed(page: &Path) -> Result<bool> {
    let summary = read(Path::new(SUMMARY))?;
    let listed = links(&summary).into_iter().any(|link| Path::new(FOLDER).join(link.target) == page);
    Ok(listed)
}

#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    line: usize,
    target: &'a str,
}

/// The links of a text in Markdown, and what it includes. Blocks of code have no links, but may be an inclusion.
fn links(text: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (line, words) in (1..).zip(text.lines()) {
        if words.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let (start, end) = if in_code { (INCLUDE, "}}") } else { ("](", ")") };
        let targets = words.split(start).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0));
        links.extend(targets.map(|target| Link { line, target }));
    }
    links
}

/// Why a link of a document leads nowhere; none if it leads somewhere, or out of the project.
fn broken(document: &Path, text: &str, link: &Link<'_>) -> Result<Option<String>> {
    let target = link.target;
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(None);
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = normal(&document.parent().unwrap_or(Path::new("")).join(path));
    if !path.is_empty() && !file.exists() {
        return Ok(Some(format!("{target}: there is no {}", file.display())));
    }
    let there = match path {
        "" => text.to_owned(),
        _ if heading.is_empty() => return Ok(None),
        _ => read(&file)?,
    };
    let is_there = there.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading);
    Ok((!is_there).then(|| format!("{target}: there is no such heading")))
}

/// A path without `..`, which a folder that is a link would lead astray.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
        normal
    })
}

/// The address of a heading in its page.
fn anchor(heading: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == ' ';
    let words: String = heading.trim_start_matches('#').trim().chars().filter(|c| kept(*c)).collect();
    words.to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "see [a](b.md) and [c](d.md#e)\n```c\nf[i](g)\n{{#include ../h.h}}\n```\n";
        let found: Vec<_> = links(text).into_iter().map(|link| (link.line, link.target)).collect();
        assert_eq!(found, [(1, "b.md"), (1, "d.md#e"), (4, "../h.h")]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named() {
        let text = "# One thing, said\n";
        let what = |target| broken(Path::new("README.md"), text, &Link { line: 1, target }).unwrap();
        assert_eq!(what("#one-thing-said"), None);
        assert_eq!(what("https://example.org/#nothing"), None);
        assert!(what("#another").unwrap().contains("heading"));
        assert!(what("no/such.md").unwrap().contains("no/such.md"));
    }
}
