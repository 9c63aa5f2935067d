use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use jnana_models::synthetic::write_random_clip;
use jnana_models::vision::clip::{ClipVision, Config, HiddenAct, MEAN, STD};
use jnana_models::vision::{VisionEncoder, VisionOptions};

use crate::{fixture, largest_difference, tensors};

/// The encoder's features are transformers' last hidden state without the class position.
fn compare(folder: &str) -> VisionEncoder {
    let encoder = VisionEncoder::load(&fixture(folder), &VisionOptions::default()).unwrap();
    let expected = tensors(&format!("{folder}/expected.safetensors"));
    let features = encoder.features(&expected["pixels"]).unwrap();
    let patches = expected["last_hidden_state"].narrow(1, 1, 16).unwrap();
    let difference = largest_difference(&features, &patches);
    assert!(difference <= 1e-4, "{folder}: {difference}");
    encoder
}

#[test]
fn clip_of_openais_kind_equals_transformers() {
    let encoder = compare("clip");
    let spec = encoder.spec();
    assert_eq!((spec.positions, spec.width, spec.input_size), (16, 32, 32));
    assert_eq!((spec.mean, spec.std), (MEAN, STD));
    assert_eq!(spec.id, "clip-vit-32x2-patch8-32");
}

/// Names without prefix in `pytorch_model.bin`, a bare vision config, `gelu`, another epsilon, a processor's numbers.
#[test]
fn clip_of_another_kind_equals_transformers() {
    let encoder = compare("clip-gelu");
    assert_eq!((encoder.spec().mean, encoder.spec().std), ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]));
}

#[test]
fn the_class_position_comes_first() {
    let config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture("clip/config.json")).unwrap()).unwrap();
    let config: Config = serde_json::from_value(config["vision_config"].clone()).unwrap();
    let vb = VarBuilder::from_tensors(tensors("clip/model.safetensors"), DType::F32, &Device::Cpu);
    let expected = tensors("clip/expected.safetensors");
    let hidden = ClipVision::load(&config, &vb).unwrap().last_hidden_state(&expected["pixels"]).unwrap();
    assert_eq!(hidden.dims(), [2, 17, 32]);
    assert!(largest_difference(&hidden, &expected["last_hidden_state"]) <= 1e-4);
}

#[test]
fn the_default_numbers_are_vit_b_32() {
    let config: Config = serde_json::from_str("{}").unwrap();
    assert_eq!(config.positions(), 49);
    assert_eq!((config.hidden_size, config.hidden_act), (768, HiddenAct::QuickGelu));
}

#[test]
fn a_random_tower_is_a_whole_tower() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { hidden_size: 24, intermediate_size: 40, num_hidden_layers: 2, ..Config::default() };
    write_random_clip(folder.path(), &config, DType::F16, 1).unwrap();
    let encoder = VisionEncoder::load(folder.path(), &VisionOptions::default()).unwrap();
    let pixels = candle_core::Tensor::zeros((1, 3, 224, 224), DType::F32, &Device::Cpu).unwrap();
    let features = encoder.features(&pixels).unwrap();
    assert_eq!(features.dims(), [1, 49, 24]);
    let sum = features.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(sum.is_finite() && sum > 0.);
}

#[test]
fn impossible_folders_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let load = |config: &str| {
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        VisionEncoder::load(folder.path(), &VisionOptions::default()).unwrap_err().to_string()
    };
    assert!(load("{").contains("config.json"));
    assert!(load(r#"{"model_type":"llama"}"#).contains("llama"));
    assert!(load(r#"{"vision_config":{"hidden_act":"tanh"}}"#).contains("tanh"));
    assert!(load(r#"{"vision_config":{}}"#).contains("pytorch_model.bin"));
    std::fs::copy(fixture("clip/model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    assert!(load(r#"{"vision_config":{"num_attention_heads":7}}"#).contains("7 heads"));
    assert!(load(r#"{"vision_config":{"patch_size":0}}"#).contains("patch_size"));
    assert!(load(r#"{"vision_config":{}}"#).contains("shape"));
}

#[test]
fn pixels_of_another_size_are_an_error() {
    let encoder = VisionEncoder::load(&fixture("clip"), &VisionOptions::default()).unwrap();
    let pixels = candle_core::Tensor::zeros((1, 3, 32, 31), DType::F32, &Device::Cpu).unwrap();
    assert!(encoder.features(&pixels).unwrap_err().to_string().contains("[B, 3, 32, 32]"));
}
