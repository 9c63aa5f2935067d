//! What serves after a start: what was promoted last, else the model of the settings.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, ensure};
use jnana_core::report::with_causes;

use super::identity::identify;
use super::record::{Kept, Record};
use super::{Generation, Line, Past, home_of, models};
use crate::assistant::{Assistant, Identity, Sources};
use crate::settings::Settings;
use crate::state::App;
use crate::storage::now_ms;

/// Loads what is to serve. Promoted weights that are missing, damaged or for another model are named, and the model of the
/// settings serves in their place. Blocks for as long as that takes.
///
/// # Errors
/// When the model of the settings cannot be had or loaded.
pub fn open(app: &App) -> Result<()> {
    let (settings, _turn) = (&app.settings, app.serving.turn());
    let folder = home_of(settings);
    let mut notices = Vec::new();
    let written = Kept::read(&folder);
    let found = written.clone().unwrap_or_else(|words| {
        notices.push(format!("what was promoted is not known: {words}. The configured model serves"));
        None
    });
    let kept = found.filter(|kept| {
        kept.model == settings.model || {
            let (over, now) = (&kept.model, &settings.model);
            notices.push(format!(
                "weights were promoted over the model {over}; {now} is configured now, and serves as it is"
            ));
            false
        }
    });
    let promoted = kept.as_ref().filter(|kept| !kept.current.configured).and_then(|kept| {
        let loaded = promoted(app, &kept.current);
        loaded
            .map_err(|error| {
                let (number, why) = (kept.current.number, with_causes(error.as_ref()));
                notices.push(format!(
                    "generation {number} could not be loaded: {why}. The configured model serves"
                ));
            })
            .ok()
    });
    notices.iter().for_each(|notice| tracing::warn!("{notice}"));
    let current = match promoted {
        Some(current) => current,
        None => configured(app, kept.as_ref())?,
    };
    let before =
        kept.and_then(|kept| kept.before).filter(|record| record.identity.id != current.record.identity.id);
    let before = before.map(|record| Past { record, assistant: None });
    app.serving.set_line(Line { current, before, notices });
    // Weights that could not be loaded this time may be at the next start, and nobody knows what an unreadable record names.
    if let Ok(written) = written {
        clear(&folder, written.as_ref());
    }
    Ok(())
}

/// The weights of a record, if they are still what was recorded.
fn promoted(app: &App, record: &Record) -> Result<Generation> {
    let assistant = load(app, record.sources.clone())?;
    let found = assistant.identity.as_ref().map(|identity| identity.id.as_str());
    ensure!(found == Some(record.identity.id.as_str()), "its files are not those that were promoted");
    Ok(Generation { record: record.clone(), assistant: Arc::new(assistant) })
}

/// The model of the settings: the first generation, or the one after that which could not be loaded.
fn configured(app: &App, kept: Option<&Kept>) -> Result<Generation> {
    let settings = &app.settings;
    let (catalog, library) = models(settings)?;
    let sources = Sources::configured(&library.resolve(&catalog, &settings.model)?, settings)?;
    let assistant = load(app, sources.clone())?;
    let identity = assistant.identity.clone().context("a loaded model is identified")?;
    let record = match kept {
        Some(Kept { current, .. }) if current.configured => Record { identity, sources, ..current.clone() },
        _ => {
            let number = kept.map_or(1, |kept| kept.current.number.saturating_add(1));
            Record { number, since: now_ms(), by: None, configured: true, identity, sources }
        }
    };
    Ok(Generation { record, assistant: Arc::new(assistant) })
}

/// Loads a model with its plugins, and meanwhile finds out which weights it has.
fn load(app: &App, sources: Sources) -> Result<Assistant> {
    let settings: &Settings = &app.settings;
    let (catalog, library) = models(settings)?;
    let theirs = sources.clone();
    let (identity, assistant) = thread::scope(|scope| {
        let identity = scope.spawn(move || identify(&theirs, None));
        let assistant = Assistant::of(sources, settings, &catalog, &library, app.metrics.clone());
        (identity.join(), assistant)
    });
    let identity: Identity =
        identity.map_err(|_panic| anyhow::anyhow!("the thread that hashes weights panicked"))??;
    Ok(Assistant { identity: Some(identity), ..assistant? })
}

/// Removes what candidates of an earlier start left: all folders but those of recorded generations. What cannot be removed is
/// in nobody's way.
fn clear(folder: &Path, written: Option<&Kept>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !written.is_some_and(|kept| kept.uses(&path)) {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}
