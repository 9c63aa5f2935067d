//! A candidate's folder: whether it may be looked at, what it brings, and a copy that nobody changes any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use jnana_core::model_card::CardFile;

use crate::error::ApiError;
use crate::settings::Settings;

/// Folders of the home folder in which candidates may lie.
const HOME_FOLDERS: [&str; 2] = ["jobs", "runs"];

const ADAPTER: &str = "adapter";
const ADAPTER_FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];
const PROJECTOR: &str = "projector.safetensors";

/// What a folder brings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Brought {
    /// The folder itself where it holds a whole model.
    pub(super) core: Option<PathBuf>,
    /// Folder of an adapter: to run beside the core, or beside a core of its own what was merged into it.
    pub(super) adapter: Option<PathBuf>,
    /// Whether the core's card wants the adapter beside it.
    pub(super) adapter_runs: bool,
    /// Id that the core's card gives it.
    pub(super) name: Option<String>,
    /// Embedding space that the core's card names.
    pub(super) space: Option<String>,
    /// The projector that does not say which plugin it is for.
    pub(super) projector: Option<PathBuf>,
    /// Projectors by plugin.
    pub(super) projectors: BTreeMap<String, PathBuf>,
}

/// The real path of a folder that an administrator may name.
///
/// # Errors
/// 403 for any other, and for one that a link leads to; 404 where there is none.
pub(super) fn allowed(settings: &Settings, path: &str) -> Result<PathBuf, ApiError> {
    let home = HOME_FOLDERS.iter().map(|folder| settings.home.join(folder));
    let path = Path::new(path);
    for root in home.chain(settings.candidates.clone()) {
        let Ok(rest) = path.strip_prefix(&root) else { continue };
        let Ok(root) = root.canonicalize() else { continue };
        let Ok(real) = path.canonicalize() else {
            return Err(ApiError::not_found(format!("there is no folder {}", path.display())).at("path"));
        };
        // A link or `..` anywhere on the way leads to another path.
        if real == root.join(rest) && real != root && real.is_dir() {
            return Ok(real);
        }
    }
    let words = format!(
        "{} is no folder below jobs or runs of {} or below the folder that --candidates names; links do not count",
        path.display(),
        settings.home.display()
    );
    Err(ApiError::forbidden("foreign_path", words).at("path"))
}

impl Brought {
    /// What lies in `folder`, a real path.
    ///
    /// # Errors
    /// In words when it is nothing to serve, or a part of it is a link or lies elsewhere.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let mut brought = Self { projectors: named_projectors(folder)?, ..Self::default() };
        if holds_weights(folder)? {
            brought.core = Some(folder.to_owned());
            brought.take_card(folder)?;
        }
        let adapter = folder.join(ADAPTER);
        if brought.adapter.is_none() && adapter.join(ADAPTER_FILES[0]).exists() {
            brought.adapter = Some(adapter);
        }
        let projector = folder.join(PROJECTOR);
        if !brought.projectors.values().any(|known| *known == projector) && projector.exists() {
            brought.projector = Some(projector);
        }
        ensure!(
            brought.core.is_some() || brought.files().next().is_some(),
            "{} holds neither {PROJECTOR} nor {ADAPTER}/ nor a model: name the folder of a finished run, or of what \
             jnana-trainer pack or merge wrote",
            folder.display()
        );
        for file in brought.files() {
            ensure_own(folder, &file)?;
        }
        Ok(brought)
    }

    fn take_card(&mut self, folder: &Path) -> Result<()> {
        let Some((card, at)) = CardFile::read(folder)? else { return Ok(()) };
        ensure!(
            card.base.is_none(),
            "{} names a base elsewhere: a candidate's weights lie in its folder",
            at.display()
        );
        (self.name, self.space) = (card.name, card.space);
        self.adapter_runs = card.adapter.is_some();
        self.adapter = card.adapter.map(|adapter| at.with_file_name(adapter));
        let projectors = card.projectors.into_iter();
        self.projectors.extend(projectors.map(|(plugin, file)| (plugin, at.with_file_name(file))));
        Ok(())
    }

    /// The files of adapter and projectors.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let of_adapter = self.adapter.iter().flat_map(|folder| ADAPTER_FILES.map(|file| folder.join(file)));
        of_adapter.chain(self.projector.clone()).chain(self.projectors.values().cloned())
    }

    /// The same with adapter and projectors copied into `to`. A core stays where it is: it can have gigabytes.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub(super) fn copied(&self, to: &Path) -> Result<Self> {
        let mut copy = self.clone();
        if let Some(folder) = &self.adapter {
            let own = to.join(ADAPTER);
            std::fs::create_dir_all(&own).with_context(|| own.display().to_string())?;
            for file in ADAPTER_FILES {
                copy_file(&folder.join(file), &own.join(file))?;
            }
            copy.adapter = Some(own);
        }
        for (own, name) in
            copy.projector.iter_mut().map(|file| (file, PROJECTOR.to_owned())).chain(
                copy.projectors.iter_mut().map(|(plugin, file)| (file, format!("{plugin}.{PROJECTOR}"))),
            )
        {
            let target = to.join(name);
            copy_file(own, &target)?;
            *own = target;
        }
        Ok(copy)
    }

    /// The same copy when its folder has moved.
    pub(super) fn moved(self, from: &Path, to: &Path) -> Self {
        let moved = |path: PathBuf| path.strip_prefix(from).map_or(path.clone(), |rest| to.join(rest));
        Self {
            adapter: self.adapter.map(moved),
            projector: self.projector.map(moved),
            projectors: self.projectors.into_iter().map(|(plugin, file)| (plugin, moved(file))).collect(),
            ..self
        }
    }
}

