//! Hugging Face folders: sharded, resized, in other number types, and broken.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor, safetensors};
use jnana_models::{Error, LoadOptions, load_decoder};
use serde_json::json;

use crate::support::{
    NETWORKS, assert_close, cpu, expected, full_logits, load, network, relative_error, tensors,
};

/// A copy of a fixture with other tensors.
fn copy(name: &str, change: impl Fn(&mut HashMap<String, Tensor>)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(network(name).join("config.json"), folder.path().join("config.json")).unwrap();
    let mut all = tensors(&network(name).join("model.safetensors"));
    change(&mut all);
    safetensors::save(&all, folder.path().join("model.safetensors")).unwrap();
    folder
}

fn failure(path: &Path, options: &LoadOptions) -> Error {
    load_decoder(path, options).err().unwrap()
}

#[test]
fn sharded_folders_are_one_network() {
    for name in NETWORKS {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(network(name).join("config.json"), folder.path().join("config.json")).unwrap();
        let all = tensors(&network(name).join("model.safetensors"));
        let mut names: Vec<_> = all.keys().cloned().collect();
        names.sort_unstable();
        let mut map = HashMap::new();
        for (i, part) in names.chunks(7).enumerate() {
            let file = format!("model-{i}.safetensors");
            let shard: HashMap<_, _> = part.iter().map(|name| (name.clone(), all[name].clone())).collect();
            safetensors::save(&shard, folder.path().join(&file)).unwrap();
            map.extend(part.iter().map(|name| (name.clone(), file.clone())));
        }
        let index = json!({ "metadata": {}, "weight_map": map }).to_string();
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        let (ids, logits) = expected(name);
        assert_close(&full_logits(load(folder.path()).as_ref(), &ids, None), &logits, 1e-4, name);

        fs::remove_file(folder.path().join("model-1.safetensors")).unwrap();
        let error = failure(folder.path(), &cpu());
        assert!(
            matches!(error, Error::Io { .. }) && error.to_string().contains("model-1.safetensors"),
            "{error}"
        );
    }
}

#[test]
fn an_index_cannot_point_out_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(network("phi").join("config.json"), folder.path().join("config.json")).unwrap();
    let index = json!({ "weight_map": { "lm_head.weight": "../model.safetensors" } }).to_string();
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    assert!(matches!(failure(folder.path(), &cpu()), Error::Field { .. }));
}

#[test]
fn half_precision_files_load() {
    for dtype in [DType::F16, DType::BF16] {
        for name in NETWORKS {
            let folder = copy(name, |all| {
                for tensor in all.values_mut() {
                    *tensor = tensor.to_dtype(dtype).unwrap();
                }
            });
            // The reference for rounded weights is the same network with weights rounded beforehand.
            let rounded = copy(name, |all| {
                for tensor in all.values_mut() {
                    *tensor = tensor.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
                }
            });
            let (ids, logits) = expected(name);
            let got = full_logits(load(folder.path()).as_ref(), &ids, None);
            let same = full_logits(load(rounded.path()).as_ref(), &ids, None);
            assert_close(&got, &same, 1e-5, &format!("{name} {dtype:?}"));
            let scale = logits.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert_close(&got, &logits, 0.05 * scale, &format!("{name} {dtype:?}"));
        }
    }
}

#[test]
fn half_precision_weights_compute_close_to_single() {
    for name in NETWORKS {
        let options = LoadOptions { dtype: Some(DType::F16), ..cpu() };
        let half = load_decoder(&network(name), &options).unwrap();
        let full = load_decoder(&network(name), &cpu()).unwrap();
        assert!(half.info.weight_bytes < full.info.weight_bytes);
        assert_eq!(half.decoder.dtype(), DType::F32);
        let (ids, logits) = expected(name);
        let scale = logits.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert_close(&full_logits(half.decoder.as_ref(), &ids, None), &logits, 0.02 * scale, name);
    }
}

#[test]
fn quantising_on_load_stays_close_and_small() {
    for name in NETWORKS {
        let full = load_decoder(&network(name), &cpu()).unwrap().info.weight_bytes;
        let (ids, logits) = expected(name);
        for (quantization, tolerance, size) in [("q8_0", 0.08, 0.5), ("q6_k", 0.08, 0.5), ("q4_0", 0.6, 0.45)]
        {
            let quantize = Some(quantization.parse().unwrap());
            let loaded = load_decoder(&network(name), &LoadOptions { quantize, ..cpu() }).unwrap();
            let got = full_logits(loaded.decoder.as_ref(), &ids, None);
            let error = relative_error(&got, &logits);
            assert!(error < tolerance, "{name} {quantization}: {error}");
            let share = loaded.info.weight_bytes as f64 / full as f64;
            assert!(share < size, "{name} {quantization}: {share} of the bytes");
        }
    }
}

