//! Inputs for plugins: which plugin, what it made of them, and what it made of them before.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use jnana_api::admin::PluginActivity;
use jnana_api::plugins::{InputForm, Interpretation, PluginInfo, PluginState, Segment};
use jnana_core::request::Embeddings;
use jnana_plugin_host::{
    CallError, CallErrorKind, CancelFlag, ENCODER, Error, HostConfig, Instance, PluginHost, RawInput,
    TRANSCRIBER, Transcript,
};
use lru::LruCache;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::ask::Note;
use crate::error::ApiError;
use crate::metrics::Metrics;

/// Encoded inputs that are kept: 64 of CLIP's 49 positions at phi-2's width are 32 MiB.
const KEPT: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Hears each piece of a text as it comes, and says whether more is wanted.
pub type OnSegment = Box<dyn FnMut(&Segment) -> bool + Send>;

/// Bytes for a plugin.
#[derive(Debug, Clone)]
pub struct InputPiece {
    /// Which plugin.
    pub target: Target,
    /// MIME type as declared; the host looks at the bytes.
    pub mime: String,
    /// The bytes; empty when `text` is given.
    pub bytes: Vec<u8>,
    /// The text of the input as a person left it: then no plugin is asked.
    pub text: Option<String>,
}

/// Which plugin an input is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The one of this id.
    Plugin(String),
    /// The first ready one that takes this modality: the first half of a MIME type.
    Modality(&'static str),
}

/// What became of an input, and who made it in what time; nobody where its text was given.
pub(super) struct Resolved {
    pub(super) made: Made,
    pub(super) by: Option<(String, Duration)>,
}

/// What became of an input.
#[derive(Debug)]
pub(super) enum Made {
    /// Text that was there already.
    Given(String),
    /// A plugin's text.
    Text(String),
    /// Positions for a slot of the template.
    Embeddings {
        /// The slot.
        slot: String,
        /// The positions.
        rows: Arc<Embeddings>,
    },
}

/// The plugins, and the embeddings they made lately.
pub struct Inputs {
    host: PluginHost,
    cache: Mutex<LruCache<[u8; 32], Arc<Embeddings>>>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs").field("plugins", &self.list()).finish_non_exhaustive()
    }
}

impl Inputs {
    /// Takes over the opened plugins.
    #[must_use]
    pub fn new(host: PluginHost, metrics: Arc<Metrics>) -> Self {
        Self { host, cache: Mutex::new(LruCache::new(KEPT)), metrics }
    }

    /// The plugins for another language model. What they made for this one is nothing to it.
    ///
    /// # Errors
    /// When an encoder refuses to be made for it.
    pub fn fitting(&self, config: &HostConfig) -> Result<Self, Error> {
        Ok(Self::new(self.host.fitting(config)?, self.metrics.clone()))
    }

    /// All plugins, working or not.
    #[must_use]
    pub fn list(&self) -> Vec<PluginInfo> {
        self.host.list()
    }

    /// What a plugin has done since it was loaded; none for one that is not.
    #[must_use]
    pub fn activity(&self, plugin: &PluginInfo) -> Option<PluginActivity> {
        let instance = self.host.get(&plugin.id)?;
        let statistics = instance.statistics();
        Some(PluginActivity {
            calls: statistics.calls,
            errors: statistics.errors,
            panics: statistics.panics,
            total_ms: statistics.total_ms,
            faults: instance.faults(),
        })
    }

    /// Modalities that ready plugins take, as first halves of MIME types; `text` is always there.
    #[must_use]
    pub fn modalities(&self) -> Vec<String> {
        let mut all = vec!["text".to_owned()];
        for info in self.host.list().iter().filter(|info| info.state == PluginState::Ready) {
            for modality in info.manifest.iter().flat_map(|manifest| &manifest.accepts).map(modality) {
                if !all.iter().any(|known| known == modality) {
                    all.push(modality.to_owned());
                }
            }
        }
        all
    }

