//! `jnana.json`: what Jñāna has to know about a model beside its weights.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jnana_models::decoder::DecoderShape;
use jnana_models::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::request::Stop;
use crate::template::Template;

/// Version of the file that this program writes and reads.
const FORMAT: u32 = 1;

/// Name of the file in a model folder.
const FILE_NAME: &str = "jnana.json";

/// What went wrong with a `jnana.json`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// The operating system refused.
    #[error("{operation} {path}: {source}")]
    Io {
        /// `read` or `write`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not the JSON that was expected.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where in it and why.
        source: serde_json::Error,
    },
    /// Written by another version.
    #[error("{path} has format {got}, this program reads format {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        got: u32,
    },
    /// Names no built-in template.
    #[error("{path}: there is no built-in template `{name}`; there are recipe, chatml and smollm2")]
    UnknownTemplate {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A context that the network was not made for.
    #[error("{path}: context is {context}, expected 1 to {max_positions}")]
    Context {
        /// The file.
        path: PathBuf,
        /// The context asked for.
        context: usize,
        /// Positions that the network was made for.
        max_positions: usize,
    },
}

/// The file as it is written; what is absent has a default that depends on the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardFile {
    /// Version of the file.
    pub format: u32,
    /// Id of the model in calls. Default: the weights' own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Id of the embedding space, given at alignment time. Default: `untrained:<family>-<width>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// The prompt template. Default: `smollm2` or `chatml` where the vocabulary has `<|im_start|>`, `recipe` elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateChoice>,
    /// Positions of prompt and answer together. Default: what the network was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// Token ids that end an answer, beside the template's stop tokens. Default: the tokenizer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eos: Option<Vec<u32>>,
    /// The weights: a folder or GGUF file, from the card's folder. Default: those that the card lies beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// Folder of an adapter in PEFT's format that runs beside the weights, from the card's folder. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// Projectors into the embedding space, by the id of the plugin whose encoder they go with; files, from the card's
    /// folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projectors: BTreeMap<String, PathBuf>,
}

/// A template by name or in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TemplateChoice {
    /// A built-in one.
    Named(String),
    /// One of the model's own.
    Inline(Box<Template>),
}

impl CardFile {
    /// An empty file of the current format.
    #[must_use]
    pub fn new() -> Self {
        Self { format: FORMAT, ..Self::default() }
    }

    /// Writes the card of a model: `jnana.json` into a folder, `model.jnana.json` beside a file `model.gguf`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, model: &Path) -> Result<(), CardError> {
        let path = own_place(model);
        let json = serde_json::to_vec_pretty(self)
            .map_err(|source| CardError::Json { path: path.clone(), source })?;
        std::fs::write(&path, json).map_err(|source| CardError::Io { operation: "write", path, source })
    }

    /// Reads the card of a model: in a folder `jnana.json`, else that of its only GGUF file; beside a file `model.gguf`
    /// `model.jnana.json`, else `jnana.json`. `None` where there is none; the path is that of the card.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn read(model: &Path) -> Result<Option<(Self, PathBuf)>, CardError> {
        let places = [Some(own_place(model)), other_place(model)];
        let Some(path) = places.into_iter().flatten().find(|place| place.exists()) else { return Ok(None) };
        let bytes = std::fs::read(&path).map_err(|source| CardError::Io {
            operation: "read",
            path: path.clone(),
            source,
        })?;
        let card: Self = serde_json::from_slice(&bytes)
            .map_err(|source| CardError::Json { path: path.clone(), source })?;
        if card.format != FORMAT {
            return Err(CardError::Format { path, got: card.format });
        }
        Ok(Some((card, path)))
    }

    /// What the network of the model at `model` is made of.
    ///
    /// # Errors
    /// When there is a card that cannot be read.
    pub fn parts(model: &Path) -> Result<Parts, CardError> {
        let (card, at) = Self::read(model)?.unwrap_or_default();
        let from_card = |path: PathBuf| at.with_file_name(path);
        Ok(Parts {
            weights: card.base.map_or_else(|| model.to_owned(), from_card),
            adapter: card.adapter.map(from_card),
        })
    }
}

