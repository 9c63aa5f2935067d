//! A plugin that was loaded: admits calls, checks what comes back, replaces an instance that panicked or whose worker died.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jnana_api::plugins::{Fit, Manifest, PluginState, Runs, Segment};
use jnana_plugin_abi as abi;
use serde_json::{Map, Value};

use crate::build;
use crate::call::{CallError, CallErrorKind, CancelFlag, EncodedRows, RawInput, Transcript};
use crate::collect::{Accepts, Collected};
use crate::error::Error;
use crate::input::{self, Prepared};
use crate::manifest::ENCODER;
use crate::native::{Function, options_text};
use crate::registry::HostConfig;
use crate::runner::{Answer, Recipe, Runner};
use crate::settings;
use crate::statistics::{Counters, Statistics};
use crate::tensor::Expected;

/// How often a waiting call looks at its flag.
const POLL: Duration = Duration::from_millis(20);
/// After so many panics without a good call in between, a plugin in this process stays off. An error is no good call: a
/// plugin that fails in two ways by turns is as broken as one that only panics.
const MAX_PANICS: u32 = 5;
/// Pause after the second loss of an instance in a row; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause, for a worker is started again for ever.
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// Most rows of features.
const MAX_FEATURES: usize = 65_536;

/// A loaded plugin and its instance. All functions may be called from any thread; those that call the plugin block.
pub struct Instance {
    manifest: Manifest,
    fit: Option<Fit>,
    recipe: Recipe,
    slot: Mutex<Slot>,
    changed: Condvar,
    counters: Counters,
}

/// The place of the instance.
struct Slot {
    running: u32,
    making: bool,
    runner: Option<Arc<Runner>>,
    /// Losses of an instance without a good call since.
    losses: u32,
    last_loss: String,
    not_before: Option<Instant>,
    /// Why there will be no instance any more.
    dead: Option<String>,
}

/// What a call says of the instance that ran it.
enum Outcome<'a> {
    Good,
    /// It is lost: it panicked, or its worker died, with these words.
    Lost(&'a str),
    /// Nothing: it failed, was cancelled, or the plugin was not reached.
    Unclear,
}

type Failure = (CallErrorKind, String);

impl Instance {
    /// Makes the first instance of a plugin.
    pub(crate) fn create(manifest: Manifest, fit: Option<Fit>, recipe: Recipe) -> Result<Self, String> {
        let runner = recipe.make(&manifest)?;
        let slot = Slot {
            running: 0,
            making: false,
            runner: Some(Arc::new(runner)),
            losses: 0,
            last_loss: String::new(),
            not_before: None,
            dead: None,
        };
        Ok(Self {
            manifest,
            fit,
            recipe,
            slot: Mutex::new(slot),
            changed: Condvar::new(),
            counters: Counters::default(),
        })
    }

    /// This instance where it fits the language model and the settings of `config`, else another one of the same library;
    /// this one goes on until its last call has returned.
    pub(crate) fn fitting(self: &Arc<Self>, config: &HostConfig) -> Result<Arc<Self>, Error> {
        if !self.offers(ENCODER) {
            return Ok(Arc::clone(self));
        }
        let (manifest, id) = (&self.manifest, self.id());
        let given = config.settings.get(id).cloned().unwrap_or_default();
        let resolved = settings::resolve(manifest, &given, &config.resolve_model)
            .map_err(|reason| Error::Settings { plugin: id.to_owned(), reason })?;
        if self.recipe.is_for(&config.space, config.width, &resolved.settings) {
            return Ok(Arc::clone(self));
        }
        let recipe = build::again(&self.recipe, config, manifest, resolved.settings)?;
        let made = Self::create(manifest.clone(), resolved.fit, recipe);
        made.map(Arc::new).map_err(|reason| Error::Create { reason })
    }

