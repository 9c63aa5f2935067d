//! House rules that no compiler checks: who may use whom, and what a file may hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{book, proofs, shell};

/// Project crates that each crate may depend on; a crate that is not listed may not exist.
const MAY_USE: &[(&str, &[&str])] = &[
    ("jnana-api", &[]),
    ("jnana-media", &[]),
    ("jnana-kernels", &[]),
    ("jnana-models", &["jnana-kernels"]),
    ("jnana-core", &["jnana-models"]),
    ("jnana-plugin-abi", &[]),
    ("jnana-plugin-sdk", &["jnana-plugin-abi", "jnana-api"]),
    ("jnana-plugin-host", &["jnana-plugin-abi", "jnana-api", "jnana-media"]),
    ("jnana-plugin-check", &["jnana-plugin-host", "jnana-plugin-abi", "jnana-api"]),
    ("jnana-faulty-plugin", &["jnana-plugin-sdk"]),
    ("jnana-sketch", &["jnana-plugin-sdk"]),
    ("jnana-vision", &["jnana-plugin-sdk", "jnana-models", "jnana-media"]),
    ("jnana-whisper", &["jnana-plugin-sdk", "jnana-media"]),
    (
        "jnana-server",
        &[
            "jnana-api",
            "jnana-core",
            "jnana-kernels",
            "jnana-models",
            "jnana-media",
            "jnana-plugin-host",
            "jnana-plugin-check",
        ],
    ),
    ("jnana-trainer", &["jnana-core", "jnana-kernels", "jnana-models", "jnana-media"]),
    ("jnana-app", &["jnana-api"]),
    ("xtask", &[]),
];

/// Crates that may say `unsafe`; elsewhere a single module may, named here.
const UNSAFE: &[&str] = &[
    "plugins/abi/",
    "plugins/sdk/",
    "plugins/host/",
    "plugins/check/",
    "kernels/",
    "models/src/weights/mmap.rs",
];

/// Words of a modality that the app must not know; the controls need the web's own names.
const MODALITY_WORDS: &[&str] =
    &["vision", "whisper", "transcri", "picture", "photo", "speech", "sketch", "sensor"];

/// How files of source end; those of templates, which others begin with, among them.
const SOURCES: &[&str] = &["rs", "ts", "c", "h", "py"];

/// Marks of unfinished work.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];

/// Longest source file; a longer one is two ideas.
const MAX_LINES: usize = 450;

/// Largest file in bytes; weights that the project trained lie below `assets` and may be larger.
const MAX_BYTES: u64 = 4 << 20;
const MAX_ASSET_BYTES: u64 = 24 << 20;

/// Checks every rule and names every breach.
pub fn run() -> Result<()> {
    let files = tracked_files()?;
    let mut breaches = dependencies()?;
    breaches.extend(proofs::missing(&files)?);
    breaches.extend(book::breaches(&files)?);
    for file in &files {
        let bytes = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
        breaches.extend(too_large(file, bytes));
    }
    for file in files.iter().filter(|file| is_source(file)) {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        breaches.extend(source_breaches(file, &text));
    }
    if breaches.is_empty() {
        println!("{} files keep the house rules", files.len());
        return Ok(());
    }
    for breach in &breaches {
        eprintln!("{breach}");
    }
    bail!("{} breaches of the house rules", breaches.len())
}

/// Files that git knows, new ones included.
fn tracked_files() -> Result<Vec<PathBuf>> {
    let list =
        shell::output(Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))?;
    Ok(list.lines().map(PathBuf::from).filter(|path| path.is_file()).collect())
}

/// A file of this size is a cache or a data set that was added by mistake.
fn too_large(file: &Path, bytes: u64) -> Option<String> {
    let most = if file.starts_with("assets") { MAX_ASSET_BYTES } else { MAX_BYTES };
    (bytes > most).then(|| format!("{}: {bytes} bytes, at most {most}", file.display()))
}

