//! A plugin that was loaded: admits calls, checks what comes back, replaces an instance that panicked.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jnana_api::plugins::{Fit, Manifest, PluginState, Segment};
use jnana_plugin_abi as abi;
use serde_json::{Map, Value};

use crate::call::{CallError, CallErrorKind, CancelFlag, EncodedRows, RawInput, Transcript};
use crate::input::{self, Prepared};
use crate::native::{Function, Native, Recipe, options_text};
use crate::sink::{Accepts, Collected};
use crate::statistics::{Counters, Statistics};
use crate::tensor::Expected;

/// How often a waiting call looks at its flag.
const POLL: Duration = Duration::from_millis(20);
/// After so many panics without a good call in between, the plugin stays off. An error is no good call: a plugin that fails
/// in two ways by turns is as broken as one that only panics.
const MAX_PANICS: u32 = 5;
/// Pause after the second panic in a row; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
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
    native: Option<Arc<Native>>,
    /// Panics without a good call since.
    panics: u32,
    last_panic: String,
    not_before: Option<Instant>,
    /// Why there will be no instance any more.
    dead: Option<String>,
}

/// What a call says of the instance that ran it.
enum Outcome<'a> {
    Good,
    /// It panicked, with these words.
    Panicked(&'a str),
    /// Nothing: it failed, was cancelled, or the plugin was not reached.
    Unclear,
}

type Failure = (CallErrorKind, String);

impl Instance {
    /// Makes the first instance of a plugin.
    pub(crate) fn create(manifest: Manifest, fit: Option<Fit>, recipe: Recipe) -> Result<Self, String> {
        let native = Native::create(&recipe, &manifest)?;
        let slot = Slot {
            running: 0,
            making: false,
            native: Some(Arc::new(native)),
            panics: 0,
            last_panic: String::new(),
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
        self.counters.snapshot(self.recipe.sinks.late_uses())
    }

    /// Breaches of the contract that cost no call, in words: uses of a sink after its call. At most 16 are kept.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.recipe.sinks.faults()
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

    /// The plugin's own status line, or that its instance has to be made anew.
    #[must_use]
    pub fn status(&self) -> String {
        let native = {
            let slot = self.lock();
            if slot.native.is_none() && slot.dead.is_none() {
                return format!("is made anew with the next call, after a panic: {}", slot.last_panic);
            }
            slot.native.clone()
        };
        native.map_or_else(String::new, |native| native.status())
    }

    /// `jnana.encoder/1`: positions in the embedding space that the host was opened with.
    ///
    /// # Errors
    /// [`CallErrorKind`] says who is to blame.
    pub fn encode(&self, input: RawInput<'_>, cancel: &CancelFlag) -> Result<EncodedRows, CallError> {
        let max_positions =
            self.manifest.emits.as_ref().map_or(MAX_FEATURES, |emits| emits.max_positions as usize);
        let expected = Expected { width: Some(self.recipe.width as usize), max_positions };
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
        let native = self.admit(cancel)?;
        let sink = self.recipe.sinks.open(accepts, cancel);
        let start = Instant::now();
        let status = native.call(function, &input.as_abi(), &sink);
        let took = start.elapsed();
        let collected = sink.close();
        let Some(status) = status else {
            self.release(native, &Outcome::Unclear);
            return Err((CallErrorKind::Unsupported, "the plugin has no such function".to_owned()));
        };
        let panicked = status == abi::ERROR_PANIC;
        let result = judge(status, collected).and_then(finish);
        let failed = result.as_ref().is_err_and(|(kind, _)| *kind != CallErrorKind::Cancelled);
        self.counters.record(took, failed, panicked);
        let outcome = match &result {
            Ok(_) => Outcome::Good,
            Err((_, words)) if panicked => Outcome::Panicked(words),
            Err(_) => Outcome::Unclear,
        };
        self.release(native, &outcome);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until fewer calls run than the manifest allows, and for an instance if there is none.
    fn admit(&self, cancel: &CancelFlag) -> Result<Arc<Native>, Failure> {
        let mut slot = self.lock();
        loop {
            if cancel.is_cancelled() {
                return Err((CallErrorKind::Cancelled, "cancelled before its turn came".to_owned()));
            }
            if let Some(reason) = &slot.dead {
                return Err((CallErrorKind::Resource, reason.clone()));
            }
            match &slot.native {
                Some(native) if slot.running < self.manifest.max_concurrency => {
                    let native = Arc::clone(native);
                    slot.running += 1;
                    return Ok(native);
                }
                // The instance that panicked is gone only when its last call has returned.
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

    /// Makes a new instance in place of one that panicked.
    fn remake(&self) -> MutexGuard<'_, Slot> {
        tracing::warn!(plugin = self.manifest.id, "making a new instance after a panic");
        let made = Native::create(&self.recipe, &self.manifest);
        let mut slot = self.lock();
        slot.making = false;
        match made {
            Ok(native) => slot.native = Some(Arc::new(native)),
            Err(reason) => slot.count_panic(&format!("making it anew failed: {reason}")),
        }
        self.changed.notify_all();
        slot
    }

    /// Ends a call. What an instance that was replaced does is held neither against the plugin nor in its favour.
    fn release(&self, native: Arc<Native>, outcome: &Outcome<'_>) {
        let mut slot = self.lock();
        let mut retired = None;
        if slot.native.as_ref().is_some_and(|current| Arc::ptr_eq(current, &native)) {
            match outcome {
                Outcome::Good => slot.panics = 0,
                Outcome::Panicked(words) => {
                    retired = slot.native.take();
                    slot.count_panic(words);
                }
                Outcome::Unclear => {}
            }
        }
        drop(slot);
        // Outside of the lock: the last one to let go destroys the instance, which may take its time.
        drop((retired, native));
        self.lock().running -= 1;
        self.changed.notify_all();
    }
}

impl Slot {
    fn count_panic(&mut self, words: &str) {
        self.panics += 1;
        words.clone_into(&mut self.last_panic);
        if self.panics >= MAX_PANICS {
            let panics = self.panics;
            self.dead =
                Some(format!("it panicked {panics} times without a good call in between, last: {words}"));
        }
        // The first panic costs no pause: one bad input should not hurt the next.
        self.not_before = (self.panics > 1)
            .then(|| Instant::now() + FIRST_PAUSE * 2_u32.saturating_pow(self.panics.saturating_sub(2)));
    }
}

fn wait_is_over(slot: &Slot) -> Result<(), Failure> {
    let now = Instant::now();
    match slot.not_before {
        Some(until) if until > now => {
            let seconds = (until - now).as_secs_f64();
            let words = format!("it is made anew in {seconds:.1} s, after a panic: {}", slot.last_panic);
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
