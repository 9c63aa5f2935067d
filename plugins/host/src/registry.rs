//! All plugins of a folder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jnana_api::plugins::{Manifest, ModelSetting, PluginInfo, PluginState};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::instance::Instance;
use crate::lock::{self, Pin};
use crate::sealed::Sealed;
use crate::statistics::Statistics;
use crate::worker::RunPolicy;
use crate::{build, elf, manifest, scan, settings};

/// Turns the value of a setting that names a model (`None`: it is absent) into a path. The error is shown to people.
pub type ModelResolver = Box<dyn Fn(&ModelSetting, Option<&Value>) -> Result<PathBuf, String> + Send + Sync>;

/// What the host needs to know to open plugins.
pub struct HostConfig {
    /// A program that answers `plugin-scan PATH` with [`crate::scan_child_main`] and `plugin-worker PARENT SOCKET…` with
    /// [`crate::worker_child_main`]: as a rule the running one.
    pub exe: PathBuf,
    /// Most threads that each plugin may keep busy.
    pub threads: u32,
    /// Id of the language model's embedding space.
    pub space: String,
    /// Width of that space.
    pub width: u32,
    /// Each plugin gets a folder of its id in here.
    pub cache_root: PathBuf,
    /// Plugin id → its settings.
    pub settings: HashMap<String, Map<String, Value>>,
    /// Ids of plugins that are not to be loaded.
    pub disabled: HashSet<String>,
    /// Which plugins run where, and what workers may use.
    pub runs: RunPolicy,
    /// Resolves model names.
    pub resolve_model: ModelResolver,
    /// How long a library may take to show its manifest; a few seconds are plenty.
    pub scan_timeout: Duration,
}

/// The plugins of a folder. Opened once; their libraries stay loaded for as long as the process lives.
pub struct PluginHost {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    id: String,
    file: String,
    sha256: String,
    manifest: Option<Manifest>,
    outcome: Outcome,
}

#[derive(Clone)]
enum Outcome {
    Loaded(Arc<Instance>),
    Disabled,
    Failed(String),
}

impl PluginHost {
    /// Opens every library (`*.so`) of a folder, in the order of their names. A library that fails is listed with the
    /// reason; the others go on. A folder that is not there has no plugins.
    ///
    /// # Errors
    /// When the folder or its lock file cannot be read.
    pub fn open(folder: &Path, config: &HostConfig) -> Result<Self, Error> {
        let pins = lock::pins(folder)?;
        let mut entries: Vec<Entry> = Vec::new();
        for file in libraries(folder)? {
            let entry = open_one(folder, &file, &pins, config, &entries);
            match &entry.outcome {
                Outcome::Loaded(instance) => {
                    tracing::info!(plugin = entry.id, file, runs = ?instance.runs(), "plugin is ready");
                }
                Outcome::Disabled => tracing::info!(plugin = entry.id, file, "plugin is switched off"),
                Outcome::Failed(reason) => {
                    tracing::error!(plugin = entry.id, file, "plugin failed: {reason}");
                }
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }

    /// The same plugins for the language model of `config`: encoders get instances of their own where its space or their
    /// settings differ, everything else is shared. No folder is looked at, so no plugin comes or goes.
    ///
    /// # Errors
    /// When an encoder refuses to be made, such as for a projector into another space.
    pub fn fitting(&self, config: &HostConfig) -> Result<Self, Error> {
        let fitting = |entry: &Entry| -> Result<Entry, Error> {
            let outcome = match &entry.outcome {
                Outcome::Loaded(instance) => Outcome::Loaded(instance.fitting(config)?),
                other => other.clone(),
            };
            Ok(Entry { outcome, ..entry.clone() })
        };
        Ok(Self { entries: self.entries.iter().map(fitting).collect::<Result<_, _>>()? })
    }

    /// All plugins with where they stand, in the order of their file names.
    #[must_use]
    pub fn list(&self) -> Vec<PluginInfo> {
        self.entries.iter().map(Entry::info).collect()
    }

    /// A plugin that was loaded; none for others, whose reason is in [`Self::list`]. One that was loaded and panicked too
    /// often is still here, and its calls say so.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Instance>> {
        self.loaded().find(|instance| instance.id() == id)
    }

    /// The first loaded plugin of a kind that takes a MIME type in a file picker (`ui.accept`) or as raw input.
    #[must_use]
    pub fn find(&self, kind: &str, mime: &str) -> Option<Arc<Instance>> {
        self.loaded().find(|instance| instance.offers(kind) && manifest::takes(instance.manifest(), mime))
    }

    /// What each loaded plugin has done so far, by id.
    #[must_use]
    pub fn statistics(&self) -> Vec<(String, Statistics)> {
        self.loaded().map(|instance| (instance.id().to_owned(), instance.statistics())).collect()
    }

    fn loaded(&self) -> impl Iterator<Item = Arc<Instance>> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Loaded(instance) => Some(Arc::clone(instance)),
            _ => None,
        })
    }
}

