//! Brings what a person sent to the first form that a plugin accepts and the host can make.

use std::ffi::CString;

use jnana_api::plugins::{Fit, InputForm, Manifest};
use jnana_media::{AudioLimits, ErrorKind, ImageLimits, Picture, Sound};
use jnana_plugin_abi as abi;
use serde::{Deserialize, Serialize};

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

/// An input without its bytes: the numbers of the contract's struct. It also goes to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    form: i32,
    width: u32,
    height: u32,
    sample_rate: u32,
    mime: CString,
}

impl Head {
    /// The struct of the contract; it borrows from both.
    pub(crate) fn with<'a>(&'a self, bytes: &'a [u8]) -> abi::Input {
        abi::Input {
            size: abi::size_of::<abi::Input>(),
            form: self.form,
            data: bytes.as_ptr().cast(),
            length: bytes.len() as u64,
            width: self.width,
            height: self.height,
            sample_rate: self.sample_rate,
            reserved: 0,
            mime: self.mime.as_ptr(),
        }
    }
}

impl Prepared<'_> {
    pub(crate) fn head(&self) -> Head {
        let none =
            Head { form: abi::INPUT_RAW, width: 0, height: 0, sample_rate: 0, mime: CString::default() };
        match self {
            Self::Image(picture) => {
                Head { form: abi::INPUT_IMAGE, width: picture.width, height: picture.height, ..none }
            }
            Self::Audio(sound) => Head { form: abi::INPUT_AUDIO, sample_rate: sound.sample_rate, ..none },
            Self::Raw { mime, .. } => Head { mime: mime.clone(), ..none },
        }
    }

    /// Aligned for what they hold.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Image(picture) => &picture.pixels,
            Self::Audio(sound) => bytemuck::cast_slice(&sound.samples),
            Self::Raw { bytes, .. } => bytes,
        }
    }

    /// Length in seconds, of sound.
    pub(crate) fn seconds(&self) -> Option<f64> {
        match self {
            Self::Audio(sound) => Some(sound.seconds()),
            _ => None,
        }
    }
}