#[test]
fn the_vocabulary_can_be_cut_on_load() {
    for name in NETWORKS {
        for quantize in [None, Some("q8_0".parse().unwrap())] {
            let (ids, _) = expected(name);
            let cut = load_decoder(&network(name), &LoadOptions { vocab_rows: Some(60), quantize, ..cpu() })
                .unwrap();
            let whole = load_decoder(&network(name), &LoadOptions { quantize, ..cpu() }).unwrap();
            assert_eq!(cut.decoder.shape().vocab_size, 60);
            let width = 32;
            let per_row = if name.contains("untied") {
                2 * width
            } else if name.contains("tied") {
                width
            } else {
                2 * width + 1
            };
            assert_eq!(cut.info.parameters, whole.info.parameters - 12 * per_row, "{name}");
            let ids = ids.clamp(0u32, 59u32).unwrap();
            let got = full_logits(cut.decoder.as_ref(), &ids, None);
            let want = full_logits(whole.decoder.as_ref(), &ids, None).narrow(2, 0, 60).unwrap();
            assert_close(&got, &want, 1e-5, name);
            assert!(cut.decoder.embed(&Tensor::new(&[60u32], &Device::Cpu).unwrap()).is_err());
        }
        let error = failure(&network(name), &LoadOptions { vocab_rows: Some(73), ..cpu() });
        assert!(error.to_string().contains("72 rows"), "{error}");
    }
}

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let name = "model.layers.1.mlp.fc1.weight";
    let folder = copy("phi", |all| {
        all.remove(name);
    });
    match failure(folder.path(), &cpu()) {
        Error::MissingTensor { path, tensor } => {
            assert_eq!((path.as_path(), tensor.as_str()), (folder.path(), name));
        }
        other => panic!("{other}"),
    }
    let folder = copy("phi", |all| {
        all.insert(name.into(), Tensor::zeros((64, 31), DType::F32, &Device::Cpu).unwrap());
    });
    match failure(folder.path(), &cpu()) {
        Error::Shape { tensor, expected, got, .. } => {
            assert_eq!((tensor.as_str(), expected, got), (name, vec![64, 32], vec![64, 31]));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn truncated_files_are_refused_with_their_name() {
    let folder = copy("llama_tied", |_| {});
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for keep in [0, 5, 200, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..keep]).unwrap();
        let error = failure(folder.path(), &cpu());
        assert!(matches!(error, Error::Corrupt { .. } | Error::Io { .. }), "{error:?}");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
}

#[test]
fn what_is_no_model_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| match failure(path, &cpu()) {
        Error::NotAModel { got, .. } => got,
        other => panic!("{other}"),
    };
    assert_eq!(refused(folder.path()), "a folder without weights");
    assert_eq!(refused(&folder.path().join("absent")), "nothing");
    fs::write(folder.path().join("a.gguf"), "").unwrap();
    fs::write(folder.path().join("b.gguf"), "").unwrap();
    assert!(refused(folder.path()).contains("several"));

    let other = copy("phi", |_| {});
    let config = fs::read_to_string(other.path().join("config.json")).unwrap();
    fs::write(other.path().join("config.json"), config.replace("\"phi\"", "\"gpt_neox\"")).unwrap();
    let message = failure(other.path(), &cpu()).to_string();
    assert!(message.contains("expected phi or llama, got gpt_neox"), "{message}");
    fs::write(other.path().join("config.json"), "{\"model_type\": \"phi\", \"vocab_size\": 3}").unwrap();
    let message = failure(other.path(), &cpu()).to_string();
    assert!(message.contains("config.json: missing field"), "{message}");
}

#[test]
fn a_type_that_the_cpu_cannot_multiply_is_refused() {
    let error = failure(&network("phi"), &LoadOptions { dtype: Some(DType::BF16), ..cpu() });
    assert!(error.to_string().contains("the CPU multiplies f32 and f16"), "{error}");
}

#[test]
fn numbers_that_no_network_can_have_are_refused() {
    let changes = [
        ("num_attention_heads", json!(0)),
        ("num_attention_heads", json!(5)),
        ("num_key_value_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
        ("partial_rotary_factor", json!(1.5)),
        ("partial_rotary_factor", json!(0)),
    ];
    for (key, value) in changes {
        let folder = copy("phi", |_| {});
        let path = folder.path().join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        config[key] = value.clone();
        fs::write(&path, config.to_string()).unwrap();
        let error = failure(folder.path(), &cpu());
        assert!(matches!(error, Error::Field { .. }), "{key} {value}: {error}");
    }
}
