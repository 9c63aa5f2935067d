//! The camera: a live preview, the very frame that will be sent, and a choice of devices.

use jnana_api::plugins::PluginInfo;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::devices::{self, Capture, Device, Kind, Trouble};
use super::{file, frame};
use crate::browser;
use crate::components::icons;
use crate::store::{Store, use_store};
use crate::tray::Tray;

/// Size asked of the device; frames are made smaller when they are taken.
const IDEAL_SIZE: (f64, f64) = (1_280.0, 960.0);

/// A device that gives no frame within this time is dead.
const FIRST_FRAME_MS: i32 = 8_000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Starting,
    Live,
    /// A frame was taken; its address in this page.
    Taken(String),
    Trouble(Trouble),
}

/// The open camera; a handle that is copied around.
#[derive(Clone, Copy)]
struct Session {
    store: Store,
    stage: RwSignal<Stage>,
    devices: RwSignal<Vec<Device>>,
    used: RwSignal<String>,
    problem: RwSignal<String>,
    capture: StoredValue<Option<Capture>, LocalStorage>,
    taken: StoredValue<Option<Blob>, LocalStorage>,
    ended: StoredValue<Option<Closure<dyn FnMut()>>, LocalStorage>,
    /// Counts the starts, so that a device that opens late does not replace a newer one.
    start: StoredValue<u32>,
    video: NodeRef<html::Video>,
}

impl Session {
    fn new(store: Store) -> Self {
        let session = Self {
            store,
            stage: RwSignal::new(Stage::Starting),
            devices: RwSignal::new(Vec::new()),
            used: RwSignal::new(String::new()),
            problem: RwSignal::new(String::new()),
            capture: StoredValue::new_local(None),
            taken: StoredValue::new_local(None),
            ended: StoredValue::new_local(None),
            start: StoredValue::new(0),
            video: NodeRef::new(),
        };
        on_cleanup(move || session.release());
        session
    }

    fn release(self) {
        self.close_device();
        self.forget_taken();
    }

    fn close_device(self) {
        self.start.try_update_value(|start| *start += 1);
        self.capture.try_update_value(|capture| drop(capture.take()));
    }

    /// A page out of sight holds no device; back in sight the preview goes on. A frame that was taken stays.
    fn follow_visibility(self) {
        let is_taken = self.stage.with_untracked(|stage| matches!(stage, Stage::Taken(_)));
        let is_in_trouble = self.stage.with_untracked(|stage| matches!(stage, Stage::Trouble(_)));
        if !browser::is_visible() {
            self.close_device();
        } else if !is_taken && !is_in_trouble {
            self.start();
        }
    }

    fn forget_taken(self) {
        if let Some(Stage::Taken(url)) = self.stage.try_get_untracked() {
            browser::free(&url);
        }
        self.taken.try_update_value(|taken| drop(taken.take()));
    }

    fn start(self) {
        self.release();
        self.stage.set(Stage::Starting);
        let this_start = self.start.get_value();
        spawn_local(async move {
            let settings = self.store.settings.get_untracked();
            let opened =
                devices::open(Kind::Camera, &settings.camera, &constraints(settings.facing_user)).await;
            if self.start.try_get_value() != Some(this_start) {
                return; // the panel was closed, or another device was asked for: dropping lets this one go
            }
            match opened {
                Ok(capture) => self.show(capture).await,
                Err(trouble) => self.stage.set(Stage::Trouble(trouble)),
            }
            browser::sleep(FIRST_FRAME_MS).await;
            let is_this_start = self.start.try_get_value() == Some(this_start);
            if is_this_start && self.stage.get_untracked() == Stage::Starting {
                self.release();
                self.stage.set(Stage::Trouble(Trouble::Dead));
            }
        });
    }

    async fn show(self, capture: Capture) {
        self.used.set(capture.device().unwrap_or_default());
        let ended = Closure::<dyn FnMut()>::new(move || {
            self.release();
            self.stage.try_set(Stage::Trouble(Trouble::Unplugged));
        });
        if let Some(track) = capture.tracks().first() {
            track.set_onended(Some(ended.as_ref().unchecked_ref()));
        }
        if let Some(video) = self.video.get_untracked() {
            video.set_muted(true);
            video.set_src_object(Some(&capture.stream));
            if let Ok(playing) = video.play() {
                // It is cut off when the panel closes; that is no error.
                spawn_local(async move { drop(JsFuture::from(playing).await) });
            }
        }
        self.ended.set_value(Some(ended));
        self.capture.set_value(Some(capture));
        let devices = devices::list(Kind::Camera).await;
        self.devices.try_set(devices);
    }

    /// The first frame is there.
    fn first_frame(self) {
        if self.stage.get_untracked() == Stage::Starting {
            self.stage.set(Stage::Live);
        }
    }

    fn take(self) {
        let Some(video) = self.video.get_untracked() else { return };
        self.problem.set(String::new());
        spawn_local(async move {
            match frame::of_video(&video).await {
                Ok(blob) => self.keep(blob),
                Err(error) => drop(self.problem.try_set(frame::words(&error))),
            }
        });
    }

