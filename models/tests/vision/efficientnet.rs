use std::path::PathBuf;

use candle_core::{Device, IndexOp, Tensor};
use jnana_models::vision::{FeatureMap, VisionEncoder, VisionOptions};

use crate::{largest_difference, tensors};

fn folder() -> PathBuf {
    let models = std::env::var_os("JNANA_TEST_MODELS")
        .expect("JNANA_TEST_MODELS is not set: `cargo xtask test` fetches the models and sets it");
    PathBuf::from(models).join("efficientnet-lite0")
}

fn load(feature_map: FeatureMap) -> VisionEncoder {
    VisionEncoder::load(&folder(), &VisionOptions { feature_map, ..Default::default() }).unwrap()
}

/// `picture()` of `make_vision.py`, normalised: `[1, 3, 224, 224]`.
fn pixels() -> Tensor {
    let byte = |c: i32, y: i32, x: i32| {
        let disc = i32::from((x - 90).pow(2) + (y - 120).pow(2) < 3600);
        (x * x / 128 + y * (c + 1) / 2 + disc * (90 + 40 * c)) % 256
    };
    let at = |i: i32| (byte(i / (224 * 224), i / 224 % 224, i % 224) as f32 - 127.0) / 128.0;
    let values: Vec<f32> = (0..3 * 224 * 224).map(at).collect();
    Tensor::from_vec(values, (1, 3, 224, 224), &Device::Cpu).unwrap()
}

#[test]
fn the_trunk_map_equals_torch() {
    let trunk = load(FeatureMap::Trunk).features(&pixels()).unwrap();
    assert_eq!(trunk.dims(), [1, 49, 320]);
    let difference = largest_difference(&trunk, &tensors("efficientnet-lite0.safetensors")["trunk"]);
    assert!(difference <= 1e-3, "{difference}");
}

#[test]
fn the_head_map_equals_torch() {
    let head = load(FeatureMap::Head).features(&pixels()).unwrap();
    assert_eq!(head.dims(), [1, 49, 1280]);
    let expected = tensors("efficientnet-lite0.safetensors");
    let every_fourth: Vec<u32> = (0..1280).step_by(4).collect();
    let every_fourth = Tensor::new(every_fourth, &Device::Cpu).unwrap();
    let difference =
        largest_difference(&head.index_select(&every_fourth, 2).unwrap(), &expected["head_every_fourth"]);
    assert!(difference <= 1e-3, "{difference}");
    let difference = largest_difference(&head.mean(1).unwrap(), &expected["head_mean"]);
    assert!(difference <= 1e-3, "{difference}");
}

#[test]
fn a_batch_gives_what_single_pictures_give() {
    let encoder = load(FeatureMap::Head);
    let pixels = pixels();
    let both = Tensor::cat(&[&pixels, &pixels.neg().unwrap()], 0).unwrap();
    let batch = encoder.features(&both).unwrap();
    for i in 0..2 {
        let single = encoder.features(&both.i(i..i + 1).unwrap()).unwrap();
        assert!(largest_difference(&batch.i(i..i + 1).unwrap(), &single) <= 1e-4);
    }
}

#[test]
fn a_folder_with_nothing_in_it_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = VisionEncoder::load(folder.path(), &VisionOptions::default()).unwrap_err();
    assert!(error.to_string().contains("neither config.json nor a .pth file"), "{error}");
}
