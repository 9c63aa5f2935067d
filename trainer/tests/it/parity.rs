//! Whole steps beside PyTorch's: from the same weights and batches the trainer has the losses of torch, transformers, peft
//! and bitsandbytes, step by step (`fixtures/make_steps.py`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use jnana_core::prompt::Target;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_models::{Adapter, LoadOptions, Mode, load_decoder};
use jnana_trainer::data::batch::{Batch, Collator};
use jnana_trainer::data::example::Example;
use jnana_trainer::data::plan::Cursor;
use jnana_trainer::learner::{Learner, Variables};
use jnana_trainer::recipe::Recipe;
use jnana_trainer::session::Session;
use jnana_trainer::train::optimizer::{AdamW, Group};
use jnana_trainer::train::run::Run;
use serde::Deserialize;

use crate::support::fixture;

/// Largest difference of a loss or a gradient's norm, as a share of it. Rounding makes 3e-6; in the losses, an epsilon of
/// 1e-8 in place of 1e-6 would make 1.5e-4, NF4 without double quantisation 8e-4.
const TOLERANCE: f64 = 1e-4;

/// `steps.json`.
#[derive(Deserialize)]
struct Steps {
    examples: Vec<Shown>,
    /// The examples of every micro-batch of every step.
    steps: Vec<Vec<Vec<u32>>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Shown {
    ids: Vec<u32>,
    /// First position and number of each picture.
    slots: Vec<(usize, u32)>,
    /// Predicting position and token.
    targets: Vec<(usize, u32)>,
}

/// A recipe, and what torch has at each of its steps.
#[derive(Deserialize)]
struct Case {
    recipe: Recipe,
    losses: Vec<f64>,
    norms: Vec<f64>,
}

struct Rig {
    steps: Steps,
    tensors: HashMap<String, Tensor>,
    collator: Collator,
}

impl Rig {
    fn new() -> Self {
        let steps: Steps = serde_json::from_slice(&std::fs::read(fixture("steps.json")).unwrap()).unwrap();
        let tensors = candle_core::safetensors::load(fixture("steps.safetensors"), &Device::Cpu).unwrap();
        let examples = Arc::new(steps.examples.iter().map(without_pictures).collect());
        Self { steps, tensors, collator: Collator { examples, features: None, filler: 0 } }
    }

    /// The tensors whose names begin so, by the rest of their names.
    fn below(&self, prefix: &str) -> HashMap<String, Tensor> {
        let named = self.tensors.iter().map(|(name, tensor)| (name.strip_prefix(prefix), tensor));
        named.filter_map(|(name, tensor)| Some((name?.to_owned(), tensor.clone()))).collect()
    }

    fn features(&self) -> &Tensor {
        &self.tensors["features"]
    }

    /// As `assemble`, but with the fixture's weights in place of random ones.
    fn assemble(&self, recipe: &Recipe) -> (Learner, AdamW) {
        let adapter = recipe.lora.as_ref().map(|config| {
            let fresh = Adapter::from_tensors(config.clone(), &self.below("adapter."), Path::new("fixture"));
            fresh.unwrap().trainable(recipe.seed).unwrap()
        });
        let (adapter, in_adapter) = adapter.unzip();
        let adapter = adapter.map(Arc::new);
        let options = LoadOptions {
            mode: Mode::Training,
            quantize: recipe.decoder.quantize.as_deref().map(|name| name.parse().unwrap()),
            adapter: adapter.clone(),
            ..LoadOptions::new(Device::Cpu)
        };
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/decoders");
        let decoder = load_decoder(&models.join(&recipe.decoder.model), &options).unwrap().decoder;
        let (projector, in_projector) = self.projector(decoder.shape().width);
        let of_projector =
            Group::by_decay(in_projector, recipe.vision.as_ref().unwrap().rate, recipe.weight_decay);
        let of_adapter = Group::by_decay(in_adapter.unwrap_or_default(), 1., recipe.weight_decay);
        let optimizer = AdamW::new([of_projector, of_adapter].concat(), recipe.adamw).unwrap();
        (Learner { decoder, projector: Some(projector), adapter }, optimizer)
    }