    /// The plugin's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.manifest.id
    }

    /// The plugin's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether the plugin is of a kind, such as [`crate::ENCODER`].
    #[must_use]
    pub fn offers(&self, kind: &str) -> bool {
        self.manifest.kinds.iter().any(|offered| offered == kind)
    }

    /// What the plugin has done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.counters.snapshot(self.recipe.faults().0)
    }

    /// Breaches of the contract that cost no call, in words: uses of a sink after its call. At most 16 are kept.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.recipe.faults().1
    }

    /// Where the plugin stands.
    #[must_use]
    pub fn state(&self) -> PluginState {
        let slot = self.lock();
        match &slot.dead {
            Some(reason) => PluginState::Failed { reason: reason.clone() },
            None => PluginState::Ready,
        }
    }

    /// Where the plugin's code runs.
    #[must_use]
    pub fn runs(&self) -> Runs {
        match self.recipe {
            Recipe::Here(_) => Runs::InProcess,
            Recipe::Worker(_) => Runs::Worker,
        }
    }

    /// The plugin's own status line, or that its instance has to be made anew.
    #[must_use]
    pub fn status(&self) -> String {
        let (runner, lost) = {
            let slot = self.lock();
            (slot.runner.clone(), slot.last_loss.clone())
        };
        let anew = |why: String| format!("is made anew with the next call: {why}");
        match runner {
            Some(runner) => runner.death().map_or_else(|| runner.status(), anew),
            // Of one that stays off the state says why.
            None if self.state() == PluginState::Ready => anew(lost),
            None => String::new(),
        }
    }

    /// `jnana.encoder/1`: positions in the embedding space that the host was opened with.
    ///
    /// # Errors
    /// [`CallErrorKind`] says who is to blame.
    pub fn encode(&self, input: RawInput<'_>, cancel: &CancelFlag) -> Result<EncodedRows, CallError> {
        let max_positions =
            self.manifest.emits.as_ref().map_or(MAX_FEATURES, |emits| emits.max_positions as usize);
        let expected = Expected { width: Some(self.recipe.width() as usize), max_positions };
        self.rows(input, &Function::Encode, expected, cancel).map_err(|failure| self.error(failure))
    }

    /// `jnana.features/1`: the encoder's own rows, before its projector.
    ///
    /// # Errors
    /// [`CallErrorKind`] says who is to blame.
    pub fn features(&self, input: RawInput<'_>, cancel: &CancelFlag) -> Result<EncodedRows, CallError> {
        let expected = Expected { width: None, max_positions: MAX_FEATURES };
        self.rows(input, &Function::Features, expected, cancel).map_err(|failure| self.error(failure))
    }

    /// `jnana.transcriber/1`: text. `options` may hold `language` and `prompt`. `on_segment` gets each segment as it is
    /// found, on a thread of the plugin's choice; it may block to slow the plugin down, and ends the call by returning
    /// false.
    ///
    /// # Errors
    /// [`CallErrorKind`] says who is to blame.
    pub fn transcribe(
        &self,
        input: RawInput<'_>,
        options: &Map<String, Value>,
        cancel: &CancelFlag,
        on_segment: impl FnMut(&Segment) -> bool + Send + 'static,
    ) -> Result<Transcript, CallError> {
        self.text(input, options, cancel, Accepts::Text(Box::new(on_segment)))
            .map_err(|failure| self.error(failure))
    }

    fn error(&self, (kind, message): Failure) -> CallError {
        CallError { kind, plugin: self.manifest.id.clone(), message }
    }

    fn rows(
        &self,
        input: RawInput<'_>,
        function: &Function<'_>,
        expected: Expected,
        cancel: &CancelFlag,
    ) -> Result<EncodedRows, Failure> {
        let prepared = input::prepare(&self.manifest, self.fit, input)?;
        self.run(&prepared, function, Accepts::Tensor(expected), cancel, |collected| {
            collected
                .rows
                .ok_or_else(|| (CallErrorKind::Plugin, "it said OK but pushed no tensor".to_owned()))
        })
    }

    fn text(
        &self,
        input: RawInput<'_>,
        options: &Map<String, Value>,
        cancel: &CancelFlag,
        accepts: Accepts,
    ) -> Result<Transcript, Failure> {
        let prepared = input::prepare(&self.manifest, self.fit, input)?;
        let options = options_text(options);
        let function = Function::Transcribe { options: &options };
        let Collected { segments, language, .. } = self.run(&prepared, &function, accepts, cancel, Ok)?;
        let spoken = segments.last().map_or(0.0, |last| last.end);
        Ok(Transcript { duration: prepared.seconds().unwrap_or(spoken), segments, language })
    }

    /// Waits for its turn, calls the plugin, and turns status and sink into a result.
    fn run<T>(
        &self,
        input: &Prepared<'_>,
        function: &Function<'_>,
        accepts: Accepts,
        cancel: &CancelFlag,
        finish: impl FnOnce(Collected) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runner = self.admit(cancel)?;
        let start = Instant::now();
        let answer = runner.call(&self.recipe, function, input, accepts, cancel);
        let took = start.elapsed();
        let (result, lost) = match answer {
            Answer::NoFunction => {
                self.release(runner, &Outcome::Unclear);
                return Err((CallErrorKind::Unsupported, "the plugin has no such function".to_owned()));
            }
            Answer::Died(words) => (Err((CallErrorKind::Plugin, words)), true),
            Answer::Returned(status, collected) => {
                (judge(status, collected).and_then(finish), status == abi::ERROR_PANIC)
            }
        };
        let failed = result.as_ref().is_err_and(|(kind, _)| *kind != CallErrorKind::Cancelled);
        self.counters.record(took, failed, lost);
        let outcome = match &result {
            Ok(_) => Outcome::Good,
            Err((_, words)) if lost => Outcome::Lost(words),
            Err(_) => Outcome::Unclear,
        };
        self.release(runner, &outcome);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until fewer calls run than the manifest allows, and for an instance if there is none.
    fn admit(&self, cancel: &CancelFlag) -> Result<Arc<Runner>, Failure> {
        let most = self.recipe.most_calls(&self.manifest);
        let mut slot = self.lock();
        loop {
            if cancel.is_cancelled() {
                return Err((CallErrorKind::Cancelled, "cancelled before its turn came".to_owned()));
            }
            if let Some(reason) = &slot.dead {
                return Err((CallErrorKind::Resource, reason.clone()));
            }
            match &slot.runner {
                Some(runner) if slot.running < most => {
                    let runner = Arc::clone(runner);
                    let Some(death) = runner.death() else {
                        slot.running += 1;
                        return Ok(runner);
                    };
                    // It died while nobody called it.
                    slot.lose(&death, self.recipe.gives_up());
                    continue;
                }
                // The instance that was lost is gone only when its last call has returned.
                None if !slot.making && slot.running == 0 => {
                    wait_is_over(&slot)?;
                    slot.making = true;
                    drop(slot);
                    slot = self.remake();
                    continue;
                }
                _ => {}
            }
            slot = self.changed.wait_timeout(slot, POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes a new instance in place of one that was lost.
    fn remake(&self) -> MutexGuard<'_, Slot> {
        tracing::warn!(plugin = self.manifest.id, "making a new instance");
        let made = self.recipe.make(&self.manifest);
        let mut slot = self.lock();
        slot.making = false;
        match made {
            Ok(runner) => slot.runner = Some(Arc::new(runner)),
            Err(reason) => {
                slot.lose(&format!("making it anew failed: {reason}"), self.recipe.gives_up());
            }
        }
        self.changed.notify_all();
        slot
    }

    /// Ends a call. What an instance that was replaced does is held neither against the plugin nor in its favour.
    fn release(&self, runner: Arc<Runner>, outcome: &Outcome<'_>) {
        let mut slot = self.lock();
        let mut retired = None;
        if slot.runner.as_ref().is_some_and(|current| Arc::ptr_eq(current, &runner)) {
            match outcome {
                Outcome::Good => slot.losses = 0,
                Outcome::Lost(words) => retired = slot.lose(words, self.recipe.gives_up()),
                Outcome::Unclear => {}
            }
        }
        drop(slot);
        // Outside of the lock: the last one to let go destroys the instance, which may take its time.
        drop((retired, runner));
        self.lock().running -= 1;
        self.changed.notify_all();
    }
}

impl Slot {
    /// Notes that the instance is lost, and hands it over; with `gives_up`, the plugin stays off after too many.
    fn lose(&mut self, words: &str, gives_up: bool) -> Option<Arc<Runner>> {
        self.losses += 1;
        words.clone_into(&mut self.last_loss);
        if gives_up && self.losses >= MAX_PANICS {
            let losses = self.losses;
            self.dead =
                Some(format!("it panicked {losses} times without a good call in between, last: {words}"));
        }
        // The first loss costs no pause: one bad input should not hurt the next.
        let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.losses.saturating_sub(2)));
        self.not_before = (self.losses > 1).then(|| Instant::now() + doubled.min(LAST_PAUSE));
        self.runner.take()
    }
}