    /// What a plugin makes of an input, for a page to show before it is sent.
    ///
    /// # Errors
    /// As a call of the plugin does; 404 for a plugin that is not there.
    pub fn interpret(
        &self,
        plugin: &str,
        mime: &str,
        bytes: &[u8],
        cancel: &CancelFlag,
    ) -> Result<Interpretation, ApiError> {
        let found = self.find(&Target::Plugin(plugin.to_owned()), None)?;
        if found.gives_text() {
            let transcript = self.text(&found, mime, bytes, &Map::new(), cancel, Box::new(|_| true))?;
            return Ok(Interpretation::Text {
                text: transcript.text(),
                segments: transcript.segments,
                language: transcript.language,
                duration: transcript.duration,
            });
        }
        let rows = self.encode(&found, mime, bytes, cancel)?;
        let positions = rows.rows.dims().first().copied().unwrap_or_default();
        Ok(Interpretation::Positions { positions: u32::try_from(positions).unwrap_or(u32::MAX) })
    }

    /// Text of a recording (or whatever the first ready transcriber for `modality` takes). `on_segment` hears it
    /// piece by piece.
    ///
    /// # Errors
    /// 503 when no plugin takes it; as a call of the plugin does.
    pub fn transcribe(
        &self,
        modality: &'static str,
        bytes: &[u8],
        options: &Map<String, Value>,
        cancel: &CancelFlag,
        on_segment: OnSegment,
    ) -> Result<Transcript, ApiError> {
        let found = self.find(&Target::Modality(modality), Some(TRANSCRIBER))?;
        self.text(&found, "", bytes, options, cancel, on_segment)
    }

    /// An encoder's rows for an input, without the cache: for comparing with a reference.
    ///
    /// # Errors
    /// 404 for a plugin that is not there; as a call of the plugin does.
    pub fn embed(&self, plugin: &str, bytes: &[u8]) -> Result<Arc<Embeddings>, ApiError> {
        let found = self.find(&Target::Plugin(plugin.to_owned()), Some(ENCODER))?;
        self.encode_anew(&found, "", bytes, &CancelFlag::new())
    }

    /// What becomes of an input in a prompt.
    pub(super) fn resolve(
        &self,
        input: &InputPiece,
        cancel: &CancelFlag,
        note: &mut dyn FnMut(Note),
    ) -> Result<Resolved, ApiError> {
        if let Some(text) = &input.text {
            return Ok(Resolved { made: Made::Given(text.clone()), by: None });
        }
        let (started, found) = (Instant::now(), self.find(&input.target, None)?);
        let made = self.ask(&found, input, cancel, note)?;
        Ok(Resolved { made, by: Some((found.info.id, started.elapsed())) })
    }

    fn ask(
        &self,
        found: &Found,
        input: &InputPiece,
        cancel: &CancelFlag,
        note: &mut dyn FnMut(Note),
    ) -> Result<Made, ApiError> {
        note(Note::Reading(found.info.manifest.as_ref().map_or_else(String::new, |m| m.ui.noun.clone())));
        if found.gives_text() {
            let (mime, bytes) = (&input.mime, &input.bytes);
            let transcript = self.text(found, mime, bytes, &Map::new(), cancel, Box::new(|_| true))?;
            return Ok(Made::Text(transcript.text()));
        }
        let emits = found.info.manifest.as_ref().and_then(|manifest| manifest.emits.as_ref());
        let slot = emits.and_then(|emits| emits.slot.clone()).unwrap_or_default();
        Ok(Made::Embeddings { slot, rows: self.encode(found, &input.mime, &input.bytes, cancel)? })
    }

    fn find(&self, target: &Target, kind: Option<&str>) -> Result<Found, ApiError> {
        let list = self.host.list();
        let info = match target {
            Target::Plugin(id) => list.into_iter().find(|info| info.id == *id).ok_or_else(|| {
                ApiError::invalid(
                    "plugin",
                    format!("no plugin is called {id:?}; GET /api/plugins lists them"),
                )
            })?,
            Target::Modality(wanted) => list
                .into_iter()
                .find(|info| info.state == PluginState::Ready && takes(info, wanted, kind))
                .ok_or_else(|| ApiError::unavailable(format!("no plugin that takes {wanted} is ready")))?,
        };
        match (&info.state, self.host.get(&info.id)) {
            (PluginState::Ready, Some(instance)) => Ok(Found { info, instance }),
            (PluginState::Failed { reason }, _) => {
                Err(ApiError::unavailable(format!("plugin {} is not usable: {reason}", info.id)))
            }
            _ => Err(ApiError::unavailable(format!("plugin {} is switched off", info.id))),
        }
    }

