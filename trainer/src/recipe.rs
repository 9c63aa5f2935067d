//! A recipe: everything that decides a run, as TOML.
//!
//! A recipe is parsed, changed by the command line's `KEY=VALUE` pairs, and then has every default filled in
//! ([`Recipe::table`]): that text is what a run keeps, hashes and compares.

use std::path::{Path, PathBuf};

use jnana_media::Fit;
use jnana_models::lora::LoraConfig;
use jnana_models::vision::FeatureMap;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::changes::read_changed;
use crate::data::plan::Buckets;
use crate::data::source::Source;
use crate::train::optimizer::AdamWSettings;
use crate::train::schedule::Schedule;
use crate::{Error, Result};

/// What a run trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Stage 0: the whole decoder, on text.
    Pretrain,
    /// Stage 1: the projector; encoder and decoder are frozen.
    Align,
    /// Stage 2: the projector and an adapter on the frozen decoder.
    Tune,
}

/// A recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name in messages and events.
    pub name: String,
    /// What is trained.
    pub stage: Stage,
    /// Decides initial weights, order and dropout. Default: 0.
    #[serde(default)]
    pub seed: u64,
    /// Optimiser's steps.
    pub steps: u64,
    /// Batches of a step. Default: 1.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Keeps of a batch only what goes into each layer and computes the layers again on the way back: less memory, more
    /// time. Default: false.
    #[serde(default)]
    pub recompute: bool,
    /// Largest norm of a step's gradient. Default: 1.
    #[serde(default = "unit")]
    pub clip: f64,
    /// Decoupled weight decay of matrices. Default: 0.
    #[serde(default)]
    pub weight_decay: f64,
    /// AdamW's other numbers.
    #[serde(default)]
    pub adamw: AdamWSettings,
    /// The learning rate over the run.
    pub rate: Schedule,
    /// The decoder.
    pub decoder: DecoderRecipe,
    /// Pictures: encoder and projector; absent for text alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision: Option<VisionRecipe>,
    /// The adapter of stage 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// An adapter to go on from, of the rank, alpha and modules of `lora`, below the runs' folder unless it is a path of its
    /// own. A projector beside it has to be in `space`. Default: a fresh one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// Id of the embedding space that the run makes. Default: the base's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// System message; absent for the template's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// What to learn from.
    pub data: Vec<Source>,
    /// How examples are dealt into batches. Default: the recipe's table by answer length.
    #[serde(default)]
    pub batches: Buckets,
    /// Measuring and keeping.
    #[serde(default)]
    pub keep: Keep,
}

/// The decoder of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderRecipe {
    /// Folder or GGUF file, below the models folder unless it is a path of its own. In stage 0 a folder with `config.json`,
    /// tokenizer and `jnana.json`, whose weights are drawn at random.
    pub model: PathBuf,
    /// Quantises the frozen weights: `nf4`, or a block format such as `q8_0`. Default: as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize: Option<String>,
    /// Keeps only so many rows of embedding and head. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab_rows: Option<usize>,
}

/// Encoder and projector of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionRecipe {
    /// The encoder's folder or file, below the models folder unless it is a path of its own.
    pub encoder: PathBuf,
    /// Channels of EfficientNet-Lite0's map, 320 or 1,280. Default: 1,280.
    #[serde(default = "channels")]
    pub features: usize,
    /// How a picture becomes the encoder's square. Default: stretched, as the vision plugin does it.
    #[serde(default = "stretch")]
    pub fit: Fit,
    /// A projector to go on from, below the runs' folder unless it is a path of its own. Default: a random one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projector: Option<PathBuf>,
    /// First value of a random projector's learned factor; absent: none, as in the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// The projector's learning rate as a multiple of the run's. Default: 1.
    #[serde(default = "unit")]
    pub rate: f64,
}

/// When to measure, when to keep, when to give up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// Steps between two measurements of the held-out loss; 0 for none but the last. Default: 200.
    pub evaluate_every: u64,
    /// Steps between two checkpoints. Default: 100.
    pub checkpoint_every: u64,
    /// Measurements without a better one before the run ends early; 0 for never. Default: 0.
    pub patience: u64,
    /// A step whose loss is this many times the mean of those before ends the run. Default: 10.
    pub explosion: f64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { evaluate_every: 200, checkpoint_every: 100, patience: 0, explosion: 10. }
    }
}

impl VisionRecipe {
    /// The map with so many channels.
    ///
    /// # Errors
    /// When there is none.
    pub fn feature_map(&self) -> Result<FeatureMap> {
        FeatureMap::of_width(self.features)
            .ok_or_else(|| Error::setting("vision.features", "320 or 1280", self.features))
    }
}

fn stretch() -> Fit {
    Fit::Stretch
}

fn channels() -> usize {
    FeatureMap::default().width()
}

fn one() -> usize {
    1
}

fn unit() -> f64 {
    1.
}

impl Recipe {
    /// Reads a recipe and changes it by `changes` (`KEY=VALUE`, dotted keys such as `rate.rate=1e-3`; a value is TOML, or
    /// else text).
    ///
    /// # Errors
    /// When the file cannot be read, a key is unknown or a value is impossible.
    pub fn read(path: &Path, changes: &[String]) -> Result<Self> {
        let (recipe, table): (Self, _) = read_changed(path, changes)?;
        recipe.check()?;
        recipe.refuse_foreign_adapter_keys(&table)?;
        Ok(recipe)
    }

