//! The plugin through the SDK's traits, on a tiny CLIP made here and on the real EfficientNet-Lite0.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails as the test does")]

mod small_clip;

use std::path::Path;

use candle_core::Device;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_plugin_sdk::{Call, Code, Create, Embeddings, Error, Input, Plugin};
use jnana_vision::Vision;
use serde_json::{Value, json};
use small_clip::SmallClip;

const SIDE: u32 = 224;
const WIDTH: usize = 24;
const SPACE: &str = "test-space";

fn create(settings: Value) -> Result<Vision, Error> {
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    let cache_dir = std::env::temp_dir();
    Vision::create(Create { space: SPACE.into(), width: WIDTH, threads: 2, cache_dir, settings })
}

fn refused(settings: Value) -> Error {
    create(settings).map(|vision| vision.status()).unwrap_err()
}

fn noise(seed: u32) -> Vec<u8> {
    (0..SIDE * SIDE * 3).map(|i| (i.wrapping_mul(2_654_435_761 ^ seed) >> 13) as u8).collect()
}

fn with_call<T>(cancelled: bool, work: impl FnOnce(&Call<'_>) -> T) -> T {
    work(&Call::new(&|| cancelled, &|_| true))
}

fn encode(vision: &Vision, pixels: &[u8]) -> Embeddings {
    let input = Input::Image { width: SIDE, height: SIDE, pixels };
    with_call(false, |call| vision.encoder().unwrap().encode(&input, call)).unwrap()
}

fn features(vision: &Vision, pixels: &[u8]) -> Embeddings {
    let input = Input::Image { width: SIDE, height: SIDE, pixels };
    with_call(false, |call| vision.features().unwrap().features(&input, call)).unwrap()
}

fn save_projector(path: &Path, change: impl FnOnce(&mut ProjectorInfo)) {
    let mut info = ProjectorInfo {
        space: SPACE.into(),
        encoder: SmallClip::ID.into(),
        d_in: SmallClip::WIDTH,
        width: WIDTH,
        trained: true,
    };
    change(&mut info);
    Projector::random(info, None, 1, &Device::Cpu).unwrap().save(path).unwrap();
}

#[test]
fn a_picture_becomes_49_rows_of_the_cores_width() {
    let clip = SmallClip::new();
    let vision = create(json!({ "encoder": clip.path() })).unwrap();
    let rows = encode(&vision, &noise(1));
    assert_eq!((rows.width, rows.values.len()), (WIDTH, 49 * WIDTH));
    assert!(rows.values.iter().all(|value| value.is_finite()));
    assert_ne!(rows, encode(&vision, &noise(2)), "other pictures give other rows");
    let features = features(&vision, &noise(1));
    assert_eq!((features.width, features.values.len()), (SmallClip::WIDTH, 49 * SmallClip::WIDTH));
}

#[test]
fn untrained_rows_are_the_same_after_every_start() {
    let clip = SmallClip::new();
    let start = || create(json!({ "encoder": clip.path() })).unwrap();
    let (first, second) = (start(), start());
    assert_eq!(first.status(), "projector: untrained");
    assert_eq!(encode(&first, &noise(3)), encode(&second, &noise(3)));
}

#[test]
fn a_trained_projector_is_used() {
    let clip = SmallClip::new();
    let path = clip.path().join("projector.safetensors");
    save_projector(&path, |_| ());
    let vision = create(json!({ "encoder": clip.path(), "projector": path })).unwrap();
    assert_eq!(vision.status(), "");
    let features = features(&vision, &noise(4));
    let features =
        candle_core::Tensor::from_vec(features.values, (49, features.width), &Device::Cpu).unwrap();
    let projector = Projector::load(&path, candle_core::DType::F32, &Device::Cpu).unwrap();
    let expected = projector.forward(&features).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (got, expected) in encode(&vision, &noise(4)).values.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-5);
    }
}