fn is_source(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| SOURCES.contains(&extension))
}

fn source_breaches(file: &Path, text: &str) -> Vec<String> {
    let name = file.to_string_lossy();
    let mut breaches = Vec::new();
    let mut breach = |line: usize, what: String| breaches.push(format!("{name}:{line}: {what}"));
    let is_test = name.contains("/tests/") || name.starts_with("e2e/");
    if !is_test && text.lines().count() > MAX_LINES {
        breach(MAX_LINES, format!("more than {MAX_LINES} lines"));
    }
    let app_core = name.starts_with("app/src/") && !name.starts_with("app/src/controls/");
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(mark) = UNFINISHED.iter().find(|mark| line.contains(**mark)) {
            breach(number, format!("unfinished: {mark}"));
        }
        let lower = line.to_lowercase();
        if app_core && let Some(word) = MODALITY_WORDS.iter().find(|word| lower.contains(**word)) {
            breach(number, format!("the app must not know \"{word}\": labels come from descriptors"));
        }
        if allows_unsafe(line) && !is_test && !UNSAFE.iter().any(|place| name.starts_with(place)) {
            breach(number, "unsafe has no place here".to_owned());
        }
    }
    breaches
}

/// The compiler denies `unsafe` everywhere; what this finds is a file that lifts the ban.
fn allows_unsafe(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[allow(unsafe_code") || line.starts_with("#![allow(unsafe_code")
}

fn dependencies() -> Result<Vec<String>> {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut breaches = Vec::new();
    for manifest in tracked_files()?.iter().filter(|file| file.ends_with("Cargo.toml")) {
        let toml: toml::Table = fs::read_to_string(manifest)?
            .parse()
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        let Some(name) =
            toml.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str())
        else {
            continue;
        };
        let Some(may_use) = allowed.get(name) else {
            breaches.push(format!(
                "{}: crate {name} is not in the table of xtask/src/tidy.rs",
                manifest.display()
            ));
            continue;
        };
        let used = toml.get("dependencies").and_then(toml::Value::as_table);
        for used in used.into_iter().flat_map(toml::Table::keys) {
            if used.starts_with("jnana-") && !may_use.contains(&used.as_str()) {
                breaches.push(format!("{}: {name} may not use {used}", manifest.display()));
            }
            if name == "jnana-plugin-sdk" && used.starts_with("candle") {
                breaches.push(format!("{}: the SDK stays free of candle", manifest.display()));
            }
        }
    }
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_may_not_name_a_modality() {
        let text = "let label = \"Vision\";";
        assert_eq!(source_breaches(Path::new("app/src/composer.rs"), text).len(), 1);
        assert!(source_breaches(Path::new("app/src/controls/camera.rs"), text).is_empty());
        assert!(source_breaches(Path::new("server/src/main.rs"), text).is_empty());
    }

    #[test]
    fn only_named_places_may_lift_the_ban_on_unsafe() {
        let text = "#![allow(unsafe_code)]";
        assert_eq!(source_breaches(Path::new("core/src/lib.rs"), text).len(), 1);
        assert!(source_breaches(Path::new("plugins/host/src/lib.rs"), text).is_empty());
    }

    #[test]
    fn large_files_are_named() {
        assert!(too_large(Path::new("runs/a.features"), MAX_BYTES + 1).is_some());
        assert!(too_large(Path::new("runs/a.features"), MAX_BYTES).is_none());
        assert!(too_large(Path::new("assets/models/a.safetensors"), MAX_BYTES + 1).is_none());
        assert!(too_large(Path::new("assets/models/a.safetensors"), MAX_ASSET_BYTES + 1).is_some());
    }

    #[test]
    fn long_files_are_named() {
        let text = "\n".repeat(MAX_LINES + 1);
        assert_eq!(source_breaches(Path::new("core/src/a.rs"), &text).len(), 1);
        assert!(source_breaches(Path::new("core/tests/it/a.rs"), &text).is_empty());
    }
}
