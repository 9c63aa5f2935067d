//! Whole runs of the program on a small random Phi, a small random CLIP and drawn pictures.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use candle_core::{Device, Tensor};
use jnana_trainer::assemble::{Assembled, Places, assemble};
use jnana_trainer::data::plan::Cursor;
use jnana_trainer::recipe::Recipe;
use jnana_trainer::train::interrupt::Interrupt;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{write_encoder, write_json, write_tokenizer};

const STEPS: u64 = 60;

/// Folders `models`, `data` and `runs` with all that the recipes below name.
pub(crate) struct Rig(TempDir);

impl Rig {
    pub(crate) fn new() -> Self {
        let rig = Self(tempfile::tempdir().unwrap());
        let phi = rig.path("models/phi");
        let clip = rig.path("models/clip");
        for folder in [&phi, &clip, &rig.path("data"), &rig.path("runs")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/decoders/phi");
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(fixture.join(name), phi.join(name)).unwrap();
        }
        write_tokenizer(&phi);
        let card = json!({ "format": 1, "name": "small", "space": "small", "template": "recipe" });
        write_json(&phi.join("jnana.json"), &card);
        write_encoder(&clip, 2, 1.);
        let drawn = rig.path("data/drawn");
        let drawn = drawn.to_str().unwrap();
        rig.succeeds(&["draw", "--out", drawn, "--pictures", "12", "--side", "32"]);
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jnana-trainer"));
        command.args(arguments).current_dir(self.0.path());
        command.env("JNANA_DATA", "data").env("JNANA_MODELS", "models").stderr(Stdio::piped());
        command
    }

    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let Output { status, stderr, .. } = self.command(arguments).output().unwrap();
        assert!(!status.success(), "{arguments:?}");
        String::from_utf8(stderr).unwrap()
    }

    pub(crate) fn places(&self) -> Places {
        Places {
            data: self.path("data"),
            models: self.path("models"),
            runs: self.path("runs"),
            features: self.path("runs/features"),
            device: Device::Cpu,
        }
    }

    pub(crate) fn recipe(&self, stage: &str) -> PathBuf {
        let path = self.path(&format!("{stage}.toml"));
        std::fs::write(&path, recipe(stage)).unwrap();
        path
    }

    /// A whole run; its losses by step.
    pub(crate) fn run(&self, stage: &str, run: &str) -> BTreeMap<u64, f64> {
        let recipe = self.recipe(stage);
        let out = self.succeeds(&[stage, recipe.to_str().unwrap(), "--run", run, "--json"]);
        losses(out.lines())
    }
}

fn recipe(stage: &str) -> String {
    let source = match stage {
        "pretrain" => r#"format = { kind = "text", file = "text.txt", documents = "lines" }"#,
        "align" => r#"format = { kind = "coco", captions = "all" }"#,
        _ => r#"format = { kind = "llava" }"#,
    };
    let vision = match stage {
        "pretrain" => "",
        "align" => "[vision]\nencoder = \"clip\"\nscale = 0.1",
        _ => "[vision]\nencoder = \"clip\"\nprojector = \"align/projector.safetensors\"",
    };
    let lora = match stage {
        "tune" => {
            "[lora]\nr = 4\nlora_alpha = 8.0\nlora_dropout = 0.1\n\
             target_modules = [\"q_proj\", \"k_proj\", \"v_proj\", \"dense\", \"fc1\", \"fc2\"]"
        }
        _ => "",
    };
    let space = if stage == "tune" { "space = \"small-seen\"" } else { "" };
    let quantize = if stage == "tune" { "quantize = \"nf4\"" } else { "" };
    let recompute = stage == "tune";
    format!(
        r#"
        name = "small-{stage}"
        stage = "{stage}"
        steps = {STEPS}
        seed = 3
        accumulate = 2
        recompute = {recompute}
        {space}
        rate = {{ rate = 1e-3 }}
        [decoder]
        model = "phi"
        {quantize}
        {vision}
        {lora}
        [[data]]
        name = "drawn"
        folder = "drawn"
        {source}
        limit = 40
        held_out_share = 0.2
        [batches]
        by = "positions"
        list = [{{ up_to = 40, batch = 2 }}, {{ up_to = 64, batch = 2 }}]
        branches = 3
        [keep]
        evaluate_every = 25
        checkpoint_every = 10
    "#
    )
}

/// Losses by step of events, one a line.
pub(crate) fn losses<S: AsRef<str>>(lines: impl Iterator<Item = S>) -> BTreeMap<u64, f64> {
    let events = lines.map(|line| serde_json::from_str::<Value>(line.as_ref()).unwrap());
    let steps = events.filter(|event| event["event"] == "step");
    steps.map(|step| (step["step"].as_u64().unwrap(), step["loss"].as_f64().unwrap())).collect()
}

/// All numbers of a file by tensor; none where there is no such file.
pub(crate) fn numbers(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let Ok(tensors) = candle_core::safetensors::load(path, &Device::Cpu) else { return BTreeMap::new() };
    let numbers = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    tensors.into_iter().map(|(name, tensor)| (name, numbers(tensor))).collect()
}

