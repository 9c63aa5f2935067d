//! How runs end, and what becomes of what they leave.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use candle_core::{DType, Device, Tensor};
use jnana_models::config::Config;
use jnana_models::phi;
use jnana_trainer::assemble::{Assembled, assemble};
use jnana_trainer::recipe::Recipe;
use jnana_trainer::session::measure;
use jnana_trainer::train::interrupt::Interrupt;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::runs::{Rig, losses, numbers};
use crate::support::write_json;

/// Runs `pretrain`, whose weights have nothing behind them that would keep a loss small, with changes; the events that it
/// tells.
fn events(rig: &Rig, run: &str, changes: &[&str]) -> Vec<Value> {
    let recipe = rig.recipe("pretrain");
    let mut arguments = vec!["pretrain", recipe.to_str().unwrap(), "--run", run, "--json"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", change]));
    rig.succeeds(&arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_loss_that_explodes_names_its_records_and_the_last_good_checkpoint() {
    let rig = Rig::new();
    let recipe = rig.recipe("pretrain");
    let mut arguments = vec!["pretrain", recipe.to_str().unwrap(), "--run", "runs/wild"];
    for change in ["rate.rate=1e3", "rate.warmup=0.0", "keep.checkpoint_every=1"] {
        arguments.extend(["--set", change]);
    }
    let said = rig.fails(&arguments);
    for word in ["step", "drawn", "runs/wild/last"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let kept = numbers(&rig.path("runs/wild/last/weights.safetensors"));
    assert!(kept.values().flatten().all(|number| number.is_finite()));
    let log = std::fs::read_to_string(rig.path("runs/wild/events.jsonl")).unwrap();
    assert!(log.lines().last().unwrap().contains("failed"), "{log}");
}

#[test]
fn a_run_that_no_longer_gets_better_ends_early_and_leaves_its_best() {
    let rig = Rig::new();
    let impatient = [
        "keep.patience=1",
        "keep.evaluate_every=1",
        "keep.explosion=1e9",
        "rate.rate=0.5",
        "rate.warmup=0.0",
    ];
    let told = events(&rig, "runs/early", &impatient);
    let end = told.last().unwrap();
    assert_eq!((end["event"].as_str(), end["reason"].as_str()), (Some("end"), Some("early")));
    let steps = end["step"].as_u64().unwrap();
    assert!(steps < 60, "{steps}");
    let left = numbers(&rig.path("runs/early/model/model.safetensors"));
    let best = numbers(&rig.path("runs/early/best/weights.safetensors"));
    assert!(!left.is_empty() && left.iter().all(|(name, numbers)| best[name] == *numbers));
    assert_ne!(best, numbers(&rig.path("runs/early/last/weights.safetensors")));
    // The same command does not train on.
    let again = events(&rig, "runs/early", &impatient);
    assert_eq!(again.last().unwrap()["step"].as_u64(), Some(steps));
}

#[test]
fn a_run_goes_on_when_nobody_reads_its_events_any_more() {
    let rig = Rig::new();
    let recipe = rig.recipe("align");
    let mut command = rig.command(&["align", recipe.to_str().unwrap(), "--run", "runs/alone", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("start"), "{line}");
    assert!(child.wait().unwrap().success());
    let log = std::fs::read_to_string(rig.path("runs/alone/events.jsonl")).unwrap();
    assert!(log.lines().last().unwrap().contains("finished"), "{log}");
}

#[test]
fn nothing_is_dropped_while_the_loss_is_measured() {
    let rig = Rig::new();
    rig.run("align", "runs/align");
    let recipe = Recipe::read(&rig.recipe("tune"), &["lora.lora_dropout=0.5".to_owned()]).unwrap();
    let Assembled { learner, optimizer, held_out, .. } =
        assemble(&recipe, &rig.places(), &Interrupt::default(), |_| ()).unwrap();
    // A fresh adapter's second factor is zero: what it drops would not be seen.
    for (_, variable) in optimizer.variables() {
        let noise = Tensor::randn(0f32, 0.1, variable.shape(), &Device::Cpu).unwrap();
        variable.set(&(variable.as_tensor() + noise).unwrap()).unwrap();
    }
    let adapter = learner.adapter.clone().unwrap();
    let (before, held_out) = (adapter.dropout_state(), held_out.unwrap());
    let first = measure(&learner, &held_out).unwrap();
    assert_eq!(measure(&learner, &held_out).unwrap(), first);
    assert_eq!(adapter.dropout_state(), before);
}

#[test]
fn what_a_run_left_is_packed_in_half_the_size_and_named_by_its_hashes() {
    let rig = Rig::new();
    rig.run("align", "runs/align");
    rig.run("tune", "runs/tune");
    let said = rig.succeeds(&["pack", "runs/tune", "--out", "packed"]);
    for file in ["projector.safetensors", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"]
    {
        let bytes = std::fs::read(rig.path("packed").join(file)).unwrap();
        let line = said.lines().find(|line| line.contains(file)).unwrap_or_else(|| panic!("{file}: {said}"));
        assert!(line.contains(&format!("{} bytes", bytes.len())), "{line}");
        assert!(line.contains(&hex::encode(Sha256::digest(&bytes))), "{line}");
    }
    for file in ["projector.safetensors", "adapter/adapter_model.safetensors"] {
        let load =
            |folder: &str| candle_core::safetensors::load(rig.path(folder).join(file), &Device::Cpu).unwrap();
        let whole = load("runs/tune");
        for (name, packed) in load("packed") {
            assert_eq!(packed.dtype(), DType::F16, "{name}");
            let difference = (packed.to_dtype(DType::F32).unwrap() - &whole[&name]).unwrap();
            let largest = difference.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(largest < 1e-3, "{name}: {largest}");
        }
    }
    let said = rig.fails(&["pack", "runs/tune", "--out", "runs/tune"]);
    assert!(said.contains("--out"), "{said}");
    let said = rig.fails(&["pack", "data", "--out", "other"]);
    assert!(said.contains("neither projector nor adapter"), "{said}");
}

#[test]
fn a_base_that_was_exported_in_nf4_trains_as_one_that_is_quantised_at_the_start() {
    let rig = Rig::new();
    rig.run("align", "runs/align");
    let want = rig.run("tune", "runs/tune");
    rig.succeeds(&["export", "models/phi", "--format", "nf4", "--out", "models/phi-nf4"]);
    let kept =
        candle_core::safetensors::load(rig.path("models/phi-nf4/model.safetensors"), &Device::Cpu).unwrap();
    let name = "model.layers.0.mlp.fc1.weight";
    assert!(
        kept[name].dtype() == DType::U8 && kept.contains_key(&format!("{name}.absmax")),
        "{:?}",
        kept[name]
    );
    let recipe = rig.recipe("tune");
    let set = ["--set", "decoder.model=phi-nf4"];
    let told = rig.succeeds(
        &[&["tune", recipe.to_str().unwrap(), "--run", "runs/kept", "--json"], set.as_slice()].concat(),
    );
    let got = losses(told.lines());
    assert_eq!(got.len(), want.len());
    // Norms, biases, embedding and head are f16 in the folder.
    for (step, want) in want {
        assert!((got[&step] - want).abs() < 0.01 * want, "step {step}: {} for {want}", got[&step]);
    }
}

#[test]
fn parameters_are_counted_as_peft_counts_them() {
    let rig = Rig::new();
    let config = rig.path("phi-2.json");
    write_json(&config, &Config::Phi(phi::Config::phi2()).to_json());
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/phi-2-tune.toml");
    let said = rig.succeeds(&["params", recipe, "--config", config.to_str().unwrap()]);
    assert!(
        said.starts_with("trainable params: 94,371,840 || all params: 2,869,421,175 || trainable%: 3.28"),
        "{said}"
    );
}
