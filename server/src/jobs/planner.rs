//! Asks plugins what there is to do, and what is to be run for a filled form.

use std::path::Path;
use std::sync::Arc;

use jnana_api::jobs::{Folders, NewJob, OfferedKind, Plan, Request};
use jnana_plugin_host::{CancelFlag, Instance, JOBS, check_settings};

use crate::assistant::{Assistant, call_error};
use crate::error::ApiError;
use crate::state::App;

/// Longest title in characters.
const MAX_TITLE: usize = 200;

/// What a question to the plugins takes. Every function blocks until they have answered.
#[derive(Debug)]
pub struct Planner {
    /// The program: where data, models and jobs are.
    pub app: App,
    /// The plugins.
    pub assistant: Arc<Assistant>,
    /// Set once nobody wants the answer any more.
    pub cancel: CancelFlag,
}

impl Planner {
    /// What all plugins offer.
    ///
    /// # Errors
    /// As a call of the first plugin that fails.
    pub fn kinds(&self) -> Result<Vec<OfferedKind>, ApiError> {
        let mut all = Vec::new();
        for plugin in self.assistant.inputs.of_kind(JOBS) {
            all.extend(self.kinds_of(&plugin)?);
        }
        Ok(all)
    }

    /// Checks a form, and gives it a title where it has none.
    ///
    /// # Errors
    /// 404 for a plugin or a kind that is not there, 400 for settings that are not as the kind's schema says.
    pub fn check(&self, mut new: NewJob) -> Result<NewJob, ApiError> {
        let plugin = self.find(&new.plugin)?;
        let offered = self.kinds_of(&plugin)?.into_iter().map(|offered| offered.kind);
        let unknown = || ApiError::not_found(format!("plugin {} offers no kind {:?}", new.plugin, new.kind));
        let kind = offered.into_iter().find(|kind| kind.kind == new.kind).ok_or_else(unknown)?;
        check_settings(&kind.schema, &new.settings).map_err(|words| ApiError::invalid("settings", words))?;
        let title = new.title.trim();
        if title.chars().count() > MAX_TITLE {
            return Err(ApiError::invalid("title", format!("expected at most {MAX_TITLE} characters")));
        }
        new.title = if title.is_empty() { kind.label } else { title.to_owned() };
        Ok(new)
    }

    /// What is to be run for a checked form, in the folder `work`.
    ///
    /// # Errors
    /// As a call of the plugin does.
    pub fn plan(&self, new: &NewJob, work: &Path) -> Result<Plan, ApiError> {
        let request = Request {
            kind: new.kind.clone(),
            settings: new.settings.clone(),
            folder: text(work),
            folders: self.folders(),
        };
        self.find(&new.plugin)?.prepare_job(&request, &self.cancel).map_err(|error| call_error(&error))
    }

    fn kinds_of(&self, plugin: &Instance) -> Result<Vec<OfferedKind>, ApiError> {
        let kinds = plugin.job_kinds(&self.folders(), &self.cancel).map_err(|error| call_error(&error))?;
        let manifest = plugin.manifest();
        let offered = kinds.into_iter().map(|kind| OfferedKind {
            plugin: manifest.id.clone(),
            plugin_name: manifest.name.clone(),
            kind,
        });
        Ok(offered.collect())
    }

    fn find(&self, id: &str) -> Result<Arc<Instance>, ApiError> {
        let found = self.assistant.inputs.of_kind(JOBS).into_iter().find(|plugin| plugin.id() == id);
        found.ok_or_else(|| ApiError::not_found(format!("no plugin called {id:?} offers jobs")))
    }

    fn folders(&self) -> Folders {
        Folders {
            data: text(&self.app.settings.data),
            models: text(&self.app.settings.home.join("models")),
            runs: text(self.app.jobs.folder()),
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
