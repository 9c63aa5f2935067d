//! What every handler can reach.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::admin::Admin;
use crate::assistant::{Assistant, Generations};
use crate::error::ApiError;
use crate::http::guard::Guard;
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::storage::{Store, now_ms};

/// The running program, shared by all handlers.
#[derive(Debug, Clone)]
pub struct App(Arc<Shared>);

/// What [`App`] points to.
#[derive(Debug)]
pub struct Shared {
    /// Resolved settings.
    pub settings: Settings,
    /// Who may call.
    pub guard: Guard,
    /// Who may administer.
    pub admin: Admin,
    /// Long work of plugins.
    pub jobs: Arc<Jobs>,
    /// Conversations and blobs.
    pub store: Store,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Answers of the app that are being made.
    pub generations: Generations,
    /// Unix milliseconds of the start.
    pub started_ms: i64,
    assistant: OnceLock<Arc<Assistant>>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// A program whose model is not loaded yet.
    #[must_use]
    pub fn new(settings: Settings, store: Store, admin: Admin, jobs: Jobs) -> Self {
        Self(Arc::new(Shared {
            guard: Guard::new(&settings),
            admin,
            jobs: Arc::new(jobs),
            settings,
            store,
            metrics: Arc::default(),
            generations: Generations::default(),
            started_ms: now_ms(),
            assistant: OnceLock::new(),
        }))
    }

    /// The model with its plugins.
    ///
    /// # Errors
    /// 503 while it is being loaded.
    pub fn assistant(&self) -> Result<&Arc<Assistant>, ApiError> {
        self.assistant.get().ok_or_else(|| {
            let loading = ApiError::unavailable("the model is being loaded; try again in a moment");
            ApiError { retry_after: Some(2), ..loading }
        })
    }

    /// Makes the loaded model available. A second one is ignored.
    pub fn set_assistant(&self, assistant: Arc<Assistant>) {
        let _first_wins = self.assistant.set(assistant);
    }
}
