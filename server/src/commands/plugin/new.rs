//! `jnana plugin new`: a project that builds, passes the check and has a button in the page.
//!
//! All that it needs comes with the program, in the version that the program was built from: a project depends on no
//! checkout and no registry's copy of this one.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cli::{Language, New};

/// Path from the root of the repository, and the bytes.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/projects.rs"));

/// Files below this are filled in; the others are copied.
const TEMPLATES: &str = "plugins/templates/";
/// A template whose own name would mean something in this repository.
const TEMPLATE_SUFFIX: &str = ".in";
/// Longest id of a plugin.
const MAX_NAME: usize = 64;

pub(super) fn run(given: &New) -> Result<()> {
    let New { name, lang, path } = given;
    check_name(name)?;
    let folder = path.clone().unwrap_or_else(|| PathBuf::from(name));
    ensure!(!folder.exists(), "{} is there already: give another name, or --path", folder.display());
    for (path, bytes) in project(*lang, name) {
        write(&folder.join(path), &bytes)?;
    }
    let library = library(*lang, name);
    println!("{name}: a plugin, README.md says more. What comes next:");
    println!("  cd {}", folder.display());
    println!("  {}", build_command(*lang));
    println!("  jnana plugin check {library}");
    println!("  jnana plugin install {library}");
    Ok(())
}

/// The name is the plugin's id, a crate's name and part of a file's.
fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_good = name.len() <= MAX_NAME
        && name.bytes().all(allowed)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-');
    ensure!(
        is_good,
        "expected a name of at most {MAX_NAME} lower-case letters, digits and hyphens, a letter first, got {name:?}"
    );
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// Where the parts of a project come from, and where in it they go.
fn parts(language: Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::Rust => &[
            ("plugins/templates/rust/", ""),
            ("plugins/abi/include/", "jnana/abi/include/"),
            ("plugins/abi/src/", "jnana/abi/src/"),
            ("plugins/sdk/src/", "jnana/sdk/src/"),
            ("api/src/", "jnana/api/src/"),
        ],
        Language::C => &[("plugins/templates/c/", ""), ("plugins/abi/include/", "")],
        Language::Python => {
            &[("plugins/templates/python/", ""), ("plugins/python/", ""), ("plugins/abi/include/", "")]
        }
    }
}

/// The files of a project: their paths in it, and what is in them.
fn project(language: Language, name: &str) -> Vec<(String, Cow<'static, [u8]>)> {
    let of_part = |(from, to): &(&str, &str)| {
        let files = FILES.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(from)?, path, *bytes)));
        let placed = files.map(|(rest, path, bytes)| match path.starts_with(TEMPLATES) {
            true => {
                (format!("{to}{}", rest.strip_suffix(TEMPLATE_SUFFIX).unwrap_or(rest)), filled(bytes, name))
            }
            false => (format!("{to}{rest}"), Cow::Borrowed(bytes)),
        });
        placed.collect::<Vec<_>>()
    };
    parts(language).iter().flat_map(of_part).collect()
}

/// A template with the project's name in its places.
fn filled(template: &[u8], name: &str) -> Cow<'static, [u8]> {
    let text = String::from_utf8_lossy(template)
        .replace("{{name}}", name)
        .replace("{{title}}", &title(name))
        .replace("{{library}}", &name.replace('-', "_"))
        .replace("{{version}}", env!("CARGO_PKG_VERSION"));
    Cow::Owned(text.into_bytes())
}

/// `word-count` is `Word count` for people.
fn title(name: &str) -> String {
    let spaced = name.replace('-', " ");
    spaced[..1].to_ascii_uppercase() + &spaced[1..]
}

fn build_command(language: Language) -> &'static str {
    match language {
        Language::Rust => "cargo build --release",
        Language::C => "make",
        Language::Python => "python3 jnana_plugin.py build plugin.py",
    }
}

fn library(language: Language, name: &str) -> String {
    let file = format!("lib{}.so", name.replace('-', "_"));
    match language {
        Language::Rust => format!("target/release/{file}"),
        Language::C | Language::Python => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(language: Language) -> Vec<String> {
        project(language, "word-count").into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn a_project_has_all_that_it_is_built_from() {
        for (language, expected) in [
            (
                Language::Rust,
                &["Cargo.toml", "src/lib.rs", "jnana/sdk/Cargo.toml", "jnana/sdk/src/lib.rs"][..],
            ),
            (
                Language::Rust,
                &["jnana/abi/src/lib.rs", "jnana/api/src/lib.rs", "jnana/abi/include/jnana_plugin.h"],
            ),
            (Language::C, &["Makefile", "README.md", "plugin.c", "jnana_plugin.h"]),
            (Language::Python, &["plugin.py", "jnana_plugin.py", "bridge.c", "jnana_plugin.h"]),
        ] {
            let paths = paths(language);
            for path in expected {
                assert!(paths.iter().any(|found| found == path), "{path} in {paths:?}");
            }
        }
    }

    #[test]
    fn no_place_for_the_name_is_left_open() {
        for language in [Language::Rust, Language::C, Language::Python] {
            for (path, bytes) in project(language, "word-count") {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                assert!(
                    !["{{name", "{{title", "{{library", "{{version"].iter().any(|open| text.contains(open)),
                    "{path}"
                );
            }
        }
        assert_eq!(title("word-count"), "Word count");
    }

    #[test]
    fn names_that_cannot_be_ids_are_refused() {
        assert!(check_name("word-count2").is_ok());
        for name in ["", "Words", "2words", "-words", "words-", "wo rds", "../words", "wörter"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
