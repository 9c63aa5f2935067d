//! Cameras and microphones of the machine: asking for one, what can go wrong in words, and letting go.

use js_sys::{Array, Object, Reflect};
use leptos::prelude::window;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    MediaDeviceInfo, MediaDeviceKind, MediaDevices, MediaStream, MediaStreamConstraints, MediaStreamTrack,
};

use crate::browser;

/// The kind of device that a control uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A video device.
    Camera,
    /// An audio device.
    Microphone,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
        }
    }

    fn media(self) -> MediaDeviceKind {
        match self {
            Self::Camera => MediaDeviceKind::Videoinput,
            Self::Microphone => MediaDeviceKind::Audioinput,
        }
    }
}

/// A device that a person can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    /// The browser's id for this site.
    pub(super) id: String,
    /// Its name.
    pub(super) label: String,
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The page came over plain HTTP from another machine: browsers hide devices then.
    Insecure,
    /// The person, the browser or the system said no.
    Denied,
    /// There is none.
    Missing,
    /// Another program has it.
    Busy,
    /// The chosen one is not there.
    NotThisOne,
    /// It went away while it was used.
    Unplugged,
    /// It gives nothing any more.
    Dead,
    /// Anything else, in the browser's words.
    Other(String),
}

impl Trouble {
    fn of(error: &JsValue) -> Self {
        match browser::error_name(error).as_str() {
            "NotAllowedError" | "SecurityError" => Self::Denied,
            "NotFoundError" => Self::Missing,
            "NotReadableError" | "AbortError" => Self::Busy,
            "OverconstrainedError" => Self::NotThisOne,
            _ => Self::Other(browser::message(error)),
        }
    }

    /// What happened and what to do, in words.
    pub(super) fn words(&self, kind: Kind) -> String {
        let noun = kind.noun();
        match self {
            Self::Insecure => format!(
                "Browsers only give a page the {noun} over HTTPS or on this very machine. Start the server with --tls and \
                 open its https:// address, or open it as http://localhost on the machine it runs on."
            ),
            Self::Denied => format!(
                "The {noun} is not allowed for this page. Allow it with the sign beside the address, or in the system's \
                 privacy settings, then try again."
            ),
            Self::Missing => format!("No {noun} was found. Connect one, then try again."),
            Self::Busy => {
                format!("The {noun} is in use by another program. Close that program, then try again.")
            }
            Self::NotThisOne => format!(
                "The {noun} that was chosen is not there or cannot do what is asked. Choose another one."
            ),
            Self::Unplugged => {
                format!("The {noun} was disconnected. Connect it again, or choose another one.")
            }
            Self::Dead => {
                format!("The {noun} has stopped giving anything. Check that it is connected, then try again.")
            }
            Self::Other(words) => format!("The {noun} did not start: {words}"),
        }
    }
}

/// An open device; its tracks end when this is dropped, and the browser's light goes off.
pub(super) struct Capture {
    /// The live stream.
    pub(super) stream: MediaStream,
}

impl Capture {
    /// The tracks of the stream.
    pub(super) fn tracks(&self) -> Vec<MediaStreamTrack> {
        self.stream.get_tracks().iter().map(JsCast::unchecked_into).collect()
    }

    /// The id of the device that is really used.
    pub(super) fn device(&self) -> Option<String> {
        let settings = self.tracks().first()?.get_settings();
        Reflect::get(&settings, &"deviceId".into()).ok()?.as_string()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        for track in self.tracks() {
            track.set_onended(None);
            track.stop();
        }
    }
}

/// Constraints of a track: pairs of a name and its value.
pub(super) type Constraints = Vec<(&'static str, JsValue)>;

/// Opens a device. `device` is a remembered id; one that has gone gives way to the browser's choice.
pub(super) async fn open(kind: Kind, device: &str, constraints: &Constraints) -> Result<Capture, Trouble> {
    let media = media_devices().ok_or(Trouble::Insecure)?;
    match request(&media, kind, device, constraints).await {
        Err(Trouble::NotThisOne | Trouble::Missing) if !device.is_empty() => {
            request(&media, kind, "", constraints).await
        }
        answer => answer,
    }
}

async fn request(
    media: &MediaDevices,
    kind: Kind,
    device: &str,
    constraints: &Constraints,
) -> Result<Capture, Trouble> {
    let track = object(constraints);
    if !device.is_empty() {
        set(&track, "deviceId", &object(&[("exact", JsValue::from_str(device))]));
    }
    let all = MediaStreamConstraints::new();
    match kind {
        Kind::Camera => all.set_video(&track),
        Kind::Microphone => all.set_audio(&track),
    }
    let stream = media.get_user_media_with_constraints(&all).map_err(|error| Trouble::of(&error))?;
    let stream = JsFuture::from(stream).await.map_err(|error| Trouble::of(&error))?;
    Ok(Capture { stream: stream.unchecked_into() })
}

/// The devices of a kind. Browsers name them only once one was allowed.
pub(super) async fn list(kind: Kind) -> Vec<Device> {
    let Some(promise) = media_devices().and_then(|media| media.enumerate_devices().ok()) else {
        return Vec::new();
    };
    let Ok(devices) = JsFuture::from(promise).await else { return Vec::new() };
    Array::from(&devices)
        .iter()
        .map(JsCast::unchecked_into::<MediaDeviceInfo>)
        .filter(|device| device.kind() == kind.media() && !device.device_id().is_empty())
        .enumerate()
        .map(|(number, device)| {
            let label = device.label();
            let label = if label.is_empty() { format!("Device {}", number + 1) } else { label };
            Device { id: device.device_id(), label }
        })
        .collect()
}

/// `undefined` where the page is not secure.
fn media_devices() -> Option<MediaDevices> {
    let devices = Reflect::get(&window().navigator(), &"mediaDevices".into()).ok()?;
    devices.is_object().then(|| devices.unchecked_into())
}

/// A JavaScript object of these members.
pub(super) fn object(members: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in members {
        set(&object, name, value);
    }
    object
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // Setting a member of a plain object cannot fail.
    drop(Reflect::set(object, &name.into(), value));
}
