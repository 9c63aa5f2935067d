//! The instance: a path to the program.

use std::path::{Path, PathBuf};

use jnana_plugin_sdk::jobs::{Command, Folders, JobKind, Plan, Request};
use jnana_plugin_sdk::{Call, Code, Create, Error, Jobs, Manifest, Plugin};

use crate::arguments::Work;
use crate::manifest::{PROGRAM, manifest};
use crate::program;

/// Pictures' features, in the plugin's own folder: every job that sees the same pictures takes them from there.
const FEATURES: &str = "features";

/// Training as jobs.
#[derive(Debug)]
pub struct Trainer {
    program: PathBuf,
    features: PathBuf,
}

impl Plugin for Trainer {
    fn manifest() -> Manifest {
        manifest()
    }

    fn create(create: Create) -> Result<Self, Error> {
        let program = match create.settings.get("program") {
            Some(path) => {
                path.as_str().map(PathBuf::from).ok_or_else(|| Error::invalid("program: expected a path"))?
            }
            None => beside_the_host()?,
        };
        if !(program.is_absolute() && program.is_file()) {
            let words = format!(
                "there is no program {}: build it (cargo build --release -p {PROGRAM}) and lay it beside the server's, or \
                 name it in the setting `program`",
                program.display()
            );
            return Err(Error::new(Code::Resource, words));
        }
        Ok(Self { program, features: create.cache_dir.join(FEATURES) })
    }

    fn jobs(&self) -> Option<&dyn Jobs> {
        Some(self)
    }
}

impl Jobs for Trainer {
    fn kinds(&self, folders: &Folders, call: &Call<'_>) -> Result<Vec<JobKind>, Error> {
        let arguments = ["forms", "--data", &folders.data, "--models", &folders.models];
        program::ask(&self.program, &arguments.map(str::to_owned), call)
    }

    fn prepare(&self, request: &Request, call: &Call<'_>) -> Result<Plan, Error> {
        let work = match Work::of(request, &text_of(&self.features)?) {
            Ok(work) => work,
            Err(words) => return Ok(Plan { refusal: Some(words), ..Plan::default() }),
        };
        let looked_at: Plan = match &work.check {
            Some(check) => program::ask(&self.program, check, call)?,
            None => Plan { refusal: work.missing(), estimate: work.estimate(), ..Plan::default() },
        };
        if looked_at.refusal.is_some() {
            return Ok(looked_at);
        }
        let command = Command { program: text_of(&self.program)?, arguments: work.run };
        Ok(Plan { command: Some(command), products: work.products, resumable: work.resumable, ..looked_at })
    }
}

fn beside_the_host() -> Result<PathBuf, Error> {
    let host = std::env::current_exe();
    let host = host
        .map_err(|error| Error::new(Code::Resource, format!("the host's own path is not known: {error}")))?;
    Ok(host.with_file_name(PROGRAM))
}

fn text_of(path: &Path) -> Result<String, Error> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::internal(format!("the path {} is not UTF-8", path.display())))
}
