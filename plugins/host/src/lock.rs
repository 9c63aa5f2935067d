//! `plugins.lock.json`: which libraries of a plugins folder are trusted, how far, and which of them are switched on.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jnana_api::plugins::Manifest;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::sealed::Sealed;

/// Name of the lock file in the plugins folder.
pub const LOCK_FILE: &str = "plugins.lock.json";

const VERSION: u32 = 2;

/// How far a library is trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// As the server itself: it may run in the server's process.
    Full,
    /// To do its work: it runs where it can harm nobody.
    #[default]
    Contained,
}

/// What is known of a trusted library.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Of its bytes, in lower-case hex.
    pub sha256: String,
    /// How far it is trusted.
    #[serde(default)]
    pub trust: Trust,
    /// Id of its manifest, when it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What its manifest said that it needs, when it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Vec<String>>,
    /// Switched off by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// Id of the key whose signature was found good when it was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Where it was installed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Pin {
    /// Refuses a manifest that claims another id, or more needs, than when the library was pinned: the same bytes may say
    /// something else on another day, and both decide what the plugin gets.
    pub(crate) fn allows(&self, manifest: &Manifest) -> Result<(), Error> {
        let refused = |reason: String| Err(Error::Manifest { reason });
        if let Some(id) = self.id.as_ref().filter(|id| **id != manifest.id) {
            return refused(format!("its id is {:?} and was {id:?} when it was installed", manifest.id));
        }
        let known = |need: &&String| self.needs.as_ref().is_none_or(|needs| needs.contains(need));
        match manifest.needs.iter().find(|need| !known(need)) {
            Some(need) => {
                refused(format!("it needs {need:?} and did not when it was installed; install it again"))
            }
            None => Ok(()),
        }
    }
}

/// The file. The first version had the sha256 alone in place of a pin.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    version: u32,
    /// By file name.
    plugins: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Hash(String),
    Pin(Pin),
}

impl From<Entry> for Pin {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Hash(sha256) => Self { sha256, ..Self::default() },
            Entry::Pin(pin) => pin,
        }
    }
}

/// The pins of a folder; none when it has no lock file.
///
/// # Errors
/// When the lock file cannot be read.
pub fn pins(folder: &Path) -> Result<BTreeMap<String, Pin>, Error> {
    let path = folder.join(LOCK_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Error::io("reading", path)(error)),
    };
    let lock: Lock = serde_json::from_str(&text)
        .map_err(|error| Error::Lock { path: path.clone(), reason: error.to_string() })?;
    if !(1..=VERSION).contains(&lock.version) {
        let reason = format!("expected version 1 or {VERSION}, got {}", lock.version);
        return Err(Error::Lock { path, reason });
    }
    Ok(lock.plugins.into_iter().map(|(file, entry)| (file, entry.into())).collect())
}

/// Pins a library that lies in the plugins folder as it is now, whatever it is, and returns its sha256.
///
/// # Errors
/// When the library cannot be read, or the lock file cannot be read or replaced.
pub fn pin(folder: &Path, file: &str, trust: Trust) -> Result<String, Error> {
    let sha256 = Sealed::read(&folder.join(file))?.sha256;
    write_pin(folder, file, Pin { sha256: sha256.clone(), trust, ..Pin::default() })?;
    Ok(sha256)
}

/// Adds or replaces the pin of a file.
pub(crate) fn write_pin(folder: &Path, file: &str, pin: Pin) -> Result<(), Error> {
    let mut plugins = pins(folder)?;
    plugins.insert(file.to_owned(), pin);
    write(folder, plugins)
}

/// Changes the pin of a file; `change` says whether it stays.
pub(crate) fn change(folder: &Path, file: &str, change: impl FnOnce(&mut Pin) -> bool) -> Result<(), Error> {
    let mut plugins = pins(folder)?;
    if let Some(pin) = plugins.get_mut(file)
        && !change(pin)
    {
        plugins.remove(file);
    }
    write(folder, plugins)
}

fn write(folder: &Path, plugins: BTreeMap<String, Pin>) -> Result<(), Error> {
    let path = folder.join(LOCK_FILE);
    let plugins = plugins.into_iter().map(|(file, pin)| (file, Entry::Pin(pin))).collect();
    let mut text = serde_json::to_string_pretty(&Lock { version: VERSION, plugins })
        .map_err(|error| Error::Lock { path: path.clone(), reason: error.to_string() })?;
    text.push('\n');
    replace(&path, text.as_bytes())
}

/// Puts a file into the plugins folder, whole or not at all. The server that reads it may be another user's.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    let readable = builder.permissions(std::fs::Permissions::from_mode(0o644));
    let mut file = readable.tempfile_in(folder).map_err(Error::io("writing into", folder))?;
    file.write_all(bytes).map_err(Error::io("writing", path))?;
    file.as_file().sync_all().map_err(Error::io("writing", path))?;
    file.persist(path).map_err(|error| Error::io("replacing", path)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, example B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_pin_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libx.so"), b"abc").unwrap();
        assert_eq!(pin(folder.path(), "libx.so", Trust::Full).unwrap(), ABC);
        let expected = Pin { sha256: ABC.to_owned(), trust: Trust::Full, ..Pin::default() };
        assert_eq!(pins(folder.path()).unwrap()["libx.so"], expected);
        change(folder.path(), "libx.so", |pin| {
            pin.disabled = true;
            true
        })
        .unwrap();
        assert!(pins(folder.path()).unwrap()["libx.so"].disabled);
        change(folder.path(), "libx.so", |_| false).unwrap();
        assert!(pins(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn a_changed_or_unknown_library_is_refused_with_both_hashes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libx.so"), b"abc").unwrap();
        let pinned = pin(folder.path(), "libx.so", Trust::Contained).unwrap();
        std::fs::write(folder.path().join("libx.so"), b"abd").unwrap();
        let sealed = Sealed::read(&folder.path().join("libx.so")).unwrap();
        let words = sealed.verify("libx.so", &pins(folder.path()).unwrap()).unwrap_err().to_string();
        assert!(words.contains(&pinned) && words.contains(&sealed.sha256), "{words}");
        let words = sealed.verify("liby.so", &pins(folder.path()).unwrap()).unwrap_err().to_string();
        assert!(words.contains("not pinned") && words.contains(&sealed.sha256), "{words}");
    }

    #[test]
    fn a_file_of_the_first_version_is_read_and_trusts_nothing_fully() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"version": 1, "plugins": {{"libx.so": "{ABC}"}}}}"#);
        std::fs::write(folder.path().join(LOCK_FILE), text).unwrap();
        let expected = Pin { sha256: ABC.to_owned(), ..Pin::default() };
        assert_eq!(pins(folder.path()).unwrap()["libx.so"], expected);
        assert_eq!(expected.trust, Trust::Contained);
    }

    #[test]
    fn a_broken_lock_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["{", r#"{"version": 3, "plugins": {}}"#, r#"{"version": 1}"#] {
            std::fs::write(folder.path().join(LOCK_FILE), text).unwrap();
            assert!(pins(folder.path()).unwrap_err().to_string().contains(LOCK_FILE), "{text}");
        }
    }
}
