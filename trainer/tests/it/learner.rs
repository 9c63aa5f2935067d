//! What a batch teaches.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_models::{LoadOptions, Mode, load_decoder};
use jnana_trainer::data::branches::join;
use jnana_trainer::data::example::Example;
use jnana_trainer::learner::{Learner, Variables};

use crate::batches::{Rig, record, rig};

/// A small random Phi with a projector from the pictures of a [`Rig`].
fn learner() -> (Learner, Variables) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/decoders/phi");
    let options = LoadOptions { mode: Mode::Training, ..LoadOptions::new(Device::Cpu) };
    let decoder = load_decoder(&folder, &options).unwrap().decoder;
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
        let numbers: Vec<u32> = (0..examples.len() as u32).collect();
        let mut collator = rig.collator.clone();
        collator.examples = Arc::new(examples);
        let batch = collator.collate(&numbers).unwrap();
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
        let norm =
            |x: &candle_core::Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        assert!(norm(a) > 0., "{name}");
        assert!(norm(&(a - b).unwrap()) < 1e-4 * norm(a), "{name}");
    }
}
