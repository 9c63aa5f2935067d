//! The microphone: push to talk (hold, or press once to begin and once to end), a level meter,
//! a choice of devices.

use jnana_api::plugins::PluginInfo;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use std::time::Duration;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;

use super::camera::{DeviceChoice, TroubleBox};
use super::devices::{self, Device, Kind, Trouble};
use super::file::FilePicker;
use super::recorder::Recorder;
use crate::browser;
use crate::components::icons;
use crate::logic::{wav, words};
use crate::store::{Store, use_store};
use crate::tray::Tray;

/// A press that lasts at least this long is held: letting go ends the recording.
const HOLD_MS: f64 = 400.0;
/// No samples for this long: the device is dead.
const DEAD_MS: f64 = 2_000.0;
/// Digital silence for this long: the device is probably muted.
const MUTED_MS: f64 = 2_000.0;
/// How often the meter is drawn and the device is looked after.
const TICK: Duration = Duration::from_millis(60);
/// Longest recording in seconds, where the plugin takes as much.
const LONGEST_SECONDS: f32 = 600.0;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Starting,
    /// The device listens, nothing is kept.
    Ready,
    Recording,
    /// The recording is on its way to the tray.
    Ending,
    Trouble(Trouble),
}

/// The open microphone; a handle that is copied around.
#[derive(Clone, Copy)]
struct Session {
    store: Store,
    tray: Tray,
    plugin: StoredValue<PluginInfo>,
    stage: RwSignal<Stage>,
    devices: RwSignal<Vec<Device>>,
    used: RwSignal<String>,
    seconds: RwSignal<u64>,
    level: RwSignal<f32>,
    muted: RwSignal<bool>,
    recorder: StoredValue<Option<Recorder>, LocalStorage>,
    ended: StoredValue<Option<Closure<dyn FnMut()>>, LocalStorage>,
    start: StoredValue<u32>,
    /// When the button went down, while it is down.
    pressed: StoredValue<Option<f64>>,
}

impl Session {
    fn new(store: Store, tray: Tray, plugin: StoredValue<PluginInfo>) -> Self {
        let session = Self {
            store,
            tray,
            plugin,
            stage: RwSignal::new(Stage::Starting),
            devices: RwSignal::new(Vec::new()),
            used: RwSignal::new(String::new()),
            seconds: RwSignal::new(0),
            level: RwSignal::new(0.0),
            muted: RwSignal::new(false),
            recorder: StoredValue::new_local(None),
            ended: StoredValue::new_local(None),
            start: StoredValue::new(0),
            pressed: StoredValue::new(None),
        };
        on_cleanup(move || session.release());
        session
    }

    fn release(self) {
        self.start.try_update_value(|start| *start += 1);
        self.recorder.try_update_value(|recorder| drop(recorder.take()));
    }

    fn start(self) {
        self.release();
        self.stage.set(Stage::Starting);
        let this_start = self.start.get_value();
        spawn_local(async move {
            let opened = self.open().await;
            if self.start.try_get_value() != Some(this_start) {
                return; // the panel was closed, or another device was asked for: dropping lets this one go
            }
            match opened {
                Ok(recorder) => self.show(recorder).await,
                Err(trouble) => self.stage.set(Stage::Trouble(trouble)),
            }
        });
    }

    /// A page out of sight holds no device, but for a recording, which goes on while its person looks something up.
    fn follow_visibility(self) {
        if !matches!(self.stage.get_untracked(), Stage::Starting | Stage::Ready) {
            return;
        }
        if browser::is_visible() {
            self.start();
        } else {
            self.release();
            self.stage.set(Stage::Starting);
        }
    }

    async fn open(self) -> Result<Recorder, Trouble> {
        let settings = self.store.settings.get_untracked();
        let constraints = vec![
            ("channelCount", 1.into()),
            ("echoCancellation", settings.echo_cancellation.into()),
            ("noiseSuppression", settings.noise_suppression.into()),
            ("autoGainControl", settings.auto_gain.into()),
        ];
        Recorder::listen(devices::open(Kind::Microphone, &settings.microphone, &constraints).await?).await
    }