#[test]
fn a_projector_that_does_not_fit_is_refused_with_both_names() {
    let clip = SmallClip::new();
    let path = clip.path().join("projector.safetensors");
    let refuse = |change: fn(&mut ProjectorInfo), words: [&str; 2]| {
        save_projector(&path, change);
        let error = refused(json!({ "encoder": clip.path(), "projector": path }));
        assert_eq!(error.code, Code::InvalidInput);
        assert!(words.iter().all(|word| error.message.contains(word)), "{error} should say {words:?}");
    };
    refuse(|info| info.space = "elsewhere".into(), ["elsewhere", SPACE]);
    refuse(|info| info.width = 32, ["32", "24"]);
    refuse(|info| info.encoder = "efficientnet-lite0/320".into(), ["efficientnet-lite0/320", SmallClip::ID]);
    refuse(
        |info| {
            info.encoder.clear();
            info.d_in = 99;
        },
        ["99", "16"],
    );
}

#[test]
fn inputs_of_another_form_are_the_inputs_fault() {
    let clip = SmallClip::new();
    let vision = create(json!({ "encoder": clip.path() })).unwrap();
    let pixels = noise(5);
    let inputs = [
        Input::Image { width: SIDE, height: SIDE - 1, pixels: &pixels },
        Input::Image { width: SIDE, height: SIDE, pixels: &pixels[1..] },
        Input::Audio { sample_rate: 16_000, samples: &[0.0; 16] },
        Input::Raw { mime: "image/png", bytes: &[0; 16] },
    ];
    for input in &inputs {
        let encoded = with_call(false, |call| vision.encoder().unwrap().encode(input, call));
        assert_eq!(encoded.unwrap_err().code, Code::InvalidInput, "{input:?}");
        let features = with_call(false, |call| vision.features().unwrap().features(input, call));
        assert_eq!(features.unwrap_err().code, Code::InvalidInput, "{input:?}");
    }
}

#[test]
fn a_cancelled_call_says_so() {
    let clip = SmallClip::new();
    let vision = create(json!({ "encoder": clip.path() })).unwrap();
    let pixels = noise(6);
    let input = Input::Image { width: SIDE, height: SIDE, pixels: &pixels };
    let encoded = with_call(true, |call| vision.encoder().unwrap().encode(&input, call));
    assert_eq!(encoded.unwrap_err().code, Code::Cancelled);
}

#[test]
fn without_a_space_there_are_features_only() {
    let clip = SmallClip::new();
    let Value::Object(settings) = json!({ "encoder": clip.path() }) else { unreachable!() };
    let cache_dir = std::env::temp_dir();
    let vision =
        Vision::create(Create { space: String::new(), width: 0, threads: 1, cache_dir, settings }).unwrap();
    assert!(vision.encoder().is_none());
    assert_eq!(features(&vision, &noise(7)).width, SmallClip::WIDTH);
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let clip = SmallClip::new();
    for (settings, word) in [
        (json!({}), "encoder"),
        (json!({ "encoder": clip.path(), "fit": "squash" }), "squash"),
        (json!({ "encoder": clip.path(), "features": 640 }), "640"),
        (json!({ "encoder": "no/such/folder" }), "no/such/folder"),
        (json!({ "encoder": clip.path(), "projector": "no/such/file" }), "no/such/file"),
    ] {
        let error = refused(settings);
        assert!(error.message.contains(word), "{error} should say {word}");
    }
}

#[test]
fn efficientnet_gives_either_of_its_maps() {
    let models = std::env::var("JNANA_TEST_MODELS")
        .expect("JNANA_TEST_MODELS is not set: `cargo xtask test` fetches the models and sets it");
    let encoder = Path::new(&models).join("efficientnet-lite0");
    for (settings, channels) in
        [(json!({ "encoder": encoder }), 1280), (json!({ "encoder": encoder, "features": 320 }), 320)]
    {
        let vision = create(settings).unwrap();
        assert_eq!(features(&vision, &noise(8)).width, channels);
        let rows = encode(&vision, &noise(8));
        assert_eq!((rows.width, rows.values.len()), (WIDTH, 49 * WIDTH));
    }
}

#[test]
fn the_manifest_matches_the_settings() {
    let manifest = Vision::manifest();
    assert_eq!(manifest.models[0].setting, "encoder");
    assert_eq!(manifest.emits.unwrap().max_positions, 49);
    let properties = manifest.settings_schema["properties"].as_object().unwrap();
    let keys: Vec<_> = properties.keys().map(String::as_str).collect();
    assert_eq!(keys, ["encoder", "features", "fit", "projector"]);
}
