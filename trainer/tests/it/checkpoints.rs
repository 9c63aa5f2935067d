//! A run's folder after kills at every moment.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use jnana_trainer::Error;
use jnana_trainer::data::plan::Cursor;
use jnana_trainer::train::checkpoint::{Checkpoint, State, Which};
use jnana_trainer::train::run::Run;

fn open(folder: &Path, recipe: &str) -> Run {
    Run::open(folder, &recipe.parse().unwrap()).unwrap()
}

fn checkpoint(step: u64) -> Checkpoint {
    let tensor = |value: f64, dtype| {
        Tensor::full(value as f32, (3, 2), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    };
    let state = State {
        step,
        cursor: Cursor { epoch: 1, batch: step as usize },
        positions: 1000 * step,
        optimizer_steps: step,
        best: Some(0.5),
        ..State::default()
    };
    let weights = [("linear.weight", DType::F32), ("lora.weight", DType::BF16)]
        .map(|(name, dtype)| (name.to_owned(), tensor(step as f64, dtype)));
    let optimizer = HashMap::from([("linear.weight.exp_avg".to_owned(), tensor(0.25, DType::F32))]);
    Checkpoint { state, weights: weights.into(), optimizer }
}

fn step(run: &Run, which: Which) -> Option<u64> {
    run.load(which, &Device::Cpu).unwrap().map(|checkpoint| checkpoint.state.step)
}

#[test]
fn what_was_saved_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = open(folder.path(), "seed = 1");
    assert_eq!(step(&run, Which::Last), None);
    let saved = checkpoint(3);
    run.save(&saved, false).unwrap();
    drop(run);

    let run = open(folder.path(), "seed = 1");
    let loaded = run.load(Which::Last, &Device::Cpu).unwrap().unwrap();
    assert_eq!(loaded.state, saved.state);
    for (name, tensor) in &saved.weights {
        let got = &loaded.weights[name];
        assert_eq!((got.dtype(), got.dims()), (tensor.dtype(), tensor.dims()));
        let same = got.eq(tensor).unwrap().to_dtype(DType::F32).unwrap().sum_all().unwrap();
        assert_eq!(same.to_scalar::<f32>().unwrap(), 6.0, "{name}");
    }
    assert_eq!(loaded.optimizer.len(), 1);
    assert!(folder.path().join("last/recipe.toml").exists());
    assert_eq!(step(&run, Which::Best), None);
}

#[test]
fn last_and_best_are_kept_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let run = open(folder.path(), "seed = 1");
    for (number, best) in [(1, true), (2, true), (3, false), (4, false)] {
        run.save(&checkpoint(number), best).unwrap();
    }
    assert_eq!((step(&run, Which::Last), step(&run, Which::Best)), (Some(4), Some(2)));
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["best", "last", "lock", "recipe.toml"]);
}

/// The names under which a kill can leave the old and the new checkpoint, and the step that counts then.
#[test]
fn a_kill_between_any_two_renames_leaves_a_checkpoint() {
    let source = tempfile::tempdir().unwrap();
    let run = open(source.path(), "seed = 1");
    let part = |number: u64| {
        run.save(&checkpoint(number), false).unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&source.path().join("last"), copy.path());
        copy
    };
    let (old, new) = (part(1), part(2));
    for (names, expected) in [
        (vec![("last.new", &new)], None),
        (vec![("last", &old), ("last.new", &new)], Some(1)),
        (vec![("last.old", &old), ("last.new", &new)], Some(2)),
        (vec![("last.old", &old)], Some(1)),
        (vec![("last", &new), ("last.old", &old)], Some(2)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in &names {
            copy_folder(content.path(), &folder.path().join(name));
        }
        let run = open(folder.path(), "seed = 1");
        assert_eq!(step(&run, Which::Last), expected, "{names:?}");
        run.save(&checkpoint(3), false).unwrap();
        assert_eq!(step(&run, Which::Last), Some(3), "{names:?}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(one.path(), "seed = 1").save(&checkpoint(1), false).unwrap();
    let run = open(other.path(), "seed = 2");
    copy_folder(&one.path().join("last"), &other.path().join("last"));
    let error = run.load(Which::Last, &Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::OtherRecipe { .. }), "{error}");
}