    /// Encodes once per content and plugin.
    fn encode(
        &self,
        found: &Found,
        mime: &str,
        bytes: &[u8],
        cancel: &CancelFlag,
    ) -> Result<Arc<Embeddings>, ApiError> {
        let key = key_of(&found.info, bytes);
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = cache().get(&key) {
            return Ok(kept.clone());
        }
        let made = self.encode_anew(found, mime, bytes, cancel)?;
        cache().put(key, made.clone());
        Ok(made)
    }

    fn encode_anew(
        &self,
        found: &Found,
        mime: &str,
        bytes: &[u8],
        cancel: &CancelFlag,
    ) -> Result<Arc<Embeddings>, ApiError> {
        let encoded = self.counted(found, || found.instance.encode(RawInput { bytes, mime }, cancel))?;
        let shape = (encoded.positions, encoded.width);
        let rows = Tensor::from_vec(encoded.values, shape, &Device::Cpu).map_err(ApiError::internal)?;
        Ok(Arc::new(Embeddings { rows, key: key_of(&found.info, bytes), source: found.info.id.clone() }))
    }

    fn text(
        &self,
        found: &Found,
        mime: &str,
        bytes: &[u8],
        options: &Map<String, Value>,
        cancel: &CancelFlag,
        on_segment: OnSegment,
    ) -> Result<Transcript, ApiError> {
        self.counted(found, || {
            found.instance.transcribe(RawInput { bytes, mime }, options, cancel, on_segment)
        })
    }

    fn counted<T>(&self, found: &Found, call: impl FnOnce() -> Result<T, CallError>) -> Result<T, ApiError> {
        let started = Instant::now();
        let result = call();
        self.metrics.plugin(&found.info.id, started.elapsed(), result.is_err());
        result.map_err(|error| call_error(&error))
    }
}

struct Found {
    info: PluginInfo,
    instance: Arc<Instance>,
}

impl Found {
    fn gives_text(&self) -> bool {
        let kinds = self.info.manifest.iter().flat_map(|manifest| &manifest.kinds);
        let mut kinds = kinds.map(String::as_str);
        !kinds.clone().any(|kind| kind == ENCODER) && kinds.any(|kind| kind == TRANSCRIBER)
    }
}

fn takes(info: &PluginInfo, wanted: &str, kind: Option<&str>) -> bool {
    info.manifest.as_ref().is_some_and(|manifest| {
        manifest.accepts.iter().any(|form| modality(form) == wanted)
            && kind.is_none_or(|kind| manifest.kinds.iter().any(|known| known == kind))
    })
}

fn modality(form: &InputForm) -> &str {
    match form {
        InputForm::Image { .. } => "image",
        InputForm::Audio { .. } => "audio",
        InputForm::Raw { mime } => mime.split('/').next().unwrap_or_default(),
    }
}

/// Equal keys mean equal rows: the same bytes through the same library. (Settings and space are those of one language model,
/// and this cache and the engine's end with it.)
fn key_of(info: &PluginInfo, bytes: &[u8]) -> [u8; 32] {
    let content = Sha256::digest(bytes);
    Sha256::new()
        .chain_update(&info.id)
        .chain_update([0])
        .chain_update(&info.sha256)
        .chain_update(content)
        .finalize()
        .into()
}

fn call_error(error: &CallError) -> ApiError {
    use axum::http::StatusCode;
    let words = error.to_string();
    match error.kind {
        CallErrorKind::InvalidInput => ApiError::invalid(None, words),
        CallErrorKind::TooLarge => ApiError::too_large(words),
        CallErrorKind::Unsupported => ApiError::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, words),
        CallErrorKind::Resource => ApiError::unavailable(words),
        CallErrorKind::Cancelled => ApiError::conflict("the request was cancelled"),
        // The plugin's failure, said as such: its words are for people and hold nothing of the server's insides.
        _ => ApiError::with_status(StatusCode::BAD_GATEWAY, words),
    }
}
