//! Prompt templates as data: the fixed text around people's words, pictures and answers.
//!
//! A model folder's `jnana.json` names a built-in template or carries one of its own; [`prompt`](crate::prompt) is the one
//! renderer that serving and training share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What SmolLM2's own chat template says when nobody else does.
const SMOLLM2_SYSTEM: &str = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

/// The fixed segments of a prompt. Each is tokenised on its own, with special tokens recognised, so that no word of a
/// person can merge with it.
///
/// A turn of a person is `user_open`, then each embeddings part followed by its `slot_close`, then the words, then
/// `user_close`; an answer is `assistant_open`, the answer, `assistant_close`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Name for logs and errors.
    pub name: String,
    /// Where a system message goes.
    #[serde(default)]
    pub system: SystemPlace,
    /// Before a system message that has a turn of its own.
    #[serde(default)]
    pub system_open: String,
    /// After a system message that has a turn of its own.
    #[serde(default)]
    pub system_close: String,
    /// The system message when a request brings none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_system: Option<String>,
    /// Before a person's turn.
    #[serde(default)]
    pub user_open: String,
    /// After embeddings of a slot: slot name → text, such as `image` → `caption image:`. Other slots are followed by nothing.
    #[serde(default)]
    pub slot_close: BTreeMap<String, String>,
    /// After a person's turn.
    #[serde(default)]
    pub user_close: String,
    /// Before an answer.
    #[serde(default)]
    pub assistant_open: String,
    /// After an answer; its first token is what a model learns to end an answer with.
    #[serde(default)]
    pub assistant_close: String,
    /// In alignment a caption follows the picture and its `slot_close` at once, without `user_close` and `assistant_open`:
    /// there is no question.
    #[serde(default)]
    pub bare_captions: bool,
    /// Special tokens that end an answer; those that the vocabulary lacks are ignored.
    #[serde(default)]
    pub stop_tokens: Vec<String>,
    /// Strings that end an answer.
    #[serde(default)]
    pub stop_strings: Vec<String>,
}

/// Where a system message goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemPlace {
    /// In a turn of its own before all others.
    #[default]
    OwnTurn,
    /// Before the words of the first question, joined by one space: for templates that know no system turn.
    FirstQuestion,
}

impl Template {
    /// The built-in template of this name: `recipe`, `chatml` or `smollm2` (ChatML with that model's usual system message).
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        match name {
            "recipe" => Some(Self::recipe()),
            "chatml" => Some(Self::chatml()),
            "smollm2" => Some(Self::smollm2()),
            _ => None,
        }
    }

    /// The recipe's: `<image>caption image:{question}end of question:{answer}<|endoftext|>`.
    #[must_use]
    pub fn recipe() -> Self {
        Self {
            name: "recipe".into(),
            system: SystemPlace::FirstQuestion,
            system_open: String::new(),
            system_close: String::new(),
            default_system: None,
            user_open: String::new(),
            slot_close: image_close("caption image:"),
            user_close: "end of question:".into(),
            assistant_open: String::new(),
            assistant_close: "<|endoftext|>".into(),
            bare_captions: true,
            stop_tokens: vec!["<|endoftext|>".into()],
            stop_strings: Vec::new(),
        }
    }

    /// ChatML, with pictures as in the recipe but without its end-of-question marker.
    #[must_use]
    pub fn chatml() -> Self {
        Self {
            name: "chatml".into(),
            system: SystemPlace::OwnTurn,
            system_open: "<|im_start|>system\n".into(),
            system_close: "<|im_end|>\n".into(),
            default_system: None,
            user_open: "<|im_start|>user\n".into(),
            slot_close: image_close("caption image:\n"),
            user_close: "<|im_end|>\n".into(),
            assistant_open: "<|im_start|>assistant\n".into(),
            assistant_close: "<|im_end|>\n".into(),
            bare_captions: false,
            stop_tokens: vec!["<|im_end|>".into(), "<|endoftext|>".into()],
            stop_strings: Vec::new(),
        }
    }

    /// ChatML as SmolLM2 was trained with it.
    #[must_use]
    pub fn smollm2() -> Self {
        Self { name: "smollm2".into(), default_system: Some(SMOLLM2_SYSTEM.into()), ..Self::chatml() }
    }

    /// The template by which a picture and its caption are rendered in alignment.
    #[must_use]
    pub fn for_captions(&self) -> Self {
        if !self.bare_captions {
            return self.clone();
        }
        Self { user_close: String::new(), assistant_open: String::new(), ..self.clone() }
    }
}

fn image_close(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("image".to_owned(), text.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_templates_survive_json() {
        for name in ["recipe", "chatml", "smollm2"] {
            let template = Template::built_in(name).unwrap();
            let json = serde_json::to_string(&template).unwrap();
            assert_eq!(serde_json::from_str::<Template>(&json).unwrap(), template);
        }
        assert_eq!(Template::built_in("alpaca"), None);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let error = serde_json::from_str::<Template>(r#"{"name":"x","user_opn":"Q: "}"#).unwrap_err();
        assert!(error.to_string().contains("user_opn"), "{error}");
    }
}
