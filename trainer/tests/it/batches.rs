//! From records to tensors, and on from where a run was killed.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use jnana_media::Fit;
use jnana_trainer::Result;
use jnana_trainer::data::batch::{Batch, Collator};
use jnana_trainer::data::example::Renderer;
use jnana_trainer::data::features::Features;
use jnana_trainer::data::loader::Loader;
use jnana_trainer::data::plan::{Buckets, Cursor, Plan, Planned};
use jnana_trainer::data::record::{Content, Exchange, Record, pictures};

use crate::support::{END_OF_TEXT, card, encoder, folder_of_pictures, tokenizer};

/// Data of which the pictures have 49 positions 32 wide.
pub struct Rig {
    pub collator: Collator,
    data: tempfile::TempDir,
    _cache: tempfile::TempDir,
}

pub fn record(id: usize, image: Option<PathBuf>, question: usize, answer: usize) -> Record {
    let exchange = Exchange {
        images: image.into_iter().collect(),
        question: "a ".repeat(question),
        answer: vec!["the"; answer].join(" "),
    };
    Record::new(id.to_string(), Content::Conversation(vec![exchange]))
}

pub fn rig(records: impl Fn(&Path) -> Vec<Record>) -> Rig {
    let (data, cache) = (folder_of_pictures(3), tempfile::tempdir().unwrap());
    let records = records(&data.path().join("images"));
    let go_on = &mut |_| ControlFlow::Continue(());
    let features =
        Features::prepare(cache.path(), &encoder(7, 1.0), Fit::Stretch, &pictures(&records), 0.0, go_on)
            .unwrap();
    let renderer = Renderer::new(&card(2048), tokenizer(), None, features.positions()).unwrap();
    let examples = renderer.render_all(&records, |path| features.number(path), 0.0).unwrap().list;
    let (examples, filler) = (Arc::new(examples), renderer.filler());
    Rig { collator: Collator { examples, features: Some(Arc::new(features)), filler }, data, _cache: cache }
}

#[test]
fn the_recipes_example_is_107_positions_and_31_targets() {
    let rig =
        rig(|images| (0..3).map(|i| record(i, Some(images.join(format!("{i}.png"))), 20, 30)).collect());
    let batch = rig.collator.collate(&[0, 1, 2]).unwrap();
    assert_eq!(batch.ids.dims(), [3, 107]);
    assert!(batch.mask.is_none(), "nothing is padded");
    assert_eq!((batch.target_count(), batch.positions), (3 * 31, 3 * 107));
    let (predicting, targets) = (numbers(&batch.predicting), numbers(&batch.targets));
    let expected: Vec<u32> = (0..3).flat_map(|row| row * 107 + 76..row * 107 + 107).collect();
    assert_eq!(predicting, expected);
    // Each target stands one position further on; behind the last stands nothing.
    let ids = numbers(&batch.ids);
    for (position, target) in predicting.iter().zip(&targets) {
        if position % 107 == 106 {
            assert_eq!(*target, END_OF_TEXT);
        } else {
            assert_eq!(ids[*position as usize + 1], *target);
        }
    }
    assert_eq!(batch.features.unwrap().dims(), [3, 49, 32]);
}