impl Entry {
    fn info(&self) -> PluginInfo {
        let (state, status, runs) = match &self.outcome {
            Outcome::Loaded(instance) => (instance.state(), instance.status(), Some(instance.runs())),
            Outcome::Disabled => (PluginState::Disabled, String::new(), None),
            Outcome::Failed(reason) => (PluginState::Failed { reason: reason.clone() }, String::new(), None),
        };
        PluginInfo {
            id: self.id.clone(),
            manifest: self.manifest.clone(),
            state,
            status,
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            runs,
        }
    }
}

/// File names of the libraries in a folder, sorted.
fn libraries(folder: &Path) -> Result<Vec<String>, Error> {
    let listing = match std::fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("listing", folder)(error)),
    };
    let mut files = Vec::new();
    for item in listing {
        let item = item.map_err(Error::io("listing", folder))?;
        let name = item.file_name().to_string_lossy().into_owned();
        if name.ends_with(".so") && !name.starts_with('.') && item.path().is_file() {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

/// Takes one library as far as it gets. Never fails: what goes wrong becomes its state.
fn open_one(
    folder: &Path,
    file: &str,
    pins: &BTreeMap<String, Pin>,
    config: &HostConfig,
    earlier: &[Entry],
) -> Entry {
    let mut entry = Entry {
        id: file.to_owned(),
        file: file.to_owned(),
        sha256: String::new(),
        manifest: None,
        outcome: Outcome::Disabled,
    };
    entry.outcome = match load(&mut entry, folder, pins, config, earlier) {
        Ok(Some(instance)) => Outcome::Loaded(Arc::new(instance)),
        Ok(None) => Outcome::Disabled,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    entry
}

/// The steps from a file to an instance; what is learned on the way goes into `entry`. `None`: switched off.
fn load(
    entry: &mut Entry,
    folder: &Path,
    pins: &BTreeMap<String, Pin>,
    config: &HostConfig,
    earlier: &[Entry],
) -> Result<Option<Instance>, Error> {
    let sealed = Sealed::read(&folder.join(&entry.file))?;
    entry.sha256.clone_from(&sealed.sha256);
    let pin = sealed.verify(&entry.file, pins)?;
    elf::check(&sealed.bytes().map_err(Error::io("reading", &entry.file))?)?;
    let json = scan::scan_sealed(&config.exe, &sealed, config.scan_timeout)?;
    let manifest = manifest::parse(&json)?;
    entry.manifest = Some(manifest.clone());
    pin.allows(&manifest)?;
    if let Some(other) = earlier.iter().find(|other| other.id == manifest.id) {
        return Err(Error::Duplicate { id: manifest.id, other: other.file.clone() });
    }
    entry.id.clone_from(&manifest.id);
    if pin.disabled || config.disabled.contains(&manifest.id) {
        return Ok(None);
    }
    let given = config.settings.get(&manifest.id).cloned().unwrap_or_default();
    let resolved = settings::resolve(&manifest, &given, &config.resolve_model)
        .map_err(|reason| Error::Settings { plugin: manifest.id.clone(), reason })?;
    let fit = resolved.fit;
    let runs = config.runs.of(&manifest.id, pin.trust);
    let recipe = build::recipe(config, runs, sealed, json, &manifest, resolved.settings)?;
    let made = Instance::create(manifest, fit, recipe);
    made.map(Some).map_err(|reason| Error::Create { reason })
}
