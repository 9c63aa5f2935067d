//! Generations of weights: what serves, what served before, and candidates that are loaded beside.
//!
//! A generation is an [`Assistant`] that never changes, under a record of where it came from. Whoever makes an answer
//! holds the assistant that it began with; a promotion only decides which one the next answer begins with. An assistant goes
//! when its last answer has ended and it is neither what serves nor what a roll-back goes to.
//!
//! `opening` says what serves after a start, `candidate` loads, `trial` asks both, `promotion` changes what serves.

mod candidate;
mod completion;
mod equivalence;
mod folder;
mod identity;
mod opening;
mod promotion;
mod record;
mod retirement;
mod trial;

pub use candidate::{add, remove};
pub use opening::open;
pub use promotion::{promote, roll_back};
pub use trial::try_both;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jnana_api::generations as wire;
use jnana_core::Stats;

use crate::assistant::Assistant;
use crate::catalog::{Catalog, Library};
use crate::error::ApiError;
use crate::settings::Settings;
use candidate::Candidate;
use record::{Kept, Record};

/// Folder in the home folder: the files of candidates and generations, and the record of what serves.
const FOLDER: &str = "generations";

/// What serves, and what could.
#[derive(Debug, Default)]
pub struct Serving {
    line: RwLock<Option<Line>>,
    candidates: Mutex<Vec<Arc<Candidate>>>,
    /// Held by whoever loads a candidate or changes what serves: one after the other.
    turn: Mutex<()>,
    /// Figures of engines that are gone.
    ended: Mutex<Stats>,
}

/// What serves, and the one before.
#[derive(Debug, Clone)]
struct Line {
    current: Generation,
    before: Option<Past>,
    notices: Vec<String>,
}

/// Weights that serve.
#[derive(Debug, Clone)]
struct Generation {
    record: Record,
    assistant: Arc<Assistant>,
}

/// Weights that served; after a restart they are loaded only when somebody goes back to them.
#[derive(Debug, Clone)]
struct Past {
    record: Record,
    assistant: Option<Arc<Assistant>>,
}

impl From<Generation> for Past {
    fn from(Generation { record, assistant }: Generation) -> Self {
        Self { record, assistant: Some(assistant) }
    }
}

impl Line {
    fn records(&self) -> impl Iterator<Item = &Record> {
        [Some(&self.current.record), self.before.as_ref().map(|past| &past.record)].into_iter().flatten()
    }

    /// The number of the next new generation.
    fn next_number(&self) -> u32 {
        self.records().map(|record| record.number).max().unwrap_or(0).saturating_add(1)
    }

    fn shown(&self) -> wire::Generations {
        wire::Generations {
            current: self.current.record.shown(true),
            before: self.before.as_ref().map(|past| past.record.shown(past.assistant.is_some())),
            notices: self.notices.clone(),
        }
    }

    /// What a start needs to go on with it.
    fn to_keep(&self, settings: &Settings) -> Kept {
        let before = self.before.as_ref().map(|past| past.record.clone());
        Kept::of(settings.model.clone(), self.current.record.clone(), before)
    }
}

impl Serving {
    /// What new answers are made by; none while it is being loaded.
    #[must_use]
    pub fn assistant(&self) -> Option<Arc<Assistant>> {
        let line = self.line.read().unwrap_or_else(PoisonError::into_inner);
        line.as_ref().map(|line| line.current.assistant.clone())
    }

    /// What serves and served, for administrators.
    ///
    /// # Errors
    /// 503 while the first one is being loaded.
    pub fn generations(&self) -> Result<wire::Generations, ApiError> {
        Ok(self.line()?.shown())
    }

    /// What is loaded beside, oldest first.
    #[must_use]
    pub fn candidates(&self) -> Vec<wire::Candidate> {
        self.candidate_list().iter().map(|candidate| candidate.shown.clone()).collect()
    }

    /// Figures of all engines since the start of the program: counts of all of them, the rest of what serves.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut all = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Ok(line) = self.line() else { return all };
        if let Some(before) = line.before.and_then(|past| past.assistant) {
            all.add_counts(&before.model.engine.stats());
        }
        let mut stats = line.current.assistant.model.engine.stats();
        stats.add_counts(&all);
        stats
    }

    /// Ends all engines; running answers are cancelled. Blocks until they are gone.
    pub fn end(&self) {
        let line = self.line().ok();
        let before = line.iter().filter_map(|line| line.before.as_ref()?.assistant.clone());
        let current = line.iter().map(|line| line.current.assistant.clone());
        let candidates = self.candidate_list();
        let beside = candidates.iter().map(|candidate| candidate.assistant.clone());
        for assistant in current.chain(before).chain(beside) {
            assistant.model.engine.cancel_all();
            assistant.model.engine.shutdown();
        }
    }

    fn line(&self) -> Result<Line, ApiError> {
        let line = self.line.read().unwrap_or_else(PoisonError::into_inner);
        line.clone().ok_or_else(loading)
    }

    fn set_line(&self, line: Line) {
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn candidate_list(&self) -> Vec<Arc<Candidate>> {
        self.candidates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn candidate(&self, id: &str) -> Result<Arc<Candidate>, ApiError> {
        self.candidate_list().into_iter().find(|candidate| candidate.shown.id == id).ok_or_else(|| {
            ApiError::not_found(format!(
                "no candidate has the id {id:?}; GET /api/admin/candidates lists them"
            ))
        })
    }

    fn put_candidate(&self, candidate: Arc<Candidate>) {
        self.candidates.lock().unwrap_or_else(PoisonError::into_inner).push(candidate);
    }

    fn take_candidate(&self, id: &str) {
        let mut candidates = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        candidates.retain(|candidate| candidate.shown.id != id);
    }

    fn count_ended(&self, stats: &Stats) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).add_counts(stats);
    }

    /// The number of the generation that has this id, among what serves and what a roll-back goes to.
    fn number_of(&self, id: &str) -> Option<u32> {
        let line = self.line().ok()?;
        line.records().find(|record| record.identity.id == id).map(|record| record.number)
    }

    /// Whether a folder is part of anything that serves, may serve again, or could be tried: what a core was merged from is no
    /// source of it, but lies in the folder that is called as it.
    fn uses(&self, folder: &Path) -> bool {
        let mut candidates = self.candidate_list().into_iter();
        self.line().is_ok_and(|line| line.records().any(|record| record.sources.lie_below(folder)))
            || candidates.any(|candidate| {
                folder.ends_with(&candidate.shown.id) || candidate.assistant.model.sources.lie_below(folder)
            })
    }
}

/// 503: there is no model yet.
#[must_use]
pub fn loading() -> ApiError {
    let loading = ApiError::unavailable("the model is being loaded; try again in a moment");
    ApiError { retry_after: Some(2), ..loading }
}

/// Where models come from.
fn models(settings: &Settings) -> anyhow::Result<(Catalog, Library)> {
    Ok((Catalog::built_in()?, Library::new(settings.home.join("models"), settings.network.clone())))
}

fn home_of(settings: &Settings) -> PathBuf {
    settings.home.join(FOLDER)
}
