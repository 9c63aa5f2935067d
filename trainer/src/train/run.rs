//! The folder of a run: one process at a time, one recipe for good.
//!
//! ```text
//! lock           held by the process that trains; says which it is
//! recipe.toml    the recipe with every default filled in; all but `[keep]` is for good
//! events.jsonl   what happened
//! last/, best/   checkpoints
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use jnana_models::write_whole;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::{Error, Result};

/// Differences between recipes that an error names.
const NAMED: usize = 5;

/// A run's folder, held until it is dropped.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    recipe_hash: String,
    _lock: File,
}

impl Run {
    /// Takes a folder for a run of `recipe`, which has every default filled in. A new folder is made; in an old one the
    /// recipe has to be the one that it was started with, but for `[keep]`: when to measure and to keep may change.
    ///
    /// # Errors
    /// When another process has the folder, its recipe is another one, or it cannot be written.
    pub fn open(folder: &Path, recipe: &Table) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let lock = lock(folder)?;
        let learned = without_keep(recipe);
        let path = folder.join("recipe.toml");
        if path.exists() {
            let kept = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            let kept: Table = kept.parse().map_err(|error: toml::de::Error| Error::File {
                path: path.clone(),
                expected: "the run's recipe".to_owned(),
                got: error.to_string(),
            })?;
            let differences = differences(&without_keep(&kept), &learned);
            if !differences.is_empty() {
                return Err(Error::OtherRecipe { folder: folder.to_owned(), differences });
            }
        }
        write_whole(&path, recipe.to_string().as_bytes())?;
        let recipe_hash = hex::encode(Sha256::digest(learned.to_string()));
        Ok(Self { folder: folder.to_owned(), recipe_hash, _lock: lock })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// sha256 of the recipe's text without `[keep]`.
    #[must_use]
    pub fn recipe_hash(&self) -> &str {
        &self.recipe_hash
    }
}

/// What of a recipe decides what is learned.
fn without_keep(recipe: &Table) -> Table {
    let mut recipe = recipe.clone();
    recipe.remove("keep");
    recipe
}

/// The lock ends with the process, however it ends; the text in it is for people.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Without its text the lock still says enough.
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "another process" } else { holder.trim() }.to_owned();
            return Err(Error::Locked { folder: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
    }
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
    file.set_len(0)
        .and_then(|()| writeln!(file, "process {} since {now}", std::process::id()))
        .map_err(Error::io("write", &path))?;
    Ok(file)
}

/// Waits until a file, or a folder's list of files, is on the disk.
pub(super) fn sync(path: &Path) -> Result<()> {
    // Elsewhere than on Unix a folder cannot be opened as a file.
    if path.is_dir() && !cfg!(unix) {
        return Ok(());
    }
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io("sync", path))
}

/// In words, empty for none: `rate was 0.1, is 0.2; …`.
fn differences(kept: &Table, given: &Table) -> String {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    flatten("", &Value::Table(kept.clone()), &mut old);
    flatten("", &Value::Table(given.clone()), &mut new);
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let said = |key: &String| {
        let value =
            |values: &BTreeMap<String, String>| values.get(key).map_or("not set", String::as_str).to_owned();
        let (was, is) = (value(&old), value(&new));
        (was != is).then(|| format!("{key} was {was}, is {is}"))
    };
    keys.into_iter().filter_map(said).take(NAMED).collect::<Vec<_>>().join("; ")
}

/// Every value with its dotted path.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| flatten(&below(key), value, into)),
        Value::Array(list) => {
            let items = list.iter().enumerate();
            items.for_each(|(number, value)| flatten(&below(&number.to_string()), value, into));
        }
        plain => {
            into.insert(path.to_owned(), plain.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn a_run_belongs_to_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::open(folder.path(), &recipe("seed = 1")).unwrap();
        let words = Run::open(folder.path(), &recipe("seed = 1")).unwrap_err().to_string();
        assert!(words.contains(&format!("process {} since 2", std::process::id())), "{words}");
        drop(run);
        Run::open(folder.path(), &recipe("seed = 1")).unwrap();
    }

    #[test]
    fn another_recipe_is_refused_with_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let kept = recipe("seed = 1\n[schedule]\nrate = 0.001\n[[sources]]\nname = \"a\"");
        let hash = Run::open(folder.path(), &kept).unwrap().recipe_hash().to_owned();
        assert_eq!(Run::open(folder.path(), &kept).unwrap().recipe_hash(), hash);
        let kept_otherwise = recipe(&format!("{kept}\n[keep]\npatience = 3"));
        assert_eq!(Run::open(folder.path(), &kept_otherwise).unwrap().recipe_hash(), hash);
        assert!(fs::read_to_string(folder.path().join("recipe.toml")).unwrap().contains("patience"));
        let other = recipe("seed = 1\nsteps = 9\n[schedule]\nrate = 0.002\n[[sources]]\nname = \"b\"");
        let words = Run::open(folder.path(), &other).unwrap_err().to_string();
        for part in [
            "schedule.rate was 0.001, is 0.002",
            "steps was not set, is 9",
            "sources.0.name was \"a\", is \"b\"",
        ] {
            assert!(words.contains(part), "{words}");
        }
        assert!(!words.contains("seed"), "{words}");
    }
}
