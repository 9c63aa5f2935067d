//! The cache of features: right, complete after every kind of interruption, never silently wrong.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use jnana_media::{Fit, ImageLimits, decode_image, fit, normalize_chw};
use jnana_models::vision::VisionEncoder;
use jnana_trainer::data::features::{Features, Filling};
use jnana_trainer::{Error, Result};

use crate::support::{encoder, folder_of_pictures, write_picture};

fn pictures(folder: &Path, count: u32) -> Vec<PathBuf> {
    (0..count).map(|i| folder.join(format!("images/{i}.png"))).collect()
}

/// Prepares and returns how many pictures were encoded.
fn prepare(cache: &Path, encoder: &VisionEncoder, pictures: &[PathBuf]) -> (Features, usize) {
    let mut last = Filling::default();
    let features = try_prepare(cache, encoder, pictures, |filling| {
        last = filling;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!((last.ready + last.broken, last.total), (pictures.len(), pictures.len()));
    (features, last.encoded)
}

fn try_prepare(
    cache: &Path,
    encoder: &VisionEncoder,
    pictures: &[PathBuf],
    mut progress: impl FnMut(Filling) -> ControlFlow<()>,
) -> Result<Features> {
    Features::prepare(cache, encoder, Fit::Stretch, pictures, 0.5, &mut progress)
}

/// What serving computes for the picture.
fn expected(encoder: &VisionEncoder, picture: &Path, how: Fit) -> Vec<f32> {
    let spec = encoder.spec();
    let side = spec.input_size;
    let decoded = decode_image(&fs::read(picture).unwrap(), &ImageLimits::default()).unwrap();
    let pixels = normalize_chw(&fit(&decoded, side as u32, side as u32, how), spec.mean, spec.std);
    let pixels = Tensor::from_vec(pixels, (1, 3, side, side), &Device::Cpu).unwrap();
    encoder.features(&pixels).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_right(features: &Features, encoder: &VisionEncoder, picture: &Path, how: Fit) {
    let stored = features.of(features.number(picture).unwrap()).unwrap();
    for (stored, expected) in stored.iter().zip(expected(encoder, picture, how)) {
        assert!(
            (stored.to_f32() - expected).abs() <= 1e-3 * expected.abs().max(1.0),
            "{}",
            picture.display()
        );
    }
}

fn cache_file(cache: &Path) -> PathBuf {
    let mut files = fs::read_dir(cache).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[test]
fn every_picture_is_encoded_once_as_serving_would() {
    let (data, cache) = (folder_of_pictures(20), tempfile::tempdir().unwrap());
    // The same bytes under another name.
    fs::copy(data.path().join("images/0.png"), data.path().join("images/20.png")).unwrap();
    let (encoder, pictures) = (encoder(4, 1.0), pictures(data.path(), 21));
    let (features, encoded) = prepare(cache.path(), &encoder, &pictures);
    assert_eq!((encoded, features.positions(), features.width()), (20, 16, 32));
    pictures.iter().for_each(|picture| assert_right(&features, &encoder, picture, Fit::Stretch));
    assert_eq!(features.number(&pictures[0]), features.number(&pictures[20]));
    assert_ne!(features.number(&pictures[0]), features.number(&pictures[1]));
    assert_eq!(features.number(Path::new("other.png")), None);

    let (again, encoded) = prepare(cache.path(), &encoder, &pictures);
    assert_eq!(encoded, 0);
    pictures.iter().for_each(|picture| assert_right(&again, &encoder, picture, Fit::Stretch));

    // A picture that changes is another picture.
    write_picture(&pictures[3], 99);
    let (changed, encoded) = prepare(cache.path(), &encoder, &pictures);
    assert_eq!(encoded, 1);
    assert_right(&changed, &encoder, &pictures[3], Fit::Stretch);
}

#[test]
fn encoders_and_preprocessings_lie_side_by_side() {
    let (data, cache) = (folder_of_pictures(2), tempfile::tempdir().unwrap());
    let pictures = pictures(data.path(), 2);
    for (encoder, how) in
        [(encoder(4, 1.0), Fit::Stretch), (encoder(4, 1.0), Fit::CenterCrop), (encoder(7, 1.0), Fit::Stretch)]
    {
        let go_on = &mut |_| ControlFlow::Continue(());
        let features = Features::prepare(cache.path(), &encoder, how, &pictures, 0.0, go_on).unwrap();
        pictures.iter().for_each(|picture| assert_right(&features, &encoder, picture, how));
    }
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 3);
}

#[test]
fn other_weights_of_the_same_shape_are_refused() {
    let (data, cache) = (folder_of_pictures(2), tempfile::tempdir().unwrap());
    let pictures = pictures(data.path(), 2);
    prepare(cache.path(), &encoder(4, 1.0), &pictures);
    let go_on = |_| ControlFlow::Continue(());
    let error = try_prepare(cache.path(), &encoder(4, 2.0), &pictures, go_on).unwrap_err();
    assert!(error.to_string().contains("other weights"), "{error}");
}

#[test]
fn broken_pictures_are_named_and_too_many_stop_the_run() {
    let (data, cache) = (folder_of_pictures(6), tempfile::tempdir().unwrap());
    let pictures = pictures(data.path(), 7);
    let whole = fs::read(&pictures[1]).unwrap();
    fs::write(&pictures[1], &whole[..whole.len() / 2]).unwrap();
    fs::write(&pictures[2], "no picture").unwrap();
    let encoder = encoder(4, 1.0);
    let (features, encoded) = prepare(cache.path(), &encoder, &pictures);
    assert_eq!(encoded, 4);
    let mut named: Vec<_> = features.faults().iter().map(|fault| fault.what.clone()).collect();
    named.sort_unstable();
    assert_eq!(named, [1, 2, 6].map(|i| pictures[i].display().to_string()));
    assert!([1, 2, 6].iter().all(|&i| features.number(&pictures[i]).is_none()));
    assert_right(&features, &encoder, &pictures[5], Fit::Stretch);

    let go_on = &mut |_| ControlFlow::Continue(());
    let strict = Features::prepare(cache.path(), &encoder, Fit::Stretch, &pictures, 0.3, go_on);
    let error = strict.unwrap_err();
    assert!(matches!(error, Error::TooManyFaults { broken: 3, total: 7, .. }), "{error}");
}

#[test]
fn an_interrupted_fill_is_completed() {
    let (data, cache) = (folder_of_pictures(40), tempfile::tempdir().unwrap());
    let (encoder, pictures) = (encoder(4, 1.0), pictures(data.path(), 40));
    let stop = |filling: Filling| {
        if filling.encoded == 18 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = try_prepare(cache.path(), &encoder, &pictures, stop).unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
    let (features, encoded) = prepare(cache.path(), &encoder, &pictures);
    assert_eq!(encoded, 22, "what was done is kept");
    pictures.iter().for_each(|picture| assert_right(&features, &encoder, picture, Fit::Stretch));
}

#[test]
fn the_file_may_end_at_any_byte() {
    let (data, cache) = (folder_of_pictures(3), tempfile::tempdir().unwrap());
    let (encoder, pictures) = (encoder(1, 1.0), pictures(data.path(), 3));
    prepare(cache.path(), &encoder, &pictures);
    let file = cache_file(cache.path());
    let whole = fs::read(&file).unwrap();
    let (header, entry) = (4096, 32 + 2 * 32 + 4);
    assert_eq!(whole.len(), header + 4 * entry, "a probe and three pictures");
    let cuts = (0..header).step_by(89).chain(header..=whole.len());
    for cut in cuts {
        fs::write(&file, &whole[..cut]).unwrap();
        let (features, encoded) = prepare(cache.path(), &encoder, &pictures);
        let pictures_left = (cut.saturating_sub(header) / entry).saturating_sub(1);
        assert_eq!(encoded, 3 - pictures_left, "cut after {cut} bytes");
        pictures.iter().for_each(|picture| assert_right(&features, &encoder, picture, Fit::Stretch));
        assert_eq!(fs::read(&file).unwrap().len(), whole.len(), "cut after {cut} bytes");
    }
}

#[test]
fn damaged_features_are_computed_again_and_never_used() {
    let (data, cache) = (folder_of_pictures(3), tempfile::tempdir().unwrap());
    let (encoder, pictures) = (encoder(1, 1.0), pictures(data.path(), 3));
    prepare(cache.path(), &encoder, &pictures);
    let file = cache_file(cache.path());
    let whole = fs::read(&file).unwrap();
    // A bit in the features, in the hash and in the checksum of the second entry.
    for at in [40, 0, 97] {
        let mut damaged = whole.clone();
        damaged[4096 + 100 + at] ^= 4;
        fs::write(&file, &damaged).unwrap();
        let (features, encoded) = prepare(cache.path(), &encoder, &pictures);
        assert_eq!(encoded, 1, "byte {at}");
        pictures.iter().for_each(|picture| assert_right(&features, &encoder, picture, Fit::Stretch));
        assert_eq!(prepare(cache.path(), &encoder, &pictures).1, 0, "the new one counts");
    }
    // Zeros at the end, as a file system may leave them after a loss of power.
    fs::write(&file, [whole.as_slice(), &[0; 250]].concat()).unwrap();
    let (features, encoded) = prepare(cache.path(), &encoder, &pictures);
    assert_eq!(encoded, 0);
    pictures.iter().for_each(|picture| assert_right(&features, &encoder, picture, Fit::Stretch));
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let (data, cache) = (folder_of_pictures(1), tempfile::tempdir().unwrap());
    let (encoder, pictures) = (encoder(1, 1.0), pictures(data.path(), 1));
    prepare(cache.path(), &encoder, &pictures);
    let file = cache_file(cache.path());
    fs::write(&file, vec![b'x'; 5000]).unwrap();
    let error = try_prepare(cache.path(), &encoder, &pictures, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    assert_eq!(fs::read(&file).unwrap(), vec![b'x'; 5000]);
}
