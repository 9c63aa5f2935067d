//! From a filled form to the arguments of the program.

use std::path::Path;

use jnana_plugin_sdk::jobs::{Estimate, Promise, Request};
use serde_json::{Map, Value};

/// Settings that are no keys of a recipe.
const NO_KEYS: [&str; 3] = ["recipe", "evaluation", "device"];
/// The plugin that projectors of pictures are for.
const PICTURES: &str = "vision";

/// What the program is started with, and what it leaves behind.
#[derive(Debug, PartialEq)]
pub(crate) struct Work {
    /// To look at the data; absent where there is none.
    pub(crate) check: Option<Vec<String>>,
    /// To do it.
    pub(crate) run: Vec<String>,
    pub(crate) products: Vec<Promise>,
    pub(crate) resumable: bool,
    /// Files and folders that have to be there, by their settings.
    inputs: Vec<(&'static str, String)>,
}

impl Work {
    /// Of a request; `features` is the folder of pictures' features.
    ///
    /// # Errors
    /// In words, for a kind that is not known, or a form that lacks what it needs.
    pub(crate) fn of(request: &Request, features: &str) -> Result<Self, String> {
        let form = Form(request);
        match request.kind.as_str() {
            "align" | "tune" => form.train(features),
            "eval" => form.evaluate(features),
            "merge" => form.merge(),
            "export" => form.export(),
            other => Err(format!("no kind of training is called {other:?}")),
        }
    }

    /// What has to be there and is not, in words.
    pub(crate) fn missing(&self) -> Option<String> {
        let (setting, path) = self.inputs.iter().find(|(_, path)| !Path::new(path).exists())?;
        Some(format!("{setting}: there is nothing at {path}; name a folder or file that is there"))
    }

    /// From the size of what is read.
    pub(crate) fn estimate(&self) -> Estimate {
        let bytes: u64 = self.inputs.iter().map(|(_, path)| size(Path::new(path))).sum();
        // It writes one model while it reads another, and compares two one after the other.
        let memory = bytes.saturating_mul(2);
        let cost = format!("about {:.1} GB of memory and a few minutes at most", memory as f64 / 1e9);
        Estimate { memory: Some(memory), seconds: None, cost }
    }
}

/// Bytes of a file, or of all files in a folder.
fn size(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let own = path.metadata().map_or(0, |about| if about.is_file() { about.len() } else { 0 });
    own + entries.map(|entry| size(&entry.path())).sum::<u64>()
}

struct Form<'a>(&'a Request);