    /// The recipe with every default filled in.
    ///
    /// # Errors
    /// When a number cannot be written as TOML.
    pub fn table(&self) -> Result<Table> {
        Table::try_from(self).map_err(|error| Error::setting("recipe", "numbers that TOML knows", error))
    }

    /// PEFT's configurations have other keys too, so that an adapter's struct takes any; in a recipe they are misspelt.
    fn refuse_foreign_adapter_keys(&self, given: &Table) -> Result<()> {
        let filled = self.table()?;
        let [given, known] = [given, &filled].map(|table| table.get("lora").and_then(Value::as_table));
        let (Some(given), Some(known)) = (given, known) else { return Ok(()) };
        match given.keys().find(|key| !known.contains_key(*key)) {
            Some(key) => {
                let keys: Vec<&str> = known.keys().map(String::as_str).collect();
                Err(Error::setting(format!("lora.{key}"), &keys.join(", "), key))
            }
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<()> {
        let setting = |key: &str, expected: &str, got: String| Err(Error::setting(key, expected, got));
        if self.steps == 0 || self.accumulate == 0 {
            return setting("steps", "at least 1, as accumulate", format!("{}", self.steps));
        }
        if !(self.clip > 0. && self.clip.is_finite()) {
            return setting("clip", "a number above 0", self.clip.to_string());
        }
        self.rate.check()?;
        if !(self.weight_decay >= 0. && self.weight_decay.is_finite()) {
            return setting("weight_decay", "0 or more", self.weight_decay.to_string());
        }
        if self.keep.explosion.is_nan() || self.keep.explosion <= 1. {
            return setting("keep.explosion", "a number above 1", self.keep.explosion.to_string());
        }
        if self.data.is_empty() {
            return setting("data", "at least one source", "none".to_owned());
        }
        match (self.stage, &self.vision, &self.lora) {
            (Stage::Align, None, _) => setting("vision", "an encoder to align", "none".to_owned()),
            (Stage::Tune, _, None) => setting("lora", "an adapter to tune", "none".to_owned()),
            (Stage::Pretrain | Stage::Align, _, Some(_)) => {
                setting("lora", "no adapter before stage 2", "one".to_owned())
            }
            (Stage::Pretrain, Some(_), _) => setting("vision", "no pictures in stage 0", "some".to_owned()),
            (Stage::Pretrain | Stage::Align, ..) if self.adapter.is_some() => {
                setting("adapter", "no adapter before stage 2", "one".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Evaluation;

    const TEXT: &str = r#"
        name = "a"
        stage = "align"
        steps = 10
        rate = { rate = 1e-3 }
        decoder = { model = "m" }
        vision = { encoder = "e" }
        [[data]]
        name = "d"
        folder = "f"
        format = { kind = "coco" }
    "#;

    fn read(text: &str, changes: &[&str]) -> Result<Recipe> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        std::fs::write(&path, text).unwrap();
        Recipe::read(&path, &changes.iter().map(|&change| change.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_changes_what_the_file_says() {
        let plain = read(TEXT, &[]).unwrap();
        let changes = ["steps=20", "rate.rate=0.5", "data.0.weight=2.0", "vision.encoder=other", "seed=7"];
        let changed = read(TEXT, &changes).unwrap();
        assert_eq!((plain.steps, plain.seed, plain.accumulate, plain.clip), (10, 0, 1, 1.));
        assert_eq!((changed.steps, changed.rate.rate, changed.seed), (20, 0.5, 7));
        assert_eq!(changed.data[0].weight, 2.);
        assert_eq!(changed.vision.unwrap().encoder, Path::new("other"));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (change, word) in [
            ("stepz=1", "stepz"),
            ("steps=0", "steps"),
            ("steps", "KEY=VALUE"),
            ("data.3.weight=1", "data.3"),
            ("stage=tune", "lora"),
            ("adapter=default-tune/adapter", "adapter"),
            ("clip=-1", "clip"),
            ("rate.rate=-1", "rate.rate"),
            ("rate.warmup=2", "rate.warmup"),
            ("weight_decay=-1", "weight_decay"),
            ("keep.explosion=0", "keep.explosion"),
        ] {
            let error = read(TEXT, &[change]).unwrap_err().to_string();
            assert!(error.contains(word), "{change}: {error}");
        }
    }

    #[test]
    fn an_adapters_keys_are_known() {
        let lora = "[lora]\nr = 4\nlora_alpha = 8.0\ntarget_modules = [\"q_proj\"]";
        let text = TEXT.replace("stage = \"align\"", "stage = \"tune\"") + lora;
        assert_eq!(read(&text, &["lora.lora_dropout=0.5"]).unwrap().lora.unwrap().lora_dropout, 0.5);
        let error = read(&text, &["lora.dropout=0.1"]).unwrap_err().to_string();
        assert!(error.contains("lora.dropout") && error.contains("lora_dropout"), "{error}");
    }

    #[test]
    fn the_projects_own_files_are_read() {
        let folder = |name: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            files.filter(|file| file.extension().is_some_and(|extension| extension == "toml"))
        };
        let recipes: Vec<Recipe> = folder("recipes").map(|file| Recipe::read(&file, &[]).unwrap()).collect();
        let evaluations: Vec<Evaluation> =
            folder("evaluations").map(|file| Evaluation::read(&file, &[]).unwrap()).collect();
        assert!(recipes.len() >= 8 && evaluations.len() >= 4);
    }

    #[test]
    fn a_filled_in_recipe_reads_as_itself() {
        let recipe = read(TEXT, &[]).unwrap();
        let again: Recipe = recipe.table().unwrap().try_into().unwrap();
        assert_eq!(again, recipe);
    }
}
