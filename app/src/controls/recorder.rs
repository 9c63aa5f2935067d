//! Samples of an audio device: an AudioWorklet hands them over, WebAssembly keeps them and makes a WAV file.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Float32Array;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AudioContext, AudioContextOptions, AudioNode, AudioWorkletNode, Blob, MediaStreamAudioSourceNode,
    MessageEvent,
};

use super::devices::{Capture, Trouble};
use crate::browser;
use crate::logic::wav;

/// Samples a second that recognisers want.
const SAMPLE_RATE: f32 = 16_000.0;
/// The worklet's script; a file of its own because the page's policy forbids scripts made on the way.
const WORKLET: &str = "/pcm-worklet.js";
/// Wait for the last samples after a recording was ended.
const FLUSH_MS: i32 = 60;

/// What was heard so far.
#[derive(Default)]
pub(super) struct Heard {
    /// Samples of the recording.
    samples: Vec<f32>,
    /// Whether samples are kept.
    recording: bool,
    /// Loudness of the newest samples, 0 to 1.
    pub(super) level: f32,
    /// When samples last came (Unix milliseconds).
    pub(super) last_at: f64,
    /// When they were last anything but digital silence.
    pub(super) last_sound_at: f64,
}

impl Heard {
    fn take(&mut self, samples: &[f32]) {
        let now = browser::now();
        self.last_at = now;
        if !wav::is_silent(samples) {
            self.last_sound_at = now;
        }
        // The meter rises at once and falls slowly, as meters do.
        self.level = wav::level(samples).max(self.level * 0.85);
        if self.recording {
            self.samples.extend_from_slice(samples);
        }
    }
}

/// An open audio device whose samples arrive here; dropping it closes the device.
pub(super) struct Recorder {
    context: OpenContext,
    source: MediaStreamAudioSourceNode,
    worklet: AudioWorkletNode,
    heard: Rc<RefCell<Heard>>,
    _on_samples: OnSamples,
    capture: Capture,
}

impl Recorder {
    /// Listens to an open device.
    pub(super) async fn listen(capture: Capture) -> Result<Self, Trouble> {
        let other = |error: JsValue| Trouble::Other(browser::message(&error));
        let (context, source) = connect(&capture).map_err(other)?;
        let heard = Rc::new(RefCell::new(Heard {
            last_at: browser::now(),
            last_sound_at: browser::now(),
            ..Heard::default()
        }));
        let (worklet, on_samples) = attach(&context.0, &source, &heard).await.map_err(other)?;
        Ok(Self { context, source, worklet, heard, _on_samples: on_samples, capture })
    }

    /// The open device.
    pub(super) fn capture(&self) -> &Capture {
        &self.capture
    }

    /// Samples a second, as the browser really gives them.
    pub(super) fn sample_rate(&self) -> f32 {
        self.context.0.sample_rate()
    }

    /// Begins a recording.
    pub(super) fn begin(&self) {
        let mut heard = self.heard.borrow_mut();
        let now = browser::now();
        *heard = Heard { recording: true, last_at: now, last_sound_at: now, ..Heard::default() };
    }

    /// Looks at what was heard.
    pub(super) fn with<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.borrow())
    }

    /// Seconds recorded so far.
    #[allow(clippy::cast_precision_loss)] // minutes of samples
    pub(super) fn seconds(&self) -> f32 {
        self.heard.borrow().samples.len() as f32 / self.sample_rate()
    }

    /// A handle that ends the recording and gives its samples.
    pub(super) fn ending(&self) -> Ending {
        Ending { port: self.worklet.port().ok(), heard: self.heard.clone(), sample_rate: self.sample_rate() }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Ok(port) = self.worklet.port() {
            port.set_onmessage(None);
            port.close();
        }
        let nodes: [&AudioNode; 2] = [&self.source, &self.worklet];
        for node in nodes {
            drop(node.disconnect());
        }
    }
}

/// Ends a recording.
pub(super) struct Ending {
    port: Option<web_sys::MessagePort>,
    heard: Rc<RefCell<Heard>>,
    sample_rate: f32,
}

impl Ending {
    /// Waits for the last samples, then gives the recording as WAV; `None` when there is none.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a sample rate
    pub(super) async fn wav(self) -> Option<Blob> {
        if let Some(port) = &self.port {
            drop(port.post_message(&"flush".into()));
        }
        browser::sleep(FLUSH_MS).await;
        let mut heard = self.heard.borrow_mut();
        heard.recording = false;
        let samples = std::mem::take(&mut heard.samples);
        if samples.is_empty() {
            return None;
        }
        browser::blob(&wav::encode(&samples, self.sample_rate as u32), "audio/wav").ok()
    }
}

/// An audio context that closes when it is dropped: browsers allow only a few.
struct OpenContext(AudioContext);

impl Drop for OpenContext {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}

/// A context at [`SAMPLE_RATE`] that hears the device. Browsers that cannot resample a device get one at the device's
/// own rate: the WAV file says which, and the server resamples.
fn connect(capture: &Capture) -> Result<(OpenContext, MediaStreamAudioSourceNode), JsValue> {
    let options = AudioContextOptions::new();
    options.set_sample_rate(SAMPLE_RATE);
    let at_rate = AudioContext::new_with_context_options(&options).map(OpenContext);
    if let Ok(context) = at_rate
        && let Ok(source) = context.0.create_media_stream_source(&capture.stream)
    {
        return Ok((context, source));
    }
    let context = OpenContext(AudioContext::new()?);
    let source = context.0.create_media_stream_source(&capture.stream)?;
    Ok((context, source))
}

type OnSamples = Closure<dyn FnMut(MessageEvent)>;

async fn attach(
    context: &AudioContext,
    source: &MediaStreamAudioSourceNode,
    heard: &Rc<RefCell<Heard>>,
) -> Result<(AudioWorkletNode, OnSamples), JsValue> {
    JsFuture::from(context.audio_worklet()?.add_module(WORKLET)?).await?;
    // A context that began before the person's click sleeps.
    drop(JsFuture::from(context.resume()?).await);
    let worklet = AudioWorkletNode::new(context, "pcm")?;
    let heard = heard.clone();
    let on_samples = OnSamples::new(move |event: MessageEvent| {
        if let Ok(samples) = event.data().dyn_into::<Float32Array>() {
            heard.borrow_mut().take(&samples.to_vec());
        }
    });
    worklet.port()?.set_onmessage(Some(on_samples.as_ref().unchecked_ref()));
    source.connect_with_audio_node(&worklet)?;
    Ok((worklet, on_samples))
}