/// `PLUGIN.projector.safetensors`, by plugin.
fn named_projectors(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let named = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let plugin = name.strip_suffix(PROJECTOR)?.strip_suffix('.')?;
        Some((plugin.to_owned(), entry.path()))
    });
    Ok(named.collect())
}

/// Whether a folder holds a core of its own.
fn holds_weights(folder: &Path) -> Result<bool> {
    if ["model.safetensors", "model.safetensors.index.json"].iter().any(|file| folder.join(file).exists()) {
        return Ok(true);
    }
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    Ok(entries.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "gguf")))
}

/// Refuses what a link leads to, or the card to another folder.
fn ensure_own(folder: &Path, file: &Path) -> Result<()> {
    let real = file.canonicalize().with_context(|| file.display().to_string())?;
    ensure!(
        real == file && real.starts_with(folder) && real.is_file(),
        "{} is no file of the folder itself; links do not count",
        file.display()
    );
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use axum::http::StatusCode;

    use super::*;
    use crate::settings::Given;

    fn write(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
    }

    #[test]
    fn only_real_folders_below_the_named_ones_may_be_looked_at() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let given = Given {
            home: Some(home.path().to_owned()),
            candidates: Some(elsewhere.path().join("made")),
            ..Given::default()
        };
        let settings = given.resolve().unwrap();
        write(home.path(), &["runs/one/x", "secret/x"]);
        write(elsewhere.path(), &["made/two/x", "other/x"]);
        symlink(home.path().join("secret"), home.path().join("runs/link")).unwrap();
        let status = |path: PathBuf| allowed(&settings, path.to_str().unwrap()).map_err(|error| error.status);
        assert!(status(home.path().join("runs/one")).is_ok());
        assert!(status(elsewhere.path().join("made/two")).is_ok());
        assert_eq!(status(home.path().join("runs/none")), Err(StatusCode::NOT_FOUND));
        let denied =
            ["runs", "runs/link", "runs/../secret", "runs/one/../../secret", "secret", "runs/one/x", ""];
        for path in denied.map(|path| home.path().join(path)) {
            assert_eq!(status(path.clone()), Err(StatusCode::FORBIDDEN), "{}", path.display());
        }
        for path in ["/etc", "runs/one", "../secret"] {
            assert_eq!(status(path.into()), Err(StatusCode::FORBIDDEN), "{path}");
        }
        assert_eq!(status(elsewhere.path().join("other")), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn a_folder_is_read_by_its_names_and_copied_as_it_is() {
        let (run, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = run.path().canonicalize().unwrap();
        assert!(Brought::of(&folder).unwrap_err().to_string().contains("holds neither"));
        write(&folder, &["adapter/adapter_config.json"]);
        assert!(Brought::of(&folder).is_err(), "an adapter without matrices");
        write(&folder, &["adapter/adapter_model.safetensors", PROJECTOR, "hear.projector.safetensors"]);
        let brought = Brought::of(&folder).unwrap();
        assert_eq!(brought.core, None);
        assert_eq!(brought.projectors["hear"], folder.join("hear.projector.safetensors"));
        let copy = brought.copied(to.path()).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(copy.projector.as_ref().unwrap()), PROJECTOR);
        assert_eq!(read(&copy.projectors["hear"]), "hear.projector.safetensors");
        assert_eq!(
            read(&copy.adapter.as_ref().unwrap().join(ADAPTER_FILES[0])),
            "adapter/adapter_config.json"
        );
        let moved = copy.moved(to.path(), Path::new("/elsewhere"));
        assert_eq!(moved.adapter, Some("/elsewhere/adapter".into()));
    }

    #[test]
    fn links_and_files_elsewhere_are_refused() {
        let run = tempfile::tempdir().unwrap();
        let folder = run.path().canonicalize().unwrap();
        write(&folder, &["one/other", "two/model.safetensors", "other"]);
        symlink(folder.join("other"), folder.join("one").join(PROJECTOR)).unwrap();
        assert!(Brought::of(&folder.join("one")).unwrap_err().to_string().contains("links do not count"));
        let card = |card: CardFile| card.write(&folder.join("two")).unwrap();
        card(CardFile { projectors: [("see".to_owned(), "../other".into())].into(), ..CardFile::new() });
        assert!(Brought::of(&folder.join("two")).is_err());
        card(CardFile { base: Some("../other".into()), ..CardFile::new() });
        assert!(Brought::of(&folder.join("two")).unwrap_err().to_string().contains("names a base elsewhere"));
    }
}
