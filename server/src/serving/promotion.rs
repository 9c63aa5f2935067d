//! Changes of what serves. What is written down comes first, so that a restart never goes back behind an answer.

use jnana_api::generations as wire;

use super::candidate::{Candidate, Merge, refused};
use super::equivalence::{ALLOWED, gap};
use super::record::Record;
use super::retirement::retire;
use super::{Generation, Line, Past, home_of, models};
use crate::assistant::Assistant;
use crate::error::ApiError;
use crate::state::App;
use crate::storage::now_ms;

/// Makes a candidate what serves, for the session `by`; what served is what a roll-back goes to, and the one before that goes.
/// Running answers end on what they began with. Blocks for as long as the checks take.
///
/// # Errors
/// 404 for a candidate that is not there; 409 for a merged core that is not its base with the adapter.
pub fn promote(app: &App, id: &str, by: String) -> Result<wire::Generations, ApiError> {
    let _turn = app.serving.turn();
    let candidate = app.serving.candidate(id)?;
    if let Some(merge) = &candidate.merge {
        check_merge(merge, &candidate)?;
    }
    let line = app.serving.line()?;
    let assistant = candidate.assistant.clone();
    let record = Record {
        number: line.next_number(),
        since: now_ms(),
        by: Some(by),
        configured: false,
        identity: assistant
            .identity
            .clone()
            .ok_or_else(|| ApiError::internal("a candidate without identity"))?,
        sources: assistant.model.sources.clone(),
    };
    let current = Generation { record, assistant };
    let next = Line { current, before: Some(line.current.into()), notices: Vec::new() };
    let shown = change(app, next, line.before)?;
    app.serving.take_candidate(id);
    Ok(shown)
}

/// Goes back to what served before; what served is what the next roll-back goes to.
///
/// # Errors
/// 409 where nothing served before, 400 or 503 where it has to be loaded and cannot be.
pub fn roll_back(app: &App) -> Result<wire::Generations, ApiError> {
    let _turn = app.serving.turn();
    let line = app.serving.line()?;
    let Some(Past { record, assistant }) = line.before else {
        return Err(ApiError::conflict("nothing served before: no candidate has been promoted yet"));
    };
    let assistant = match assistant {
        Some(assistant) => assistant,
        None => load(app, &record, &line.current.assistant)?.into(),
    };
    let current = Generation { record, assistant };
    change(app, Line { current, before: Some(line.current.into()), notices: Vec::new() }, None)
}

/// Writes the new line down, then lets new answers begin with it.
fn change(app: &App, line: Line, leaves: Option<Past>) -> Result<wire::Generations, ApiError> {
    let written = line.to_keep(&app.settings).write(&home_of(&app.settings));
    written.map_err(|error| ApiError::internal(format!("what serves cannot be written down: {error}")))?;
    let shown = line.shown();
    tracing::info!(
        generation = shown.current.number,
        id = shown.current.id,
        "other weights serve from now on"
    );
    app.serving.set_line(line);
    if let Some(assistant) = leaves.and_then(|past| past.assistant) {
        retire(app, assistant);
    }
    Ok(shown)
}

/// What a record names, if it is still that.
fn load(app: &App, record: &Record, serving: &Assistant) -> Result<Assistant, ApiError> {
    let loaded = models(&app.settings).and_then(|(catalog, library)| {
        let identity = super::identity::identify(&record.sources, None)?;
        anyhow::ensure!(
            identity == record.identity,
            "the files of generation {} are not what they were; promote a candidate instead",
            record.number
        );
        let assistant = serving.beside(record.sources.clone(), &app.settings, &catalog, &library)?;
        Ok(Assistant { identity: Some(identity), ..assistant })
    });
    loaded.map_err(|error| refused(&error))
}

fn check_merge(merge: &Merge, candidate: &Candidate) -> Result<(), ApiError> {
    let model = &candidate.assistant.model;
    let gap = gap(merge, &model.sources.weights, &model.tokenizer).map_err(|error| refused(&error))?;
    tracing::info!(candidate = candidate.shown.id, gap, "compared a merged core with its base and adapter");
    if gap <= ALLOWED {
        return Ok(());
    }
    Err(ApiError::conflict(format!(
        "the merged core is not its base with the adapter: their logits differ by {gap:.2e}, {ALLOWED:.0e} is allowed. Merge \
         again with --dtype f32 from {}, or promote the adapter beside it",
        merge.base.display()
    )))
}
