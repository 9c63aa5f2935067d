//! From all that is known of a plugin to what its instances are made with, here or in a worker.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jnana_api::plugins::{Manifest, Runs};
use serde_json::{Map, Value};

use crate::ear::ServerLog;
use crate::error::Error;
use crate::faults::Faults;
use crate::registry::HostConfig;
use crate::runner::Recipe;
use crate::sandbox::Sandbox;
use crate::sealed::Sealed;
use crate::services::Services;
use crate::sink::Sinks;
use crate::worker::{self, MAX_LANES};
use crate::{library, native};

/// What the instances of a plugin are made with; `json` is its manifest as the scanning child showed it.
pub(crate) fn recipe(
    config: &HostConfig,
    runs: Runs,
    sealed: Sealed,
    json: String,
    manifest: &Manifest,
    settings: Map<String, Value>,
) -> Result<Recipe, Error> {
    let cache_dir = config.cache_root.join(&manifest.id);
    match runs {
        Runs::InProcess => {
            let functions = library::load(&sealed.into_path())?;
            if functions.manifest()? != json {
                let reason = "it is another one than in the scanning child".to_owned();
                return Err(Error::Manifest { reason });
            }
            let ear = || Box::new(ServerLog(manifest.id.clone()));
            Ok(Recipe::Here(native::Recipe {
                functions,
                services: Services::leak(ear(), config.threads),
                sinks: Sinks::leak(ear()),
                space: config.space.clone(),
                width: config.width,
                cache_dir,
                settings,
            }))
        }
        Runs::Worker => {
            let sandbox = Sandbox {
                needs: manifest.needs.clone(),
                reads: readable(manifest, &settings),
                writes: Some(cache_dir.clone()),
                memory: Some(config.runs.limits.memory),
            };
            let (space, width, threads) = (config.space.clone(), config.width, config.threads.max(1));
            Ok(Recipe::Worker(Box::new(worker::Recipe {
                start: worker::Start {
                    exe: config.exe.clone(),
                    plugin: manifest.id.clone(),
                    folder: cache_dir.clone(),
                    limits: config.runs.limits.clone(),
                },
                library: sealed,
                hello: worker::Hello { manifest: json, space, width, threads, cache_dir, settings, sandbox },
                lanes: manifest.max_concurrency.min(MAX_LANES),
                faults: Arc::new(Faults::default()),
            })))
        }
    }
}

/// The same library for the language model of `config`, with other settings.
pub(crate) fn again(
    recipe: &Recipe,
    config: &HostConfig,
    manifest: &Manifest,
    settings: Map<String, Value>,
) -> Result<Recipe, Error> {
    let (space, width) = (config.space.clone(), config.width);
    Ok(match recipe {
        Recipe::Here(recipe) => Recipe::Here(native::Recipe { space, width, settings, ..recipe.clone() }),
        Recipe::Worker(recipe) => {
            let hello = recipe.hello.clone();
            let sandbox = Sandbox { reads: readable(manifest, &settings), ..hello.sandbox };
            Recipe::Worker(Box::new(worker::Recipe {
                start: recipe.start.clone(),
                library: recipe.library.again().map_err(Error::io("sharing the library of", &manifest.id))?,
                hello: worker::Hello { space, width, settings, sandbox, ..hello },
                lanes: recipe.lanes,
                faults: Arc::clone(&recipe.faults),
            }))
        }
    })
}

/// What a plugin may read beside the system's own files: its models, and, if it says that it needs the file system, every
/// file or folder that its settings name.
fn readable(manifest: &Manifest, settings: &Map<String, Value>) -> Vec<PathBuf> {
    let all = manifest.needs.iter().any(|need| need == "filesystem");
    let is_model = |name: &str| manifest.models.iter().any(|model| model.setting == name);
    let named =
        settings.iter().filter(|(name, _)| all || is_model(name)).flat_map(|(_, value)| match value {
            Value::String(path) => vec![path.as_str()],
            Value::Array(paths) => paths.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        });
    named.map(Path::new).filter(|path| path.exists()).flat_map(with_targets).collect()
}

/// A path, with what the links of a folder lead to: a folder of a model is often made of links.
fn with_targets(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let targets = entries.filter(|entry| entry.is_symlink()).filter_map(|link| link.canonicalize().ok());
    std::iter::once(path.to_owned()).chain(targets).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_plugin_reads_its_models_and_what_it_says_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let (model, file) = (folder.path().join("model"), folder.path().join("file"));
        let blob = folder.path().join("blob");
        std::fs::create_dir(&model).unwrap();
        std::fs::write(&file, "").unwrap();
        std::fs::write(&blob, "").unwrap();
        std::os::unix::fs::symlink(&blob, model.join("weights")).unwrap();
        let manifest = |needs: Value| -> Manifest {
            serde_json::from_value(json!({
                "id": "a", "name": "A", "version": "1", "kinds": [], "accepts": [], "needs": needs,
                "models": [{"setting": "model", "default": ""}],
                "ui": {"control": "text", "label": "", "noun": "", "icon": ""}
            }))
            .unwrap()
        };
        let settings = json!({"model": model, "file": file, "language": "en", "missing": "/no/such/file"});
        let settings = settings.as_object().unwrap();
        let blob = blob.canonicalize().unwrap();
        let readable = |needs: Value| -> BTreeSet<PathBuf> {
            readable(&manifest(needs), settings).into_iter().collect()
        };
        assert_eq!(readable(json!([])), BTreeSet::from([model.clone(), blob.clone()]));
        assert_eq!(readable(json!(["filesystem"])), BTreeSet::from([file, model, blob]));
    }
}