    fn keep(self, blob: Blob) {
        let Some(url) = browser::object_url(&blob) else { return };
        if self.stage.try_get_untracked() != Some(Stage::Live) {
            return browser::free(&url);
        }
        self.taken.set_value(Some(blob));
        self.stage.set(Stage::Taken(url));
        browser::focus_soon(".panel .primary");
    }

    fn retake(self) {
        self.forget_taken();
        if self.capture.with_value(Option::is_some) {
            self.stage.set(Stage::Live);
            browser::focus_soon(".panel .primary");
        } else {
            self.start();
        }
    }

    fn choose(self, device: String) {
        self.store.set(|settings| settings.camera = device);
        self.start();
    }

    fn flip(self) {
        self.store.set(|settings| {
            settings.facing_user = !settings.facing_user;
            settings.camera = String::new();
        });
        self.start();
    }
}

fn constraints(facing_user: bool) -> devices::Constraints {
    let ideal = |value: JsValue| JsValue::from(devices::object(&[("ideal", value)]));
    vec![
        ("width", ideal(IDEAL_SIZE.0.into())),
        ("height", ideal(IDEAL_SIZE.1.into())),
        ("facingMode", ideal(if facing_user { "user" } else { "environment" }.into())),
    ]
}

/// The camera's panel.
#[component]
pub(super) fn Camera(plugin: StoredValue<PluginInfo>, tray: Tray) -> impl IntoView {
    let session = Session::new(use_store());
    let stage = session.stage;
    // The element is there once the view is mounted.
    Effect::new(move |_| session.start());
    let hidden = window_event_listener(leptos::ev::pagehide, move |_| tray.open.set(None));
    let away = window_event_listener(leptos::ev::visibilitychange, move |_| session.follow_visibility());
    on_cleanup(move || {
        hidden.remove();
        away.remove();
    });
    let use_frame = move |_| {
        if let Some(blob) = session.taken.try_update_value(Option::take).flatten() {
            plugin.with_value(|plugin| tray.add(plugin, blob));
            tray.close();
        }
    };
    let noun =
        plugin.with_value(|plugin| plugin.manifest.as_ref().map_or_else(String::new, |m| m.ui.noun.clone()));
    view! {
        <div class="viewfinder" class:is-taken=move || matches!(stage.get(), Stage::Taken(_))
            class:is-off=move || matches!(stage.get(), Stage::Trouble(_))>
            <video node_ref=session.video autoplay playsinline aria-label="Preview" prop:muted=true
                on:loadeddata=move |_| session.first_frame()></video>
            {move || match stage.get() {
                Stage::Taken(url) => view! { <img src=url alt=format!("{noun}, as it will be sent")/> }.into_any(),
                Stage::Starting => view! { <p class="waiting" role="status">"Starting…"</p> }.into_any(),
                Stage::Live | Stage::Trouble(_) => ().into_any(),
            }}
        </div>
        {move || match stage.get() {
            Stage::Trouble(trouble) => {
                let words = trouble.words(Kind::Camera);
                view! { <TroubleBox words retry=move || session.start()/> }.into_any()
            }
            _ => ().into_any(),
        }}
        <p class="trouble" role="alert" hidden=move || session.problem.with(String::is_empty)>
            {session.problem}
        </p>
        <div class="panel-row">
            {move || match stage.get() {
                Stage::Live => view! {
                    <button type="button" class="primary" on:click=move |_| session.take()>"Capture"</button>
                }.into_any(),
                Stage::Taken(_) => view! {
                    <button type="button" class="primary" on:click=use_frame>"Use"</button>
                    <button type="button" on:click=move |_| session.retake()>"Retake"</button>
                }.into_any(),
                _ => ().into_any(),
            }}
            <Show when=move || stage.with(|stage| *stage == Stage::Live)>
                <button type="button" class="quiet" on:click=move |_| session.flip()>
                    {icons::flip()}"Flip"
                </button>
            </Show>
            <DeviceChoice devices=session.devices used=session.used choose=move |id| session.choose(id)/>
        </div>
        <file::FilePicker plugin tray prominent=false/>
    }
}

/// What went wrong with a device, and a way on.
#[component]
pub(super) fn TroubleBox(words: String, retry: impl Fn() + 'static) -> impl IntoView {
    view! {
        <div class="trouble" role="alert">
            <p>{words}</p>
            <button type="button" on:click=move |_| retry()>"Try again"</button>
        </div>
    }
}

/// The choice between devices; nothing when there is only one.
#[component]
pub(super) fn DeviceChoice(
    devices: RwSignal<Vec<Device>>,
    used: RwSignal<String>,
    choose: impl Fn(String) + Clone + Send + Sync + 'static,
) -> impl IntoView {
    view! {
        <Show when=move || devices.with(|devices| devices.len() > 1)>
            <label class="device">
                <span>"Device"</span>
                <select prop:value=move || used.get() on:change={
                    let choose = choose.clone();
                    move |event| choose(event_target_value(&event))
                }>
                    {move || devices.get().into_iter().map(|device| {
                        let is_used = used.with_untracked(|used| *used == device.id);
                        view! { <option value=device.id selected=is_used>{device.label}</option> }
                    }).collect_view()}
                </select>
            </label>
        </Show>
    }
}
