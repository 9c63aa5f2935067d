//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;

use crate::admin::Admin;
use crate::assistant::{Assistant, Generations};
use crate::error::ApiError;
use crate::http::guard::Guard;
use crate::metrics::Metrics;
use crate::serving::{self, Serving};
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
    /// Conversations and blobs.
    pub store: Store,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Answers of the app that are being made.
    pub generations: Generations,
    /// Which weights answer.
    pub serving: Serving,
    /// Unix milliseconds of the start.
    pub started_ms: i64,
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
    pub fn new(settings: Settings, store: Store, admin: Admin) -> Self {
        Self(Arc::new(Shared {
            guard: Guard::new(&settings),
            admin,
            settings,
            store,
            metrics: Arc::default(),
            generations: Generations::default(),
            serving: Serving::default(),
            started_ms: now_ms(),
        }))
    }

    /// The model with its plugins that serves now. Who holds it goes on with it, whatever serves meanwhile.
    ///
    /// # Errors
    /// 503 while it is being loaded.
    pub fn assistant(&self) -> Result<Arc<Assistant>, ApiError> {
        self.serving.assistant().ok_or_else(serving::loading)
    }
}
