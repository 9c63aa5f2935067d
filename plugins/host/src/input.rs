//! Brings what a person sent to the first form that a plugin accepts and the host can make.

use std::ffi::CString;

use jnana_api::plugins::{Fit, InputForm, Manifest};
use jnana_media::{AudioLimits, ErrorKind, ImageLimits, Picture, Sound};
use jnana_plugin_abi as abi;

use crate::call::{CallErrorKind, RawInput};
use crate::manifest::mime_matches;
use crate::strings::c_string;

/// An input in a form of the contract.
pub(crate) enum Prepared<'a> {
    Image(Picture),
    Audio(Sound),
    Raw { mime: CString, bytes: &'a [u8] },
}

/// A refusal, before the plugin saw anything.
pub(crate) type Refusal = (CallErrorKind, String);

/// Makes the first form of `accepts` that can be made of the input. `fit` overrides that of the manifest's image forms.
pub(crate) fn prepare<'a>(
    manifest: &Manifest,
    fit: Option<Fit>,
    input: RawInput<'a>,
) -> Result<Prepared<'a>, Refusal> {
    let max = usize::try_from(manifest.max_input_bytes).unwrap_or(usize::MAX);
    if input.bytes.len() > max {
        let came = input.bytes.len();
        let words = format!("the input has {came} bytes, more than the {max} allowed; send a smaller one");
        return Err((CallErrorKind::TooLarge, words));
    }
    let mime = essence(input);
    let mut first_refusal = None;
    for form in &manifest.accepts {
        match make(form, fit, input, &mime, max) {
            Some(Ok(prepared)) => return Ok(prepared),
            Some(Err(refusal)) => {
                first_refusal.get_or_insert(refusal);
            }
            None => {}
        }
    }
    Err(first_refusal.unwrap_or_else(|| (CallErrorKind::Unsupported, takes(manifest, &mime))))
}

fn takes(manifest: &Manifest, mime: &str) -> String {
    let forms: Vec<&str> = manifest
        .accepts
        .iter()
        .map(|form| match form {
            InputForm::Image { .. } => "a picture (JPEG, PNG, WebP)",
            InputForm::Audio { .. } => "sound (WAV, PCM)",
            InputForm::Raw { mime } => mime,
        })
        .collect();
    format!("an input of type {mime} does not fit; it takes {}", forms.join(" or "))
}

/// The MIME type in lower case without parameters; by content when none was declared.
fn essence(input: RawInput<'_>) -> String {
    let declared = input.mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if declared.is_empty() || declared == "application/octet-stream" {
        return jnana_media::sniff(input.bytes).unwrap_or("application/octet-stream").to_owned();
    }
    declared
}

/// Makes one form; `None` when the type of the input has nothing to do with it.
fn make<'a>(
    form: &InputForm,
    fit: Option<Fit>,
    input: RawInput<'a>,
    mime: &str,
    max_bytes: usize,
) -> Option<Result<Prepared<'a>, Refusal>> {
    match form {
        InputForm::Image { width, height, fit: own } => mime.starts_with("image/").then(|| {
            let limits = ImageLimits { max_bytes, ..ImageLimits::default() };
            let picture = jnana_media::decode_image(input.bytes, &limits).map_err(|error| refusal(&error))?;
            Ok(Prepared::Image(jnana_media::fit(&picture, *width, *height, media_fit(fit.unwrap_or(*own)))))
        }),
        InputForm::Audio { sample_rate } => mime.starts_with("audio/").then(|| {
            let limits = AudioLimits { max_bytes, ..AudioLimits::default() };
            jnana_media::decode_audio(input.bytes, input.mime, &limits)
                .and_then(|sound| jnana_media::resample(&sound, *sample_rate))
                .map(Prepared::Audio)
                .map_err(|error| refusal(&error))
        }),
        InputForm::Raw { mime: pattern } => mime_matches(pattern, mime)
            .then(|| Ok(Prepared::Raw { mime: c_string(mime), bytes: input.bytes })),
    }
}

fn media_fit(fit: Fit) -> jnana_media::Fit {
    match fit {
        Fit::Stretch => jnana_media::Fit::Stretch,
        Fit::CenterCrop => jnana_media::Fit::CenterCrop,
        Fit::Contain => jnana_media::Fit::Contain,
    }
}

fn refusal(error: &jnana_media::Error) -> Refusal {
    let kind = match error.kind() {
        ErrorKind::TooLarge => CallErrorKind::TooLarge,
        ErrorKind::Unsupported => CallErrorKind::Unsupported,
        _ => CallErrorKind::InvalidInput,
    };
    (kind, error.to_string())
}

impl Prepared<'_> {
    /// The struct of the contract; it borrows from `self`.
    pub(crate) fn as_abi(&self) -> abi::Input {
        let mut input = abi::Input {
            size: abi::size_of::<abi::Input>(),
            form: abi::INPUT_RAW,
            data: std::ptr::null(),
            length: 0,
            width: 0,
            height: 0,
            sample_rate: 0,
            reserved: 0,
            mime: c"".as_ptr(),
        };
        match self {
            Self::Image(picture) => {
                input.form = abi::INPUT_IMAGE;
                input.data = picture.pixels.as_ptr().cast();
                input.length = picture.pixels.len() as u64;
                input.width = picture.width;
                input.height = picture.height;
            }
            Self::Audio(sound) => {
                input.form = abi::INPUT_AUDIO;
                input.data = sound.samples.as_ptr().cast();
                input.length = size_of_val(sound.samples.as_slice()) as u64;
                input.sample_rate = sound.sample_rate;
            }
            Self::Raw { mime, bytes } => {
                input.data = bytes.as_ptr().cast();
                input.length = bytes.len() as u64;
                input.mime = mime.as_ptr();
            }
        }
        input
    }

    /// Length in seconds, of sound.
    pub(crate) fn seconds(&self) -> Option<f64> {
        match self {
            Self::Audio(sound) => Some(sound.seconds()),
            _ => None,
        }
    }
}