    async fn show(self, recorder: Recorder) {
        self.used.set(recorder.capture().device().unwrap_or_default());
        let ended = Closure::<dyn FnMut()>::new(move || self.lose(&Trouble::Unplugged));
        if let Some(track) = recorder.capture().tracks().first() {
            track.set_onended(Some(ended.as_ref().unchecked_ref()));
        }
        self.ended.set_value(Some(ended));
        self.recorder.set_value(Some(recorder));
        self.stage.set(Stage::Ready);
        browser::focus_soon(".panel .record");
        let devices = devices::list(Kind::Microphone).await;
        self.devices.try_set(devices);
    }

    /// The device went away: what was recorded is kept, and it is said.
    fn lose(self, trouble: &Trouble) {
        let words = trouble.words(Kind::Microphone);
        let was_recording = self.stage.try_get_untracked() == Some(Stage::Recording);
        if was_recording
            && self.recorder.with_value(|recorder| recorder.as_ref().is_some_and(|r| r.seconds() > 0.5))
        {
            self.store.say(format!("{words} What was recorded until then is kept."));
            self.end();
        } else {
            self.release();
            self.stage.try_set(Stage::Trouble(trouble.clone()));
        }
    }

    fn begin(self) {
        if self.stage.get_untracked() != Stage::Ready {
            return;
        }
        self.recorder.with_value(|recorder| {
            if let Some(recorder) = recorder {
                recorder.begin();
            }
        });
        self.seconds.set(0);
        self.muted.set(false);
        self.stage.set(Stage::Recording);
        self.store.announce("Recording.");
    }

    fn end(self) {
        if self.stage.get_untracked() != Stage::Recording {
            return;
        }
        let Some(ending) = self.recorder.with_value(|recorder| recorder.as_ref().map(Recorder::ending))
        else {
            return;
        };
        self.stage.set(Stage::Ending);
        spawn_local(async move {
            let recording = ending.wav().await;
            if self.stage.try_get_untracked() != Some(Stage::Ending) {
                return; // the panel was closed meanwhile
            }
            if let Some(blob) = recording {
                self.plugin.with_value(|plugin| self.tray.add(plugin, blob));
                self.tray.close();
            } else {
                self.release();
                self.stage.set(Stage::Trouble(Trouble::Dead));
            }
        });
    }

    fn press(self) {
        if self.pressed.get_value().is_some() {
            return; // a held key repeats
        }
        self.pressed.set_value(Some(browser::now()));
        if self.stage.get_untracked() == Stage::Recording {
            self.end();
        } else {
            self.begin();
        }
    }

    fn let_go(self) {
        let held = self.pressed.get_value().is_some_and(|since| browser::now() - since >= HOLD_MS);
        self.pressed.set_value(None);
        if held {
            self.end();
        }
    }