/// What a model's network is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The weights: a folder or GGUF file.
    pub weights: PathBuf,
    /// The folder of an adapter that runs beside them.
    pub adapter: Option<PathBuf>,
}

/// Where a model's card is written, and looked for first.
fn own_place(model: &Path) -> PathBuf {
    if model.is_dir() { model.join(FILE_NAME) } else { model.with_extension(FILE_NAME) }
}

/// Where it is looked for then: beside a file the card of its folder, in a folder the card of its only GGUF file.
fn other_place(model: &Path) -> Option<PathBuf> {
    if !model.is_dir() {
        return Some(model.with_file_name(FILE_NAME));
    }
    let files = std::fs::read_dir(model).ok()?.flatten().map(|entry| entry.path());
    let mut gguf = files.filter(|file| file.extension().is_some_and(|it| it.eq_ignore_ascii_case("gguf")));
    gguf.next().filter(|_| gguf.next().is_none()).map(|file| file.with_extension(FILE_NAME))
}

/// A model's card with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCard {
    /// Id of the model in calls.
    pub name: String,
    /// Id of the embedding space.
    pub space: String,
    /// The prompt template.
    pub template: Template,
    /// Positions of prompt and answer together.
    pub context: usize,
    /// Token ids that end an answer.
    pub stop_ids: Vec<u32>,
    /// Files of projectors into the space, by plugin.
    pub projectors: BTreeMap<String, PathBuf>,
}

impl ModelCard {
    /// The card of the model at `path`, whose weights call themselves `weights_name`.
    ///
    /// # Errors
    /// When there is a card that cannot be read or does not go with the network.
    pub fn load(
        path: &Path,
        weights_name: &str,
        shape: &DecoderShape,
        tokenizer: &Tokenizer,
    ) -> Result<Self, CardError> {
        let (card, at) = CardFile::read(path)?.unwrap_or_else(|| (CardFile::new(), path.to_owned()));
        let template = match card.template {
            Some(TemplateChoice::Inline(template)) => *template,
            Some(TemplateChoice::Named(name)) => {
                Template::built_in(&name).ok_or(CardError::UnknownTemplate { path: at.clone(), name })?
            }
            None => default_template(weights_name, tokenizer),
        };
        let context = card.context.unwrap_or(shape.max_positions);
        if context == 0 || context > shape.max_positions {
            return Err(CardError::Context { path: at, context, max_positions: shape.max_positions });
        }
        let eos = card.eos.unwrap_or_else(|| tokenizer.eos_ids().to_vec());
        Ok(Self {
            name: card.name.unwrap_or_else(|| weights_name.to_owned()),
            space: card.space.unwrap_or_else(|| format!("untrained:{}-{}", shape.family, shape.width)),
            stop_ids: stop_ids(&template, &eos, tokenizer),
            template,
            context,
            projectors: card
                .projectors
                .into_iter()
                .map(|(plugin, file)| (plugin, at.with_file_name(file)))
                .collect(),
        })
    }

    /// How an answer of at most `max_tokens` ends with this model.
    #[must_use]
    pub fn stop(&self, max_tokens: usize) -> Stop {
        Stop { max_tokens, ids: self.stop_ids.clone(), strings: self.template.stop_strings.clone() }
    }
}

fn default_template(weights_name: &str, tokenizer: &Tokenizer) -> Template {
    if tokenizer.token_id("<|im_start|>").is_none() {
        return recipe_for(tokenizer);
    }
    if weights_name.to_lowercase().contains("smollm") { Template::smollm2() } else { Template::chatml() }
}

/// The recipe's template; a vocabulary without `<|endoftext|>` ends its answers with its own end token.
fn recipe_for(tokenizer: &Tokenizer) -> Template {
    let mut template = Template::recipe();
    if tokenizer.token_id(&template.assistant_close).is_none() {
        let end = tokenizer.eos_ids().first().and_then(|&id| tokenizer.token(id));
        template.assistant_close = end.unwrap_or_default();
    }
    template
}

fn stop_ids(template: &Template, eos: &[u32], tokenizer: &Tokenizer) -> Vec<u32> {
    let named = template.stop_tokens.iter().filter_map(|token| tokenizer.token_id(token));
    let mut ids: Vec<u32> = named.chain(eos.iter().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