#[test]
fn a_run_that_was_ended_and_taken_up_again_is_the_same_run() {
    let rig = Rig::new();
    // A kill loses the steps since the last checkpoint, and nothing else.
    for (stage, signal) in [("pretrain", "-TERM"), ("align", "-KILL"), ("tune", "-TERM")] {
        let whole = rig.run(stage, &format!("runs/{stage}"));
        assert_eq!(whole.len() as u64, STEPS);
        let recipe = rig.recipe(stage);
        let run = format!("runs/{stage}-in-parts");
        let arguments = [stage, recipe.to_str().unwrap(), "--run", &run, "--json"];
        let mut child = rig.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (mut first, mut asked) = (Vec::new(), false);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            first.push(line.unwrap());
            // Once: a second signal ends the process at once.
            if !asked && losses(first.iter()).len() >= 13 {
                asked = true;
                let id = child.id().to_string();
                assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
            }
        }
        assert_eq!(child.wait().unwrap().success(), signal == "-TERM");
        let done = losses(first.iter());
        assert!((13..STEPS).contains(&(done.len() as u64)), "the signal came too late: {}", done.len());
        let rest = losses(rig.succeeds(&arguments).lines());
        let begun = *rest.keys().next().unwrap();
        match signal {
            "-TERM" => assert_eq!(begun, done.len() as u64 + 1),
            _ => assert!(begun > 10 && begun % 10 == 1, "{begun} does not follow a checkpoint"),
        }
        let same = |parts: &BTreeMap<u64, f64>| parts.iter().all(|(step, loss)| whole[step] == *loss);
        assert!(same(&done) && same(&rest), "{stage}: {whole:?}, but {done:?} and {rest:?}");
        assert_eq!(*rest.keys().last().unwrap(), STEPS);
        let products =
            ["projector.safetensors", "adapter/adapter_model.safetensors", "model/model.safetensors"];
        let left = |run: &str| products.map(|product| numbers(&rig.path(run).join(product)));
        assert!(left(&run) == left(&format!("runs/{stage}")), "{stage}");
        assert!(left(&run).iter().any(|numbers| !numbers.is_empty()), "{stage} left nothing");
    }
}

#[test]
fn a_run_learns_and_says_so() {
    let rig = Rig::new();
    for stage in ["pretrain", "align", "tune"] {
        let losses: Vec<f64> = rig.run(stage, &format!("runs/{stage}")).into_values().collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&losses[..10]), mean(&losses[losses.len() - 10..]));
        assert!(last < first, "{stage}: {first} to {last}");
        assert!(rig.path(&format!("runs/{stage}/events.jsonl")).exists());
    }
    // The command line decides over the file, and a run keeps to its recipe.
    let recipe = rig.recipe("align");
    let said =
        rig.fails(&["align", recipe.to_str().unwrap(), "--run", "runs/align", "--set", "rate.rate=1.0"]);
    assert!(said.contains("recipe"), "{said}");
    rig.succeeds(&["align", recipe.to_str().unwrap(), "--run", "runs/align", "--set", "keep.patience=9"]);
    let drawn = rig.path("data/drawn");
    rig.succeeds(&[
        "draw",
        "--out",
        drawn.to_str().unwrap(),
        "--pictures",
        "12",
        "--side",
        "32",
        "--seed",
        "5",
    ]);
    let said = rig.fails(&["align", recipe.to_str().unwrap(), "--run", "runs/align"]);
    assert!(said.contains("other data"), "{said}");
    let said = rig.fails(&["tune", recipe.to_str().unwrap(), "--run", "runs/other"]);
    assert!(said.contains("align"), "{said}");
}

#[test]
fn stage_2_can_go_on_from_an_earlier_adapter() {
    let rig = Rig::new();
    rig.run("align", "runs/align");
    rig.run("tune", "runs/tune");
    let recipe = rig.recipe("tune");
    // A step so short that nothing moves: what it leaves is what it began with.
    let again = [
        "tune",
        recipe.to_str().unwrap(),
        "--set",
        "adapter=tune/adapter",
        "--set",
        "vision.projector=tune/projector.safetensors",
        "--set",
        "rate.rate=1e-12",
        "--set",
        "steps=1",
    ];
    let into = |run, more: &[&'static str]| [&again[..], &["--run", run], more].concat();
    rig.succeeds(&into("runs/again", &[]));
    let [earlier, later] = ["tune", "again"]
        .map(|run| numbers(&rig.path(&format!("runs/{run}/adapter/adapter_model.safetensors"))));
    assert!(earlier.values().flatten().any(|number| number.abs() > 1e-3));
    assert_eq!(earlier.keys().collect::<Vec<_>>(), later.keys().collect::<Vec<_>>());
    let pairs = earlier.values().flatten().zip(later.values().flatten());
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-9));
    let said = rig.fails(&into("runs/wider", &["--set", "lora.r=3"]));
    assert!(said.contains("adapter") && said.contains("r: 3"), "{said}");
}

#[test]
fn every_variable_of_every_stage_has_a_gradient() {
    let rig = Rig::new();
    rig.run("align", "runs/align");
    let places = rig.places();
    for stage in ["pretrain", "align", "tune"] {
        let recipe = Recipe::read(&rig.recipe(stage), &[]).unwrap();
        let interrupt = Interrupt::default();
        let Assembled { learner, optimizer, train, .. } =
            assemble(&recipe, &places, &interrupt, |_| ()).unwrap();
        // A fresh adapter's second factor is zero, and so the first one's gradient.
        for (_, variable) in optimizer.variables() {
            let noise = Tensor::randn(0f32, 0.02, variable.shape(), &Device::Cpu).unwrap();
            variable.set(&(variable.as_tensor() + noise).unwrap()).unwrap();
        }
        let numbers = train.plan.from(Cursor::default()).next().unwrap().examples;
        let batch = train.collator.collate(&numbers).unwrap();
        let gradients = learner.losses(&batch).unwrap().sum_all().unwrap().backward().unwrap();
        let mut walked = 0;
        for (name, variable) in optimizer.variables() {
            let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{stage}: {name} is detached"));
            let values = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values.iter().all(|value| value.is_finite()), "{stage}: {name}");
            assert!(values.iter().any(|value| *value != 0.), "{stage}: {name} has no gradient");
            walked += 1;
        }
        assert!(walked >= 8, "{stage}: {walked} variables");
    }
}
