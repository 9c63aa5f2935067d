//! An instance, wherever it runs: here, or in a worker.

use jnana_api::plugins::Manifest;
use serde_json::{Map, Value};

use crate::call::CancelFlag;
use crate::collect::{Accepts, Collected};
use crate::input::Prepared;
use crate::native::{self, Function, Native};
use crate::worker::{self, MAX_LANES, Worker};

/// What every instance of a plugin is made with.
pub(crate) enum Recipe {
    Here(native::Recipe),
    Worker(Box<worker::Recipe>),
}

/// A live instance. Dropping it destroys it, so nothing may run on it then: calls hold it in an `Arc`.
pub(crate) enum Runner {
    Here(Native),
    Worker(Worker),
}

/// How a call ended.
pub(crate) enum Answer {
    /// With this status, and this in its sink.
    Returned(i32, Collected),
    /// Not at all: the instance has no such function.
    NoFunction,
    /// With the process that it ran in, and how that ended.
    Died(String),
}

impl Recipe {
    /// Makes an instance. The error is in words for people.
    pub(crate) fn make(&self, manifest: &Manifest) -> Result<Runner, String> {
        match self {
            Self::Here(recipe) => Native::create(recipe, manifest).map(Runner::Here),
            Self::Worker(recipe) => Worker::start(recipe).map(Runner::Worker),
        }
    }

    /// Width of the embedding space.
    pub(crate) fn width(&self) -> u32 {
        match self {
            Self::Here(recipe) => recipe.width,
            Self::Worker(recipe) => recipe.hello.width,
        }
    }

    /// Whether its instances are for this embedding space and have these settings.
    pub(crate) fn is_for(&self, space: &str, width: u32, settings: &Map<String, Value>) -> bool {
        let (own, given) = match self {
            Self::Here(recipe) => ((recipe.space.as_str(), recipe.width), &recipe.settings),
            Self::Worker(recipe) => {
                ((recipe.hello.space.as_str(), recipe.hello.width), &recipe.hello.settings)
            }
        };
        own == (space, width) && given == settings
    }

    /// Most calls at a time.
    pub(crate) fn most_calls(&self, manifest: &Manifest) -> u32 {
        match self {
            Self::Here(_) => manifest.max_concurrency,
            Self::Worker(_) => manifest.max_concurrency.min(MAX_LANES),
        }
    }

    /// Whether a plugin that goes on failing has to stay off: one that only harms its own process may try again.
    pub(crate) fn gives_up(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// Uses of a sink after its call: how many, and some of them in words.
    pub(crate) fn faults(&self) -> (u64, Vec<String>) {
        let faults = match self {
            Self::Here(recipe) => recipe.sinks.faults(),
            Self::Worker(recipe) => &recipe.faults,
        };
        (faults.count(), faults.words())
    }
}

impl Runner {
    /// Calls a function.
    pub(crate) fn call(
        &self,
        recipe: &Recipe,
        function: &Function<'_>,
        input: &Prepared<'_>,
        accepts: Accepts,
        cancel: &CancelFlag,
    ) -> Answer {
        match (self, recipe) {
            (Self::Here(native), Recipe::Here(recipe)) => {
                let sink = recipe.sinks.open(accepts, cancel);
                let head = input.head();
                let status = native.call(function, &head.with(input.bytes()), &sink);
                let collected = sink.close();
                status.map_or(Answer::NoFunction, |status| Answer::Returned(status, collected))
            }
            (Self::Worker(worker), _) => worker.call(function, input, accepts, cancel),
            (Self::Here(_), Recipe::Worker(_)) => Answer::NoFunction,
        }
    }

    /// The status line.
    pub(crate) fn status(&self) -> String {
        match self {
            Self::Here(native) => native.status(),
            Self::Worker(worker) => worker.status(),
        }
    }

    /// How the process of the instance ended, if it has one and it did.
    pub(crate) fn death(&self) -> Option<String> {
        match self {
            Self::Here(_) => None,
            Self::Worker(worker) => worker.death(),
        }
    }
}