    fn projector(&self, width: usize) -> (Projector, Variables) {
        let d_in = self.features().dim(2).unwrap();
        let info =
            ProjectorInfo { space: "fixture".into(), encoder: "fixture".into(), d_in, width, trained: true };
        let tensors = self.below("projector.");
        assert!(tensors.contains_key("scale"), "the learned factor is trained too");
        Projector::from_tensors(info, &tensors, Path::new("fixture")).unwrap().trainable().unwrap()
    }

    /// The collator's batch, with pictures of the fixture: the collator reads features from an encoder's file alone.
    fn batch(&self, numbers: &[u32]) -> Batch {
        let batch = self.collator.collate(numbers).unwrap();
        let (rows, length) = batch.ids.dims2().unwrap();
        let mut origin: Vec<u32> = (0..(rows * length) as u32).collect();
        let mut features = ((rows * length) as u32)..;
        let mut pictures = Vec::new();
        for (row, &number) in numbers.iter().enumerate() {
            for &(position, picture) in &self.steps.examples[number as usize].slots {
                let start = row * length + position;
                let place = &mut origin[start..start + self.features().dim(1).unwrap()];
                place.iter_mut().zip(&mut features).for_each(|(from, feature)| *from = feature);
                pictures.push(picture);
            }
        }
        let tensor = |numbers: &[u32]| Tensor::new(numbers, &Device::Cpu).unwrap();
        let features = self.features().index_select(&tensor(&pictures), 0).unwrap();
        Batch { origin: tensor(&origin), features: Some(features), ..batch }
    }

    /// All steps of a case, taken as a run takes them, have torch's losses and norms.
    fn check(&self, name: &str) {
        let Case { recipe, losses, norms } =
            self.steps.cases.iter().find(|case| case.recipe.name == name).unwrap();
        assert_eq!([losses.len(), norms.len(), self.steps.steps.len()], [recipe.steps as usize; 3]);
        let folder = tempfile::tempdir().unwrap();
        let run = Run::open(folder.path(), &recipe.table().unwrap()).unwrap();
        let (learner, optimizer) = self.assemble(recipe);
        let mut session = Session::open(recipe, &learner, optimizer, &run).unwrap();
        let micro_batches = self.steps.steps.iter().flatten();
        let mut batches = micro_batches.map(|numbers| Ok((self.batch(numbers), Cursor::default())));
        let mut worst: f64 = 0.;
        for (&loss, &norm) in losses.iter().zip(norms) {
            let step = session.take_step(&mut batches).unwrap();
            for (got, want) in [(step.loss, loss), (step.norm, norm)] {
                worst = worst.max((got - want).abs() / want);
                assert!(worst < TOLERANCE, "{name}, step {}: {got}, torch has {want}", session.step());
            }
        }
        assert!(batches.next().is_none());
        assert!(losses[losses.len() - 1] < 0.7 * losses[0], "{name} learns: {losses:?}");
        let clipped = norms.iter().filter(|&&norm| norm > recipe.clip).count();
        assert!((1..norms.len()).contains(&clipped), "{name}: {clipped} steps are clipped");
    }
}

fn without_pictures(shown: &Shown) -> Example {
    let target = |&(position, token): &(usize, u32)| Target { position, token };
    Example {
        record: String::new(),
        weight: 1.,
        ids: shown.ids.clone(),
        slots: Vec::new(),
        branches: Vec::new(),
        targets: shown.targets.iter().map(target).collect(),
        answer_tokens: shown.targets.len() - 1,
    }
}

#[test]
fn a_projector_is_aligned_on_torchs_path() {
    Rig::new().check("align");
}

#[test]
fn projector_and_adapter_are_tuned_on_pefts_path() {
    Rig::new().check("tune");
}

#[test]
fn in_4_bits_they_are_tuned_on_the_path_of_peft_and_bitsandbytes() {
    Rig::new().check("tune-nf4");
}
