//! What an administrator sees and does.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `POST /api/admin/sign-in` | [`SignIn`] | [`Session`], and the session's cookie |
//! | `GET /api/admin/session` | – | [`Session`] |
//! | `POST /api/admin/sign-out` | – | 204 |
//! | `GET /api/admin/models` | – | [`ModelsOverview`] |
//! | `GET /api/admin/plugins` | – | `Vec<`[`PluginReport`]`>` |
//! | `…/candidates`, `…/generations` | | see [`generations`](crate::generations) |
//!
//! All but the first need the cookie, on loopback too. What changes something (any method but GET and HEAD) needs
//! [`Session::csrf`] in the header [`CSRF_HEADER`] besides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::conversations::ModelInfo;
use crate::plugins::PluginInfo;

/// Header that carries [`Session::csrf`].
pub const CSRF_HEADER: &str = "x-csrf-token";

/// `code` of the error for a call that needs a session and has none.
pub const SIGN_IN_CODE: &str = "admin_sign_in";

/// The way into a session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignIn {
    /// The admin token.
    pub token: String,
}

/// A session of an administrator.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Proof that a call comes from a page of this server: another site may get a browser to send the cookie along, but can
    /// never read this.
    pub csrf: String,
    /// When it ends by itself; Unix milliseconds.
    pub expires_at: i64,
}

/// The serving model, what it takes and what it has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelsOverview {
    /// What clients are told of it, its weight type included.
    pub model: ModelInfo,
    /// Where it came from.
    pub files: ModelFiles,
    /// Numbers in the weights.
    pub parameters: u64,
    /// Bytes in memory.
    pub memory: MemoryFigures,
    /// Requests and tokens.
    pub requests: RequestFigures,
}

/// Where a model came from; paths on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelFiles {
    /// A folder or a GGUF file.
    pub weights: String,
    /// The folder of the adapter that runs beside the weights.
    pub adapter: Option<String>,
    /// Projectors of the model's own, by the id of the plugin that they are for.
    pub projectors: BTreeMap<String, String>,
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemoryFigures {
    /// The weights.
    pub weights: u64,
    /// Caches of running requests.
    pub live_caches: u64,
    /// Caches kept for reuse.
    pub kept_caches: u64,
    /// What all caches together may take (setting `cache-mib`).
    pub cache_limit: u64,
    /// The whole process, its plugins included; absent where the system does not say.
    pub process: Option<u64>,
}

/// Requests to the model; counts are since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RequestFigures {
    /// Being answered now.
    pub live: u64,
    /// Most at the same time (setting `max-batch`).
    pub live_limit: u64,
    /// Waiting now.
    pub queued: u64,
    /// Most that may wait (setting `queue`).
    pub queue_limit: u64,
    /// Ended whole.
    pub finished: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Failed.
    pub failed: u64,
    /// Turned away by a full queue.
    pub refused: u64,
    /// Positions of prompts.
    pub prompt_positions: u64,
    /// Those of them taken from caches.
    pub reused_positions: u64,
    /// Tokens of answers.
    pub answer_tokens: u64,
    /// Mean milliseconds from a request to its end, the last ones counting most.
    pub mean_ms: u64,
}

/// A plugin with what it has done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PluginReport {
    /// What it is and where it stands.
    pub plugin: PluginInfo,
    /// What it has done; absent for one that is not loaded.
    pub activity: Option<PluginActivity>,
}

/// What a plugin has done since it was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PluginActivity {
    /// Calls that reached it.
    pub calls: u64,
    /// Those of them that failed for another reason than being cancelled.
    pub errors: u64,
    /// Those of them that panicked.
    pub panics: u64,
    /// Milliseconds inside the plugin, all calls together.
    pub total_ms: u64,
    /// Breaches of the contract that cost no call, in words.
    pub faults: Vec<String>,
}

impl PluginActivity {
    /// Mean milliseconds of a call; none before the first.
    #[must_use]
    pub fn mean_ms(&self) -> Option<u64> {
        self.total_ms.checked_div(self.calls)
    }
}

/// Secrets are for the one who brings or gets them, not for logs.
macro_rules! without_its_secret {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
without_its_secret!(SignIn, Session);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let session = Session { csrf: "a secret".to_owned(), expires_at: 0 };
        assert_eq!(format!("{session:?} {:?}", SignIn { token: "a secret".to_owned() }), "Session SignIn");
    }

    #[test]
    fn a_plugin_without_calls_has_no_mean() {
        let mut activity = PluginActivity { calls: 0, errors: 0, panics: 0, total_ms: 0, faults: Vec::new() };
        assert_eq!(activity.mean_ms(), None);
        (activity.calls, activity.total_ms) = (4, 10);
        assert_eq!(activity.mean_ms(), Some(2));
    }
}