    /// Draws the meter and looks after the device.
    fn tick(self) {
        let now = browser::now();
        let is_recording = match self.stage.get_untracked() {
            Stage::Recording => true,
            Stage::Ready => false,
            Stage::Starting | Stage::Ending | Stage::Trouble(_) => return,
        };
        let look =
            self.recorder.with_value(|recorder| {
                let recorder = recorder.as_ref()?;
                let seconds = if is_recording { recorder.seconds() } else { 0.0 };
                let rate = recorder.sample_rate();
                Some(recorder.with(|heard| {
                    (heard.level, now - heard.last_at, now - heard.last_sound_at, seconds, rate)
                }))
            });
        let Some((level, since_samples, since_sound, seconds, rate)) = look else { return };
        self.level.set(level);
        let muted = since_sound > MUTED_MS;
        if self.muted.get_untracked() != muted {
            self.muted.set(muted);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // minutes
        let whole = seconds as u64;
        if self.seconds.get_untracked() != whole {
            self.seconds.set(whole);
        }
        if since_samples > DEAD_MS && browser::is_visible() {
            self.lose(&Trouble::Dead);
        } else if is_recording && seconds > self.longest(rate) {
            self.store.say("The longest recording was reached.");
            self.end();
        }
    }

    /// Seconds that fit into what the plugin takes, 16-bit mono.
    #[allow(clippy::cast_precision_loss)] // megabytes
    fn longest(self, rate: f32) -> f32 {
        let bytes =
            self.plugin.with_value(|plugin| plugin.manifest.as_ref().map_or(0, |m| m.max_input_bytes));
        let samples = (bytes as f32 - wav::HEADER_BYTES as f32) / 2.0;
        (samples / rate - 1.0).clamp(1.0, LONGEST_SECONDS)
    }
}

/// The microphone's panel.
#[component]
pub(super) fn Microphone(plugin: StoredValue<PluginInfo>, tray: Tray) -> impl IntoView {
    let session = Session::new(use_store(), tray, plugin);
    let stage = session.stage;
    let trouble = Memo::new(move |_| match stage.get() {
        Stage::Trouble(trouble) => Some(trouble),
        _ => None,
    });
    Effect::new(move |_| session.start());
    let ticking = set_interval_with_handle(move || session.tick(), TICK).ok();
    let hidden = window_event_listener(leptos::ev::pagehide, move |_| tray.open.set(None));
    let away = window_event_listener(leptos::ev::visibilitychange, move |_| session.follow_visibility());
    on_cleanup(move || {
        hidden.remove();
        away.remove();
        if let Some(ticking) = ticking {
            ticking.clear();
        }
    });
    view! {
        {move || match trouble.get() {
            Some(trouble) => {
                let words = trouble.words(Kind::Microphone);
                view! { <TroubleBox words retry=move || session.start()/> }.into_any()
            }
            None => view! { <RecordRow session/> }.into_any(),
        }}
        <p class="warning" role="status">
            {move || (session.muted.get() && stage.with(|stage| matches!(stage, Stage::Ready | Stage::Recording)))
                .then_some("Only silence arrives. Is the microphone muted?")}
        </p>
        <div class="panel-row">
            <DeviceChoice devices=session.devices used=session.used choose=move |id: String| {
                session.store.set(|settings| settings.microphone = id);
                session.start();
            }/>
        </div>
        <FilePicker plugin tray prominent=false/>
    }
}

#[component]
fn RecordRow(session: Session) -> impl IntoView {
    let stage = session.stage;
    let is_recording = Memo::new(move |_| stage.with(|stage| *stage == Stage::Recording));
    let is_off = move || stage.with(|stage| !matches!(stage, Stage::Ready | Stage::Recording));
    let keydown = move |event: web_sys::KeyboardEvent| {
        if matches!(event.key().as_str(), " " | "Enter") {
            event.prevent_default();
            session.press();
        }
    };
    let keyup = move |event: web_sys::KeyboardEvent| {
        if matches!(event.key().as_str(), " " | "Enter") {
            event.prevent_default();
            session.let_go();
        }
    };
    let pointerdown = move |event: web_sys::PointerEvent| {
        if event.button() == 0 {
            session.press();
        }
    };
    // Screen readers click without pointer or key; such a click has no detail.
    let click = move |event: web_sys::MouseEvent| {
        if event.detail() == 0 {
            session.press();
            session.pressed.set_value(None);
        }
    };
    let up = window_event_listener(leptos::ev::pointerup, move |_| session.let_go());
    let cancelled = window_event_listener(leptos::ev::pointercancel, move |_| session.let_go());
    on_cleanup(move || {
        up.remove();
        cancelled.remove();
    });
    view! {
        <div class="record-row">
            <button type="button" class="record" class:is-on=is_recording
                aria-disabled=move || is_off().to_string()
                on:pointerdown=pointerdown on:click=click on:keydown=keydown on:keyup=keyup
                on:contextmenu=|event| event.prevent_default()>
                {move || if is_recording.get() { icons::square().into_any() } else { icons::disc().into_any() }}
                <span>{move || if is_recording.get() { "Stop recording" } else { "Record" }}</span>
            </button>
            <Meter level=session.level/>
            <span class="clock" aria-hidden="true">{move || words::clock(session.seconds.get())}</span>
        </div>
        <p class="hint">{move || match stage.get() {
            Stage::Starting => "Starting…",
            Stage::Ending => "Finishing…",
            Stage::Recording => "Recording. Press again, or let go, to finish.",
            _ => "Press once, or hold while you talk.",
        }}</p>
    }
}

#[component]
fn Meter(level: RwSignal<f32>) -> impl IntoView {
    let bar = NodeRef::<html::Div>::new();
    Effect::new(move |_| {
        let level = level.get();
        if let Some(bar) = bar.get() {
            drop(web_sys::HtmlElement::style(&bar).set_property("--level", &format!("{level:.2}")));
            drop(bar.set_attribute("aria-valuenow", &format!("{:.0}", level * 100.0)));
        }
    });
    view! {
        <div class="meter" node_ref=bar role="meter" aria-label="Level" aria-valuemin="0"
            aria-valuemax="100" aria-valuenow="0">
            <div class="meter-bar"></div>
        </div>
    }
}
