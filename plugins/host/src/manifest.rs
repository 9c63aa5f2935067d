//! Reads a manifest and checks it: later code relies on every number in it being sane.

use jnana_api::plugins::{InputForm, Manifest};

use crate::error::Error;

/// Kind of plugins that turn an input into positions.
pub const ENCODER: &str = "jnana.encoder/1";
/// Kind of plugins that give an encoder's features.
pub const FEATURES: &str = "jnana.features/1";
/// Kind of plugins that turn an input into text.
pub const TRANSCRIBER: &str = "jnana.transcriber/1";

/// Kind of plugins that offer long work to administrators.
pub const JOBS: &str = "jnana.jobs/1";

const KINDS: [&str; 4] = [ENCODER, FEATURES, TRANSCRIBER, JOBS];
const NEEDS: [&str; 4] = ["network", "filesystem", "gpu", "process"];
const DTYPES: [&str; 3] = ["f32", "f16", "bf16"];
const MAX_ID: usize = 64;
const MAX_TEXT: usize = 4096;
const MAX_POSITIONS: u32 = 65_536;
const MAX_CONCURRENCY: u32 = 1024;
const MAX_INPUT_BYTES: u64 = 1 << 30;
const MAX_SIDE: u32 = 8192;

/// Reads and checks the JSON of a manifest.
pub(crate) fn parse(json: &str) -> Result<Manifest, Error> {
    let manifest: Manifest =
        serde_json::from_str(json).map_err(|error| Error::Manifest { reason: error.to_string() })?;
    check(&manifest).map_err(|reason| Error::Manifest { reason })?;
    Ok(manifest)
}

fn check(manifest: &Manifest) -> Result<(), String> {
    check_id(&manifest.id)?;
    let ui = &manifest.ui;
    for (field, text) in [
        ("name", &manifest.name),
        ("version", &manifest.version),
        ("ui.label", &ui.label),
        ("ui.noun", &ui.noun),
    ] {
        if text.trim().is_empty() {
            return Err(format!("{field} is empty"));
        }
    }
    for (field, text) in [
        ("name", &manifest.name),
        ("version", &manifest.version),
        ("description", &manifest.description),
        ("ui.label", &ui.label),
        ("ui.noun", &ui.noun),
        ("ui.icon", &ui.icon),
        ("ui.help", &ui.help),
    ] {
        if text.len() > MAX_TEXT {
            return Err(format!("{field} is longer than {MAX_TEXT} bytes"));
        }
    }
    check_kinds(manifest)?;
    let takes_inputs = manifest.kinds.iter().any(|kind| kind != JOBS);
    if takes_inputs || !manifest.accepts.is_empty() {
        check_accepts(&manifest.accepts)?;
    }
    within("max_concurrency", manifest.max_concurrency.into(), MAX_CONCURRENCY.into())?;
    within("max_input_bytes", manifest.max_input_bytes, MAX_INPUT_BYTES)?;
    if let Some(need) = manifest.needs.iter().find(|need| !NEEDS.contains(&need.as_str())) {
        return Err(format!("needs: expected some of {}, got {need:?}", NEEDS.join(", ")));
    }
    check_models(manifest)
}

fn within(field: &str, value: u64, max: u64) -> Result<(), String> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("{field}: expected 1 to {max}, got {value}"))
    }
}

fn check_id(id: &str) -> Result<(), String> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    // The id names a folder, so `..` and hidden names are out.
    let good = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(allowed) && !id.starts_with(['.', '-']);
    if good {
        return Ok(());
    }
    Err(format!(
        "id: expected 1 to {MAX_ID} lower-case letters, digits, '-' or '.', a letter or digit first, got {id:?}"
    ))
}

fn check_kinds(manifest: &Manifest) -> Result<(), String> {
    let kinds = &manifest.kinds;
    // A kind of a later host is no fault, as long as this one finds something to call.
    if !kinds.iter().any(|kind| KINDS.contains(&kind.as_str())) {
        return Err(format!("kinds: expected at least one of {}, got {kinds:?}", KINDS.join(", ")));
    }
    let encodes = kinds.iter().any(|kind| kind == ENCODER);
    match &manifest.emits {
        None if encodes => Err(format!("emits is missing, which kind {ENCODER} needs")),
        None => Ok(()),
        Some(emits) => {
            if !DTYPES.contains(&emits.dtype.as_str()) {
                return Err(format!("emits.dtype: expected {}, got {:?}", DTYPES.join(", "), emits.dtype));
            }
            within("emits.max_positions", emits.max_positions.into(), MAX_POSITIONS.into())
        }
    }
}

