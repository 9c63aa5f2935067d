//! The plugin's settings, parsed from the object that the host hands over.

use std::path::PathBuf;

use jnana_plugin_sdk::{Create, Error};
use serde_json::{Map, Value, json};

use crate::language;

/// Settings with their defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// A ggml file, a folder with one, or a CTranslate2 folder.
    pub(crate) model: PathBuf,
    /// Codes of the languages that may be recognised; empty for all that the model knows.
    pub(crate) languages: Vec<&'static str>,
    /// Most threads at once.
    pub(crate) threads: usize,
    /// Look for speech before recognition.
    pub(crate) vad: bool,
    /// Probability of "no speech" above which an unsure segment is dropped.
    pub(crate) no_speech_threshold: f32,
    /// Always encode 30 s, however short the recording.
    pub(crate) full_window: bool,
}

impl Settings {
    /// Parses the settings of a new instance; the thread budget is an upper limit on `threads`.
    pub(crate) fn parse(create: &Create) -> Result<Self, Error> {
        let map = &create.settings;
        let model = map.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| wrong("model", "the path of a Whisper model", map.get("model")))?;
        let budget = create.threads.max(1);
        Ok(Self {
            model: PathBuf::from(model),
            languages: languages(map)?,
            threads: threads(map)?.map_or(budget, |threads| threads.min(budget)),
            vad: flag(map, "vad", true)?,
            no_speech_threshold: threshold(map)?,
            full_window: flag(map, "full_window", false)?,
        })
    }
}

/// JSON Schema of the settings.
pub(crate) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "model": {
                "type": "string",
                "description": "Model name or path: a ggml file, a folder that holds one, or a CTranslate2 folder."
            },
            "languages": {
                "type": "array", "items": {"type": "string"}, "default": [],
                "description": "Codes of the languages to recognise, such as [\"en\", \"de\"]; empty for all that the model knows."
            },
            "threads": {
                "type": "integer", "minimum": 1,
                "description": "Most threads at once; the host's budget when absent, never more than that."
            },
            "vad": {
                "type": "boolean", "default": true,
                "description": "Look for speech first, so that silence and noise stay without text."
            },
            "no_speech_threshold": {
                "type": "number", "minimum": 0, "maximum": 1, "default": 0.6,
                "description": "Drop unsure text where the model gives silence at least this probability."
            },
            "full_window": {
                "type": "boolean", "default": false,
                "description": "Always encode 30 seconds, however short the recording: slower, for comparisons."
            }
        }
    })
}

fn languages(map: &Map<String, Value>) -> Result<Vec<&'static str>, Error> {
    let expected = "a list of language codes such as [\"en\"]";
    let value = match map.get("languages") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value,
    };
    let list = value.as_array().ok_or_else(|| wrong("languages", expected, Some(value)))?;
    list.iter()
        .map(|item| {
            item.as_str().and_then(language::code).ok_or_else(|| wrong("languages", expected, Some(item)))
        })
        .collect()
}

fn threads(map: &Map<String, Value>) -> Result<Option<usize>, Error> {
    let value = match map.get("threads") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let threads = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    threads.map(Some).ok_or_else(|| wrong("threads", "a whole number from 1", Some(value)))
}

fn flag(map: &Map<String, Value>, key: &str, default: bool) -> Result<bool, Error> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_bool().ok_or_else(|| wrong(key, "true or false", Some(value))),
    }
}

fn threshold(map: &Map<String, Value>) -> Result<f32, Error> {
    match map.get("no_speech_threshold") {
        None | Some(Value::Null) => Ok(0.6),
        Some(value) => match value.as_f64() {
            Some(number) if (0.0..=1.0).contains(&number) => Ok(number as f32),
            _ => Err(wrong("no_speech_threshold", "a number from 0 to 1", Some(value))),
        },
    }
}

fn wrong(key: &str, expected: &str, found: Option<&Value>) -> Error {
    let found = found.map_or("nothing".to_owned(), Value::to_string);
    Error::invalid(format!("setting {key} of the plugin whisper: expected {expected}, found {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(settings: Value) -> Result<Settings, Error> {
        let Value::Object(settings) = settings else { panic!("not an object") };
        let cache_dir = PathBuf::new();
        Settings::parse(&Create { space: String::new(), width: 0, threads: 2, cache_dir, settings })
    }

    #[test]
    fn defaults_are_filled_in() {
        let settings = parse(json!({"model": "m"})).unwrap();
        let expected = Settings {
            model: "m".into(),
            languages: Vec::new(),
            threads: 2,
            vad: true,
            no_speech_threshold: 0.6,
            full_window: false,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn languages_may_be_named_and_the_budget_holds() {
        let settings = parse(json!({"model": "m", "languages": ["German", "en"], "threads": 64})).unwrap();
        assert_eq!((settings.languages, settings.threads), (vec!["de", "en"], 2));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (settings, key) in [
            (json!({}), "model"),
            (json!({"model": "m", "languages": ["klingon"]}), "languages"),
            (json!({"model": "m", "languages": "en"}), "languages"),
            (json!({"model": "m", "threads": 0}), "threads"),
            (json!({"model": "m", "vad": 1}), "vad"),
            (json!({"model": "m", "no_speech_threshold": 1.5}), "no_speech_threshold"),
        ] {
            let error = parse(settings).unwrap_err();
            assert!(error.message.contains(&format!("setting {key} ")), "{error}");
        }
    }
}