impl Form<'_> {
    fn settings(&self) -> &Map<String, Value> {
        &self.0.settings
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.settings().get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    fn needed(&self, key: &str) -> Result<&str, String> {
        self.text(key).ok_or_else(|| format!("{key} is missing: fill it in"))
    }

    /// A file that comes with the program by its name, or an absolute path.
    fn file(&self, key: &str) -> Result<String, String> {
        let name = self.needed(key)?;
        match name.starts_with('-') || (name.contains('/') && !Path::new(name).is_absolute()) {
            true => Err(format!("{key}: expected a name from the list, got {name:?}")),
            false => Ok(name.to_owned()),
        }
    }

    /// The path of what lies below `folder`, or has a path of its own.
    fn path(&self, key: &str, folder: &str) -> Result<String, String> {
        Ok(Path::new(folder).join(self.needed(key)?).to_string_lossy().into_owned())
    }

    fn own(&self, name: &str) -> String {
        format!("{}/{name}", self.0.folder)
    }

    /// Where things are, and the changes of the recipe.
    fn inputs(&self, features: &str) -> Vec<String> {
        let folders = &self.0.folders;
        let device = self.text("device").unwrap_or("cpu");
        let places = [
            ("--runs", folders.runs.as_str()),
            ("--data", &folders.data),
            ("--models", &folders.models),
            ("--features", features),
            ("--device", device),
        ];
        let changes = self.settings().iter().filter(|(key, _)| !NO_KEYS.contains(&key.as_str()));
        // Numbers, truth values and strings are written in TOML as in JSON.
        let changes = changes.map(|(key, value)| format!("--set={key}={value}"));
        places.into_iter().map(|(flag, value)| format!("{flag}={value}")).chain(changes).collect()
    }

    fn train(&self, features: &str) -> Result<Work, String> {
        let (recipe, inputs) = (self.file("recipe")?, self.inputs(features));
        let check = [vec!["check".to_owned(), recipe.clone(), "--json".to_owned()], inputs.clone()].concat();
        let head = [self.0.kind.clone(), recipe, format!("--run={}", self.own("run")), "--json".to_owned()];
        let projector = promise("projector", "run/projector.safetensors", Some(PICTURES));
        let adapter = promise("adapter", "run/adapter", None);
        Ok(Work {
            check: Some(check),
            run: [head.to_vec(), inputs].concat(),
            products: if self.0.kind == "tune" { vec![projector, adapter] } else { vec![projector] },
            resumable: true,
            inputs: vec![],
        })
    }

    fn evaluate(&self, features: &str) -> Result<Work, String> {
        let (evaluation, inputs) = (self.file("evaluation")?, self.inputs(features));
        let check = ["check", &evaluation, "--evaluation", "--json"].map(str::to_owned).to_vec();
        let head =
            ["eval".to_owned(), evaluation, format!("--out={}", self.own("report")), "--json".to_owned()];
        Ok(Work {
            check: Some([check, inputs.clone()].concat()),
            run: [head.to_vec(), inputs].concat(),
            products: vec![
                promise("report", "report/report.json", None),
                promise("transcripts", "report/transcripts.jsonl", None),
            ],
            resumable: false,
            inputs: vec![],
        })
    }

    fn merge(&self) -> Result<Work, String> {
        let folders = &self.0.folders;
        let mut inputs = vec![("base", self.path("base", &folders.models)?)];
        inputs.push(("adapter", self.path("adapter", &folders.runs)?));
        let mut run = vec!["merge".to_owned()];
        run.extend(inputs.iter().map(|(flag, path)| format!("--{flag}={path}")));
        if self.settings().get("nf4") == Some(&Value::Bool(true)) {
            run.push("--nf4".to_owned());
        }
        if self.text("projector").is_some() {
            let projector = self.path("projector", &folders.runs)?;
            run.push(format!("--projector={PICTURES}={projector}"));
            inputs.push(("projector", projector));
        }
        run.extend(self.text("format").map(|format| format!("--dtype={format}")));
        run.extend(self.text("space").map(|space| format!("--space={space}")));
        Ok(self.written(run, inputs))
    }

    fn export(&self) -> Result<Work, String> {
        let model = self.path("model", &self.0.folders.models)?;
        let mut run = vec!["export".to_owned(), model.clone()];
        run.extend(self.text("format").map(|format| format!("--format={format}")));
        Ok(self.written(run, vec![("model", model)]))
    }

    /// A model that is written.
    fn written(&self, mut run: Vec<String>, inputs: Vec<(&'static str, String)>) -> Work {
        run.extend(self.text("name").map(|name| format!("--name={name}")));
        run.extend([format!("--out={}", self.own("model")), "--json".to_owned()]);
        Work { check: None, run, products: vec![promise("model", "model", None)], resumable: false, inputs }
    }
}

fn promise(kind: &str, path: &str, plugin: Option<&str>) -> Promise {
    Promise { kind: kind.to_owned(), path: path.to_owned(), plugin: plugin.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn work(kind: &str, settings: &Value) -> Result<Work, String> {
        let folders = json!({ "data": "/data", "models": "/models", "runs": "/jobs" });
        let request =
            json!({ "kind": kind, "settings": settings, "folder": "/jobs/7/work", "folders": folders });
        Work::of(&serde_json::from_value(request).unwrap(), "/features")
    }

    #[test]
    fn a_form_becomes_a_recipe_with_changes() {
        let settings =
            json!({ "recipe": "tiny-tune", "steps": 60, "data.0.folder": "a \"b\"", "recompute": true });
        let Work { check, run, products, resumable, .. } = work("tune", &settings).unwrap();
        let changes = [r#"--set=data.0.folder="a \"b\"""#, "--set=recompute=true", "--set=steps=60"];
        for arguments in [check.as_ref().unwrap(), &run] {
            assert!(changes.iter().all(|change| arguments.iter().any(|it| it == change)), "{arguments:?}");
            assert!(!arguments.iter().any(|argument| argument.starts_with("--set=recipe")), "{arguments:?}");
        }
        assert_eq!(run[..3], ["tune", "tiny-tune", "--run=/jobs/7/work/run"]);
        assert_eq!(products.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>(), ["projector", "adapter"]);
        assert!(resumable);
    }

    #[test]
    fn paths_are_below_the_models_and_the_jobs() {
        let settings =
            json!({ "base": "phi", "adapter": "3/work/run/adapter", "format": "gguf-q8_0", "nf4": true });
        let merge = work("merge", &settings).unwrap();
        let expected = [
            "merge",
            "--base=/models/phi",
            "--adapter=/jobs/3/work/run/adapter",
            "--nf4",
            "--dtype=gguf-q8_0",
            "--out=/jobs/7/work/model",
            "--json",
        ];
        assert_eq!(merge.run, expected);
        assert!(merge.missing().unwrap().contains("/models/phi"));
        let export = work("export", &json!({ "model": "/elsewhere/phi" })).unwrap();
        assert_eq!(export.run, ["export", "/elsewhere/phi", "--out=/jobs/7/work/model", "--json"]);
    }

    #[test]
    fn what_is_missing_or_no_name_is_said() {
        for (kind, settings, word) in [
            ("align", json!({}), "recipe"),
            ("align", json!({ "recipe": "--help" }), "recipe"),
            ("align", json!({ "recipe": "../../etc/passwd" }), "recipe"),
            ("merge", json!({ "base": "phi" }), "adapter"),
            ("cook", json!({}), "cook"),
        ] {
            let words = work(kind, &settings).unwrap_err();
            assert!(words.contains(word), "{kind}: {words}");
        }
    }
}