fn wait_is_over(slot: &Slot) -> Result<(), Failure> {
    let now = Instant::now();
    match slot.not_before {
        Some(until) if until > now => {
            let seconds = (until - now).as_secs_f64();
            let words = format!("it is made anew in {seconds:.1} s, after this: {}", slot.last_loss);
            Err((CallErrorKind::Resource, words))
        }
        _ => Ok(()),
    }
}

/// Who is to blame, from what the plugin returned and what it did to its sink.
fn judge(status: i32, mut collected: Collected) -> Result<Collected, Failure> {
    let said = collected.failure.take();
    let words = |default: &str| said.as_ref().map_or_else(|| default.to_owned(), |(_, words)| words.clone());
    if status == abi::ERROR_PANIC {
        return Err((CallErrorKind::Plugin, format!("it panicked: {}", words("without words"))));
    }
    if let Some(reason) = collected.rejection.take() {
        return Err((CallErrorKind::Plugin, format!("it broke the contract: {reason}")));
    }
    match status {
        abi::OK if said.is_some() => {
            Err((CallErrorKind::Plugin, format!("it said OK and that it failed: {}", words(""))))
        }
        abi::OK => Ok(collected),
        abi::ERROR_INVALID_INPUT => Err((CallErrorKind::InvalidInput, words("it cannot use the input"))),
        abi::ERROR_RESOURCE => Err((CallErrorKind::Resource, words("it lacks a resource"))),
        abi::ERROR_CANCELLED => Err((CallErrorKind::Cancelled, words("cancelled"))),
        _ => Err((CallErrorKind::Plugin, words(&format!("it failed with status {status}, without words")))),
    }
}
