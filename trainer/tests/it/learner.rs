//! What a batch teaches.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use jnana_models::decoder::Decoder;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_models::{Adapter, LoadOptions, LoraConfig, Mode, load_decoder, open_checkpoint};
use jnana_trainer::data::batch::Batch;
use jnana_trainer::data::branches::join;
use jnana_trainer::data::example::Example;
use jnana_trainer::learner::{Learner, Variables};
use jnana_trainer::train::gradients::Gradients;

use crate::batches::{Rig, record, rig};

fn phi() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/decoders/phi")
}

fn decoder(adapter: Option<Arc<Adapter>>) -> Box<dyn Decoder> {
    let options = LoadOptions { mode: Mode::Training, adapter, ..LoadOptions::new(Device::Cpu) };
    load_decoder(&phi(), &options).unwrap().decoder
}

/// A small random Phi with a projector from the pictures of a [`Rig`].
fn learner() -> (Learner, Variables) {
    let decoder = decoder(None);
    let info = ProjectorInfo {
        space: "test".into(),
        encoder: "test".into(),
        d_in: 32,
        width: decoder.shape().width,
        trained: true,
    };
    let projector = Projector::random(info, Some(0.1), 1, &Device::Cpu).unwrap();
    let (projector, variables) = projector.trainable().unwrap();
    (Learner { decoder, projector: Some(projector), adapter: None }, variables)
}

/// Three questions about one picture and one about another.
fn questions() -> Rig {
    rig(|images| {
        let picture = |i| Some(images.join(format!("{i}.png")));
        vec![
            record(0, picture(0), 2, 3),
            record(1, picture(0), 5, 1),
            record(2, picture(1), 1, 4),
            record(3, picture(0), 2, 6),
        ]
    })
}

#[test]
fn branches_teach_what_rows_of_their_own_teach() {
    let (learner, variables) = learner();
    let rig = questions();
    let apart: Vec<Example> = rig.collator.examples.to_vec();
    let joined = join(apart.clone(), 8, 1000);
    assert_eq!(joined.len(), 2);
    let taught = |examples: Vec<Example>| {
        let batch = batch(&rig, examples);
        let sum = learner.losses(&batch).unwrap().sum_all().unwrap();
        (batch.positions, batch.target_count(), sum.to_scalar::<f32>().unwrap(), sum.backward().unwrap())
    };
    let (positions, targets, loss, gradients) = taught(apart);
    let (fewer, same, joined_loss, joined_gradients) = taught(joined);
    assert_eq!(targets, same);
    assert!(fewer < positions - 2 * 50, "{fewer} positions in place of {positions}");
    assert!((loss - joined_loss).abs() < 1e-4 * loss, "{loss} and {joined_loss}");
    for (name, variable) in &variables {
        let [a, b] = [&gradients, &joined_gradients].map(|gradients| gradients.get(variable).unwrap());
        assert_same(a, b, name);
    }
}

#[test]
fn layers_that_are_computed_again_teach_the_same() {
    let rig = questions();
    let (mut learner, mut variables) = learner();
    let lora = LoraConfig {
        r: 4,
        lora_alpha: 8.,
        lora_dropout: 0.2,
        target_modules: ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"].map(String::from).into(),
    };
    let config = open_checkpoint(&phi()).unwrap().config;
    let adapter = Adapter::random(lora, &config, 5, &Device::Cpu).unwrap();
    let (adapter, of_adapter) = adapter.trainable(5).unwrap();
    for (_, variable) in &of_adapter {
        let noise = Tensor::randn(0f32, 0.02, variable.shape(), &Device::Cpu).unwrap();
        variable.set(&(variable.as_tensor() + noise).unwrap()).unwrap();
    }
    variables.extend(of_adapter);
    let adapter = Arc::new(adapter);
    learner.decoder = decoder(Some(Arc::clone(&adapter)));
    learner.adapter = Some(Arc::clone(&adapter));
    let batch = batch(&rig, rig.collator.examples.to_vec());
    let start = adapter.dropout_state();
    let [kept, again] = [false, true].map(|recompute| {
        adapter.restore_dropout(start);
        let mut gradients = Gradients::new(variables.iter().map(|(_, variable)| variable.clone()).collect());
        let loss = learner.backward(&batch, recompute, &mut gradients).unwrap();
        (loss, adapter.dropout_state(), gradients)
    });
    assert_eq!((kept.0, kept.1), (again.0, again.1));
    for (name, variable) in &variables {
        let [a, b] = [&kept.2, &again.2].map(|gradients| gradients.get(variable).unwrap().0);
        assert_same(a, b, name);
    }
}

fn batch(rig: &Rig, examples: Vec<Example>) -> Batch {
    let numbers: Vec<u32> = (0..examples.len() as u32).collect();
    let mut collator = rig.collator.clone();
    collator.examples = Arc::new(examples);
    collator.collate(&numbers).unwrap()
}

fn assert_same(a: &Tensor, b: &Tensor, name: &str) {
    let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    assert!(norm(a) > 0., "{name}");
    assert!(norm(&(a - b).unwrap()) < 1e-4 * norm(a), "{name}");
}