fn numbers(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// With picture, without, with another picture; of three lengths.
fn mixed() -> Rig {
    rig(|images| {
        vec![
            record(0, Some(images.join("0.png")), 2, 3),
            record(1, None, 4, 9),
            record(2, Some(images.join("2.png")), 1, 1),
        ]
    })
}

#[test]
fn padding_goes_to_the_right_and_counts_nowhere() {
    let rig = mixed();
    let batch = rig.collator.collate(&[1, 0, 2]).unwrap();
    let lengths = [4 + 4 + 9, 49 + 4 + 2 + 4 + 3, 49 + 4 + 1 + 4 + 1];
    assert_eq!(batch.ids.dims(), [3, lengths[1]]);
    assert_eq!(batch.records, ["1", "0", "2"]);
    assert_eq!((batch.positions, batch.target_count()), (lengths.iter().sum(), 10 + 4 + 2));
    let mask = batch.mask.as_ref().unwrap().to_vec2::<u8>().unwrap();
    for (row, length) in mask.iter().zip(lengths) {
        assert!(row.iter().enumerate().all(|(i, &real)| (real == 1) == (i < length)));
    }
    let t = lengths[1] as u32;
    let ends: Vec<u32> =
        lengths.iter().zip(0u32..).map(|(&length, row)| row * t + length as u32 - 1).collect();
    let predicting = numbers(&batch.predicting);
    assert_eq!([predicting[9], predicting[13], predicting[15]], ends[..]);
    assert_eq!(predicting[10], t + 49 + 4 + 2 + 4 - 1);
    // The same example alone is the same, without padding.
    let alone = rig.collator.collate(&[2]).unwrap();
    assert_eq!(alone.ids.dims(), [1, lengths[2]]);
    assert_eq!(alone.ids.to_vec2::<u32>().unwrap()[0], batch.ids.to_vec2::<u32>().unwrap()[2][..lengths[2]]);
}

#[test]
fn features_stand_where_their_pictures_are_and_gradients_reach_them() {
    let rig = mixed();
    let batch = rig.collator.collate(&[1, 0, 2]).unwrap();
    let (b, t) = batch.ids.dims2().unwrap();
    let features = batch.features.clone().unwrap();
    assert_eq!(features.dims(), [2, 49, 32]);
    let stored = rig.collator.features.as_ref().unwrap();
    let of = |name: &str| {
        let number = stored.number(&rig.data.path().join("images").join(name)).unwrap();
        stored.of(number).unwrap().iter().map(|value| value.to_f32()).collect::<Vec<f32>>()
    };
    assert_eq!(
        features.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        [of("0.png"), of("2.png")].concat()
    );

    let projected = Var::from_tensor(&features).unwrap();
    let embedded = Tensor::full(-7f32, (b, t, 32), &Device::Cpu).unwrap();
    let input = batch.input(&embedded, Some(projected.as_tensor())).unwrap();
    for (row, picture) in [(1, 0), (2, 1)] {
        let got = input.get(row).unwrap().narrow(0, 0, 49).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(got, features.get(picture).unwrap().to_vec2::<f32>().unwrap());
    }
    let text = input.get(0).unwrap().to_vec2::<f32>().unwrap().concat();
    assert!(text.iter().all(|&value| value == -7.0), "a row without a picture has only words");

    let gradients = input.sum_all().unwrap().backward().unwrap();
    let gradient = gradients.get(&projected).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(gradient.iter().all(|&value| value == 1.0));
}

#[test]
fn only_the_rows_that_predict_reach_the_head() {
    let rig = mixed();
    let batch = rig.collator.collate(&[1, 0]).unwrap();
    let (b, t) = batch.ids.dims2().unwrap();
    let positions = Tensor::arange(0u32, (b * t) as u32, &Device::Cpu).unwrap();
    let hidden = positions.to_dtype(DType::F32).unwrap().reshape((b, t, 1)).unwrap();
    let rows = batch.predicting_rows(&hidden).unwrap();
    assert_eq!(rows.dims(), [14, 1]);
    let rows: Vec<u32> =
        rows.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|&r| r as u32).collect();
    assert_eq!(rows, numbers(&batch.predicting));
}

fn load(collator: &Collator, plan: &Arc<Plan>, from: Cursor) -> Loader<(Batch, Cursor)> {
    let collator = collator.clone();
    let work = move |Planned { examples, next }| -> Result<_> { Ok((collator.collate(&examples)?, next)) };
    Loader::start(plan.from(from), work, 2, 2).unwrap()
}

#[test]
fn a_run_that_was_killed_sees_the_same_batches() {
    let records = |images: &Path| {
        let image = |i: usize| (!i.is_multiple_of(3)).then(|| images.join(format!("{}.png", i % 3)));
        (0..90).map(|i| record(i, image(i), 1 + i % 5, 1 + i % 45)).collect()
    };
    let rig = rig(records);
    let plan = || Arc::new(Plan::new(&rig.collator.examples, &Buckets::default(), 3).unwrap());
    let told = |loader: Loader<(Batch, Cursor)>, count: usize| -> Vec<(Vec<String>, Vec<u32>, Cursor)> {
        loader
            .take(count)
            .map(|result| result.map(|(batch, next)| (batch.records, numbers(&batch.ids), next)).unwrap())
            .collect()
    };
    let all = told(load(&rig.collator, &plan(), Cursor::default()), 30);
    assert!(all[29].2.epoch >= 1);
    for killed in [0, 4, 11, 20] {
        let rest = told(load(&rig.collator, &plan(), all[killed].2), 29 - killed);
        assert_eq!(rest, all[killed + 1..], "killed after batch {killed}");
    }
}

#[test]
fn an_example_that_does_not_exist_is_an_error() {
    assert!(mixed().collator.collate(&[0, 3]).is_err());
}