fn check_accepts(forms: &[InputForm]) -> Result<(), String> {
    if forms.is_empty() {
        return Err("accepts is empty: the host would not know what to give".to_owned());
    }
    forms.iter().try_for_each(|form| match form {
        InputForm::Image { width, height, .. } => {
            within("accepts: width", u64::from(*width), MAX_SIDE.into())?;
            within("accepts: height", u64::from(*height), MAX_SIDE.into())
        }
        InputForm::Audio { sample_rate } => {
            let (low, high) = (jnana_media::audio::MIN_RATE, jnana_media::audio::MAX_RATE);
            if (low..=high).contains(sample_rate) {
                return Ok(());
            }
            Err(format!("accepts: sample_rate: expected {low} to {high}, got {sample_rate}"))
        }
        InputForm::Raw { mime } => check_mime(mime),
    })
}

fn check_mime(mime: &str) -> Result<(), String> {
    let token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&-^_.+".contains(&byte)
            })
    };
    match mime.split_once('/') {
        Some((kind, subtype)) if token(kind) && (subtype == "*" || token(subtype)) => Ok(()),
        _ => {
            Err(format!("accepts: expected a lower-case MIME type such as text/csv or image/*, got {mime:?}"))
        }
    }
}

/// Whether a plugin says that it takes inputs of a MIME type without parameters: for people (`ui.accept`) or as it is.
pub(crate) fn takes(manifest: &Manifest, mime: &str) -> bool {
    let raw = manifest.accepts.iter().filter_map(|form| match form {
        InputForm::Raw { mime } => Some(mime),
        _ => None,
    });
    manifest.ui.accept.iter().chain(raw).any(|pattern| mime_matches(pattern, mime))
}

/// Whether a MIME type fits a pattern whose end may be `*`.
pub(crate) fn mime_matches(pattern: &str, mime: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => mime.starts_with(prefix),
        None => pattern == mime,
    }
}

fn check_models(manifest: &Manifest) -> Result<(), String> {
    for (at, model) in manifest.models.iter().enumerate() {
        if model.setting.is_empty() {
            return Err("models: a setting has no name".to_owned());
        }
        if manifest.models[..at].iter().any(|other| other.setting == model.setting) {
            return Err(format!("models: the setting {} is listed twice", model.setting));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "id": "letters", "name": "Letters", "version": "1.0.0", "kinds": [ENCODER],
            "accepts": [{"form": "raw", "mime": "text/*"}, {"form": "audio", "sample_rate": 16000},
                        {"form": "image", "width": 224, "height": 224, "fit": "center-crop"}],
            "emits": {"dtype": "f32", "max_positions": 49},
            "ui": {"control": "text", "label": "Count letters", "noun": "Text", "icon": "a"}
        })
    }

    #[test]
    fn a_whole_manifest_is_taken() {
        let manifest = parse(&good().to_string()).unwrap();
        assert_eq!((manifest.id.as_str(), manifest.max_concurrency), ("letters", 1));
    }

    #[test]
    fn each_broken_field_is_named() {
        let cases = [
            ("/id", json!("Letters"), "id"),
            ("/id", json!("../up"), "id"),
            ("/id", json!(""), "id"),
            ("/id", json!("x".repeat(65)), "id"),
            ("/name", json!(" "), "name"),
            ("/kinds", json!([]), "kinds"),
            ("/kinds", json!(["jnana.smeller/1"]), "jnana.smeller/1"),
            ("/accepts", json!([]), "accepts"),
            ("/accepts/0/mime", json!("text"), "text/csv"),
            ("/accepts/1/sample_rate", json!(0), "sample_rate"),
            ("/accepts/2/width", json!(0), "width"),
            ("/accepts/2/height", json!(100_000), "height"),
            ("/emits", Value::Null, "emits"),
            ("/emits/dtype", json!("i8"), "dtype"),
            ("/emits/max_positions", json!(0), "max_positions"),
            ("/ui/label", json!(""), "ui.label"),
        ];
        for (pointer, value, named) in cases {
            let mut manifest = good();
            *manifest.pointer_mut(pointer).unwrap() = value;
            let words = parse(&manifest.to_string()).unwrap_err().to_string();
            assert!(words.contains(named), "{pointer}: {words}");
        }
        for (field, value) in [
            ("max_concurrency", json!(0)),
            ("max_input_bytes", json!(u64::MAX)),
            ("needs", json!(["telepathy"])),
            ("models", json!([{"setting": "a", "default": "x"}, {"setting": "a", "default": "y"}])),
        ] {
            let mut manifest = good();
            manifest[field] = value;
            let words = parse(&manifest.to_string()).unwrap_err().to_string();
            assert!(words.contains(field), "{field}: {words}");
        }
    }

    #[test]
    fn only_a_plugin_of_jobs_may_take_no_input() {
        let mut manifest = good();
        manifest["accepts"] = json!([]);
        manifest["kinds"] = json!([JOBS]);
        assert!(parse(&manifest.to_string()).is_ok());
        manifest["kinds"] = json!([JOBS, ENCODER]);
        assert!(parse(&manifest.to_string()).unwrap_err().to_string().contains("accepts"));
    }

    #[test]
    fn kinds_of_later_hosts_do_no_harm() {
        let mut manifest = good();
        manifest["kinds"] = json!([ENCODER, "jnana.encoder/9"]);
        assert!(parse(&manifest.to_string()).is_ok());
    }
}
