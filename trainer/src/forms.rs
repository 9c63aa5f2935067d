//! What the program offers to whoever starts it from a form: kinds of work with a JSON Schema each, flat, whose keys are those of
//! recipes with dots (`rate.rate`), as the command line's `--set` takes them.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::evaluation::Evaluation;
use crate::recipe::{Recipe, Stage};
use crate::shipped::{EVALUATIONS, RECIPES};

/// Folder of recipes, evaluations of a person's own in the data folder.
const OWN: [&str; 2] = ["recipes", "evaluations"];

/// How a setting is filled in.
#[derive(Clone, Copy)]
enum Entry {
    Text,
    Whole(u64),
    Number,
    Switch,
    Choice(&'static [&'static str]),
    /// A folder of the data folder.
    Data,
    /// A folder or file of the models folder, or a path of its own.
    Model,
}

struct Field(&'static str, &'static str, Entry, &'static str);

const DEVICE: Field = Field("device", "Device", Entry::Text, "cpu, cuda or cuda:N. Default: cpu.");
const AS_RECIPE: &str = "Default: as the recipe says.";

/// Settings of a run of any stage; all of them keys of recipes.
const RUN: &[Field] = &[
    Field("data.0.folder", "Data", Entry::Data, "Folder of the first source. Default: as the recipe says."),
    Field("data.0.limit", "Most records", Entry::Whole(1), "Of the first source, spread over its file."),
    Field("steps", "Steps", Entry::Whole(1), "Steps of the optimiser. Default: as the recipe says."),
    Field("accumulate", "Batches of a step", Entry::Whole(1), AS_RECIPE),
    Field(
        "rate.rate",
        "Learning rate",
        Entry::Number,
        "The highest, reached after the warm-up. Default: as the recipe says.",
    ),
    Field(
        "rate.warmup",
        "Warm-up",
        Entry::Number,
        "Share of the steps, 0 to 1. Default: as the recipe says.",
    ),
    Field("rate.decay", "Decay", Entry::Choice(&["cosine", "linear", "constant"]), AS_RECIPE),
    Field("weight_decay", "Weight decay", Entry::Number, AS_RECIPE),
    Field(
        "decoder.model",
        "Language model",
        Entry::Model,
        "Name in the models folder, or a path. Default: as the recipe says.",
    ),
    Field(
        "decoder.quantize",
        "Quantise it",
        Entry::Choice(&["nf4", "q8_0", "q4_0"]),
        "The frozen weights, while training.",
    ),
    Field(
        "vision.encoder",
        "Encoder",
        Entry::Model,
        "Name in the models folder, or a path. Default: as the recipe says.",
    ),
    Field(
        "vision.projector",
        "Projector to go on from",
        Entry::Text,
        "Below the folder of jobs, as JOB/work/run/projector.safetensors, or a path.",
    ),
    Field(
        "space",
        "Embedding space",
        Entry::Text,
        "Id of the space that the run makes. Default: the base's.",
    ),
    Field(
        "recompute",
        "Compute layers twice",
        Entry::Switch,
        "Less memory, more time. Default: as the recipe says.",
    ),
    Field("seed", "Seed", Entry::Whole(0), AS_RECIPE),
    Field(
        "keep.evaluate_every",
        "Steps between measurements",
        Entry::Whole(0),
        "0 measures at the end only.",
    ),
    Field("keep.checkpoint_every", "Steps between checkpoints", Entry::Whole(1), AS_RECIPE),
    DEVICE,
];

/// What stage 2 has beside those.
const ADAPTER: &[Field] = &[
    Field("lora.r", "Adapter's rank", Entry::Whole(1), AS_RECIPE),
    Field(
        "lora.lora_alpha",
        "Adapter's alpha",
        Entry::Number,
        "The update is scaled by alpha / rank. Default: as the recipe says.",
    ),
    Field("lora.lora_dropout", "Adapter's dropout", Entry::Number, "0 to 1. Default: as the recipe says."),
    Field(
        "adapter",
        "Adapter to go on from",
        Entry::Text,
        "Below the folder of jobs, as JOB/work/run/adapter, or a path.",
    ),
];

/// Settings of an evaluation.
const EVALUATE: &[Field] = &[
    Field(
        "data.0.folder",
        "Data",
        Entry::Data,
        "Folder of the first source. Default: as the evaluation says.",
    ),
    Field(
        "decoder.model",
        "Language model",
        Entry::Model,
        "Name in the models folder, or a path. Default: as the evaluation says.",
    ),
    Field(
        "adapter",
        "Adapter",
        Entry::Text,
        "Below the folder of jobs, as JOB/work/run/adapter, or a path. Default: as the evaluation says.",
    ),
    Field(
        "vision.encoder",
        "Encoder",
        Entry::Model,
        "Name in the models folder, or a path. Default: as the evaluation says.",
    ),
    Field(
        "vision.projector",
        "Projector",
        Entry::Text,
        "Below the folder of jobs, as JOB/work/run/projector.safetensors, or a path.",
    ),
    Field("max_tokens", "Longest answer", Entry::Whole(1), "In tokens. Default: as the evaluation says."),
    DEVICE,
];

const FORMATS: &[&str] = &["f16", "bf16", "f32", "nf4", "gguf-f16", "gguf-q8_0", "gguf-q4_0", "gguf-q4_k"];
const FORMAT: Field = Field(
    "format",
    "Format",
    Entry::Choice(FORMATS),
    "The first four make a Hugging Face folder, the others a GGUF file. Default: f16.",
);
const NAME: Field =
    Field("name", "Name", Entry::Text, "Id of the model in its jnana.json. Default: as it is.");
const SPACE: Field = Field(
    "space",
    "Embedding space",
    Entry::Text,
    "The one that the model was tuned into. Default: as it is.",
);

const MERGE: &[Field] = &[
    Field("base", "Base", Entry::Model, "Name in the models folder, or a path."),
    Field("adapter", "Adapter", Entry::Text, "Below the folder of jobs, as JOB/work/run/adapter, or a path."),
    Field(
        "nf4",
        "In NF4",
        Entry::Switch,
        "Merge into the base as it was while the adapter was trained on it in NF4.",
    ),
    Field(
        "projector",
        "Projector",
        Entry::Text,
        "To lay beside the model: below the folder of jobs, as JOB/work/run/projector.safetensors, or a path.",
    ),
    FORMAT,
    NAME,
    SPACE,
];
const EXPORT: &[Field] =
    &[Field("model", "Model", Entry::Model, "Name in the models folder, or a path."), FORMAT, NAME];

/// Values of a run that are worth a curve: name, label, unit.
const CURVES: &[[&str; 3]] = &[
    ["loss", "Loss", "nats"],
    ["rate", "Learning rate", ""],
    ["gradient_norm", "Gradient norm", ""],
    ["positions_per_second", "Speed", "positions/s"],
    ["memory", "Memory", "bytes"],
];

/// All kinds of work; what lies in the folders of data and models is offered to choose from.
#[must_use]
pub fn kinds(data: &Path, models: &Path) -> Value {
    let lists = Lists { data: folders(data), models: folders(models) };
    let run = |stage: Stage, name: &str, label: &str, description: &str, more: &[Field]| {
        let recipes = names(RECIPES, &data.join(OWN[0]), |path| {
            Recipe::read(path, &[]).is_ok_and(|it| it.stage == stage)
        });
        let recipe = choice("Recipe", "What is trained on what; the settings below change it.", &recipes);
        let fields = RUN.iter().chain(more);
        let curves: Vec<Value> = CURVES
            .iter()
            .map(|[key, label, unit]| json!({"key": key, "label": label, "unit": unit}))
            .collect();
        kind(name, label, description, &lists.schema([("recipe", recipe)], fields, &["recipe"]), &curves)
    };
    let evaluations = names(EVALUATIONS, &data.join(OWN[1]), |path| Evaluation::read(path, &[]).is_ok());
    let evaluation = choice(
        "Evaluation",
        "Which model answers which questions; the settings below change it.",
        &evaluations,
    );
    json!([
        run(
            Stage::Align,
            "align",
            "Train a projector",
            "Stage 1: teaches a projector to put an encoder's features into the language model's embedding space. \
             Encoder and language model stay as they are.",
            &[]
        ),
        run(
            Stage::Tune,
            "tune",
            "Tune an adapter",
            "Stage 2: trains a projector and an adapter of the language model together, on questions and answers.",
            ADAPTER
        ),
        kind(
            "merge",
            "Merge an adapter",
            "Writes a model with an adapter merged into its weights, and measures how close it is.",
            &lists.schema([], MERGE.iter(), &["base", "adapter"]),
            &[]
        ),
        kind(
            "export",
            "Export a model",
            "Writes a model in another format.",
            &lists.schema([], EXPORT.iter(), &["model"]),
            &[]
        ),
        kind(
            "eval",
            "Evaluate",
            "Lets a model answer questions or describe pictures, and scores what it says.",
            &lists.schema([("evaluation", evaluation)], EVALUATE.iter(), &["evaluation"]),
            &[]
        ),
    ])
}

fn kind(kind: &str, label: &str, description: &str, schema: &Value, series: &[Value]) -> Value {
    json!({ "kind": kind, "label": label, "description": description, "schema": schema, "series": series })
}

/// What can be chosen from.
struct Lists {
    data: Vec<String>,
    models: Vec<String>,
}

impl Lists {
    fn schema<'a>(
        &self,
        first: impl IntoIterator<Item = (&'static str, Value)>,
        fields: impl Iterator<Item = &'a Field>,
        required: &[&str],
    ) -> Value {
        let mut properties: Map<String, Value> =
            first.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        properties.extend(fields.map(|field| (field.0.to_owned(), self.property(field))));
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    fn property(&self, Field(_, title, entry, help): &Field) -> Value {
        let mut property = match entry {
            Entry::Text => json!({ "type": "string" }),
            Entry::Whole(least) => json!({ "type": "integer", "minimum": least }),
            Entry::Number => json!({ "type": "number", "minimum": 0 }),
            Entry::Switch => json!({ "type": "boolean" }),
            Entry::Choice(words) => json!({ "type": "string", "enum": words }),
            Entry::Data => json!({ "type": "string", "enum": self.data }),
            Entry::Model => json!({ "type": "string", "examples": self.models }),
        };
        property["title"] = json!(title);
        property["description"] = json!(help);
        property
    }
}

fn choice(title: &str, help: &str, words: &[String]) -> Value {
    json!({ "type": "string", "title": title, "description": help, "enum": words })
}

/// Names of shipped files that are `wanted`, then paths of those in the folder `own`.
fn names(shipped: &[(&str, &str)], own: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let shipped = shipped.iter().map(|(name, _)| (*name).to_owned());
    let entries = std::fs::read_dir(own).into_iter().flatten().flatten().map(|entry| entry.path());
    let own = entries.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    let mut own: Vec<String> = own.filter_map(|path| path.to_str().map(str::to_owned)).collect();
    own.sort();
    shipped.chain(own).filter(|name| wanted(Path::new(name))).collect()
}

/// Names of the folders in a folder, sorted; none where there is no such folder.
fn folders(of: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(of).into_iter().flatten().flatten();
    let folders = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        folders.filter(|name| !name.starts_with('.') && !OWN.contains(&name.as_str())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value that a property allows.
    fn example(property: &Value) -> String {
        match (property["enum"].get(0), property["type"].as_str()) {
            (Some(word), _) => word.as_str().unwrap().to_owned(),
            (None, Some("integer")) => "3".to_owned(),
            (None, Some("number")) => "0.5".to_owned(),
            (None, Some("boolean")) => "true".to_owned(),
            _ => "word".to_owned(),
        }
    }

    #[test]
    fn every_setting_of_a_form_changes_the_recipe_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("flickr8k")).unwrap();
        let kinds = kinds(folder.path(), folder.path());
        for (name, file) in [("align", "recipe"), ("tune", "recipe"), ("eval", "evaluation")] {
            let kind = kinds.as_array().unwrap().iter().find(|kind| kind["kind"] == name).unwrap();
            let properties = kind["schema"]["properties"].as_object().unwrap();
            let chosen = example(&properties[file]);
            let changes = properties.iter().filter(|(key, _)| *key != file && *key != "device");
            for (key, property) in changes {
                let change = [format!("{key}={}", example(property))];
                let read = match file {
                    "recipe" => Recipe::read(Path::new(&chosen), &change).map(drop),
                    _ => Evaluation::read(Path::new(&chosen), &change).map(drop),
                };
                read.unwrap_or_else(|error| panic!("{name}: {change:?}: {error}"));
            }
        }
    }

    #[test]
    fn recipes_are_offered_where_their_stage_is_and_own_ones_too() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("recipes");
        std::fs::create_dir(&own).unwrap();
        let text = RECIPES.iter().find(|(name, _)| *name == "tiny-align").unwrap().1;
        std::fs::write(own.join("mine.toml"), text).unwrap();
        std::fs::write(own.join("broken.toml"), "stage = 7").unwrap();
        let kinds = kinds(folder.path(), folder.path());
        let recipes =
            |at: usize| kinds[at]["schema"]["properties"]["recipe"]["enum"].as_array().unwrap().clone();
        let mine = json!(own.join("mine.toml"));
        assert!(recipes(0).contains(&mine) && recipes(0).contains(&json!("tiny-align")));
        assert!(!recipes(1).contains(&mine) && recipes(1).contains(&json!("tiny-tune")));
        assert!(recipes(0).iter().chain(&recipes(1)).all(|name| !name.as_str().unwrap().contains("broken")));
    }
}
