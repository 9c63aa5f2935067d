//! Candidates: a folder's weights, completed with those that serve, loaded beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use jnana_api::generations as wire;
use jnana_core::report::with_causes;

use super::completion::{complete, notices};
use super::folder::{self, Brought};
use super::identity::identify;
use super::retirement::{discard, retire};
use super::{home_of, loading, models};
use crate::assistant::{Assistant, Identity, Sources};
use crate::error::ApiError;
use crate::memory;
use crate::settings::Settings;
use crate::state::App;
use crate::storage::now_ms;

/// Folders of candidates that are being copied.
const PARTIAL: &str = ".new-";

/// Weights that are loaded beside those that serve.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) shown: wire::Candidate,
    pub(super) assistant: Arc<Assistant>,
    /// What its core was merged from, where it says so.
    pub(super) merge: Option<Merge>,
}

/// An adapter and what it was merged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Merge {
    /// The weights that served.
    pub(super) base: PathBuf,
    pub(super) adapter: PathBuf,
}

/// Loads the folder at `path` beside what serves, for the session `by`. One that is loaded already stays as it is. Blocks for
/// as long as that takes.
///
/// # Errors
/// 403 and 404 for a path that may not be named, 400 for a folder that cannot serve, 409 for weights that serve already, 503
/// where there is no room.
pub fn add(app: &App, path: &str, by: String) -> Result<wire::Candidate, ApiError> {
    let folder = folder::allowed(&app.settings, path)?;
    let _turn = app.serving.turn();
    let serving = app.serving.assistant().ok_or_else(loading)?;
    let brought = Brought::of(&folder).map_err(|error| refused(&error))?;
    let home = home_of(&app.settings);
    std::fs::create_dir_all(&home).map_err(ApiError::internal)?;
    let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(&home).map_err(ApiError::internal)?;
    let copy = brought.copied(partial.path()).map_err(|error| refused(&error))?;
    let identity = identity_of(&app.settings, &serving, &copy)?;
    let mut known = app.serving.candidate_list().into_iter();
    if let Some(known) = known.find(|known| known.shown.id == identity.id) {
        return Ok(known.shown.clone());
    }
    if let Some(number) = app.serving.number_of(&identity.id) {
        let words = format!(
            "{path} holds the weights of generation {number}, which serve already or are a roll-back away"
        );
        return Err(ApiError::conflict(words));
    }
    let copy = settle(copy, partial.path(), &home.join(&identity.id)).map_err(ApiError::internal)?;
    let (sources, merge) = complete(&app.settings, &serving, &copy)?;
    let notices = notices(&sources, &serving.model.sources);
    let loaded = load(&app.settings, &serving, sources).map_err(|error| {
        discard(app, &identity.id);
        refused(&error)
    })?;
    let assistant = Arc::new(Assistant { identity: Some(identity.clone()), ..loaded });
    let shown = wire::Candidate {
        id: identity.id,
        path: path.to_owned(),
        since: now_ms(),
        by,
        space: assistant.model.info.space.clone(),
        weights: identity.weights,
        files: assistant.model.sources.shown(),
        weight_bytes: assistant.model.weight_bytes,
        merged: merge.is_some(),
        notices,
    };
    app.serving.put_candidate(Arc::new(Candidate { shown: shown.clone(), assistant, merge }));
    Ok(shown)
}

/// Lets a candidate go, and its files with it.
///
/// # Errors
/// 404 for one that is not there.
pub fn remove(app: &App, id: &str) -> Result<(), ApiError> {
    let candidate = app.serving.candidate(id)?;
    app.serving.take_candidate(id);
    retire(app, candidate.assistant.clone());
    Ok(())
}

fn load(settings: &Settings, serving: &Assistant, sources: Sources) -> Result<Assistant> {
    let (catalog, library) = models(settings)?;
    serving.beside(sources, settings, &catalog, &library)
}

/// Whatever keeps a folder from serving, as an answer: what cannot be mended there is no fault of the folder.
pub(super) fn refused(error: &anyhow::Error) -> ApiError {
    let words = with_causes(error.as_ref());
    match error.downcast_ref::<memory::Full>() {
        Some(_) => ApiError::unavailable(words),
        None => ApiError::invalid("path", words),
    }
}

/// Which weights the completed candidate has.
fn identity_of(settings: &Settings, serving: &Assistant, copy: &Brought) -> Result<Identity, ApiError> {
    let (sources, _) = complete(settings, serving, copy)?;
    let shares_core = sources.weights == serving.model.sources.weights;
    let known = serving.identity.as_ref().filter(|_| shares_core);
    let core = known.map(|identity| identity.weights.core.clone());
    identify(&sources, core).map_err(|error| refused(&error))
}

/// Gives the copy at `partial` the folder that is called as its generation. What an earlier candidate of the same weights left
/// there makes room.
fn settle(copy: Brought, partial: &Path, own: &Path) -> std::io::Result<Brought> {
    if own.exists() {
        std::fs::remove_dir_all(own)?;
    }
    std::fs::rename(partial, own)?;
    Ok(copy.moved(partial, own))
}
