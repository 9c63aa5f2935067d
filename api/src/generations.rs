//! Generations of weights: what serves, what served before, and what could serve next.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `GET /api/admin/generations` | – | [`Generations`] |
//! | `POST /api/admin/generations/rollback` | – | [`Generations`]: the one before serves, and the one that served is the one before |
//! | `GET /api/admin/candidates` | – | `Vec<`[`Candidate`]`>`, oldest first |
//! | `POST /api/admin/candidates` | [`NewCandidate`] | [`Candidate`], once it is loaded |
//! | `DELETE /api/admin/candidates/{id}` | – | 204 |
//! | `POST /api/admin/candidates/{id}/try` | [`Trial`] | SSE of [`TrialEvent`] |
//! | `POST /api/admin/candidates/{id}/promote` | – | [`Generations`]: the candidate serves, and is no candidate any more |
//!
//! The calls lie behind the gate of [`admin`](crate::admin).

use serde::{Deserialize, Serialize};

use crate::admin::ModelFiles;
use crate::conversations::{Details, Part, WeightHashes};

/// What serves, and what a roll-back goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Generations {
    /// New answers are made by this one.
    pub current: Generation,
    /// The one that served before; none until a candidate was promoted.
    pub before: Option<Generation>,
    /// What an administrator should know, such as that promoted weights could not be loaded at the start.
    pub notices: Vec<String>,
}

/// Core weights, adapter and projectors that serve together. Nothing of it ever changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Generation {
    /// Its place in the order of this server's generations, from 1.
    pub number: u32,
    /// What it is made of: the same weights have the same id everywhere. 12 hex digits.
    pub id: String,
    /// When it first served; Unix milliseconds.
    pub since: i64,
    /// Name of the session that promoted it, as in the audit log; absent for the configured model.
    pub by: Option<String>,
    /// False for one that is loaded only when it is gone back to: the one before, after a restart.
    pub loaded: bool,
    /// Hashes of its weights.
    pub weights: WeightHashes,
    /// Where they lie.
    pub files: ModelFiles,
}

/// A folder to load beside what serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewCandidate {
    /// Folder on the server: of a run of the trainer, of what `jnana-trainer pack` or `merge` wrote, or a model. It has to lie
    /// below `jobs` or `runs` of the home folder, or below the folder of the setting `candidates`, and holds no links.
    pub path: String,
}

/// Weights that are loaded beside those that serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Candidate {
    /// The id of the generation that it would be.
    pub id: String,
    /// The folder that was named.
    pub path: String,
    /// When it was loaded; Unix milliseconds.
    pub since: i64,
    /// Name of the session that loaded it, as in the audit log.
    pub by: String,
    /// Its embedding space.
    pub space: String,
    /// Hashes of its weights; what it does not bring itself is what served when it was loaded.
    pub weights: WeightHashes,
    /// Where they lie.
    pub files: ModelFiles,
    /// Bytes of memory that its language model takes beside the serving one.
    pub weight_bytes: u64,
    /// True for a merged core that came with its adapter: a promotion compares the two first.
    pub merged: bool,
    /// What an administrator should know before promoting it.
    pub notices: Vec<String>,
}

/// One question to both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trial {
    /// What is said and shown, as in a new message; at least one part that is not empty.
    pub parts: Vec<Part>,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Side {
    /// The generation that serves.
    Serving,
    /// The candidate.
    Candidate,
}

/// One event of a trial. Those of the two sides come in any order; each side ends with `end` or `failed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrialEvent {
    /// Whose it is.
    pub side: Side,
    /// What happened.
    #[serde(flatten)]
    pub kind: TrialEventKind,
}

/// What happened on one side of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TrialEventKind {
    /// A step before the first token, for the page to show.
    Progress {
        /// Words for people.
        text: String,
    },
    /// More of the answer.
    Text {
        /// The new characters.
        text: String,
    },
    /// The answer is whole.
    End {
        /// How it was made.
        details: Box<Details>,
    },
    /// There is no answer, or no more of it.
    Failed {
        /// What happened, why, what to do.
        error: String,
    },
}
