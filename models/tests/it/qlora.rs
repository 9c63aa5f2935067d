//! NF4 and adapters, equal to bitsandbytes' and PEFT's (`tests/fixtures/make_qlora.py`), merged and trained.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var, safetensors};
use jnana_models::decoder::Decoder;
use jnana_models::export::{export_folder, export_nf4};
use jnana_models::merge::Merged;
use jnana_models::weights::{SafetensorsFolder, TensorSource};
use jnana_models::{
    Adapter, Checkpoint, Error, LoadOptions, LoraConfig, Mode, load_decoder, open_checkpoint,
};
use serde_json::{Value as Json, json};

use crate::support::{
    assert_close, cache, cpu, expected, fixture, full_logits, load, load_for_training, network,
    relative_error, step, tensors,
};

const ADAPTED: [&str; 2] = ["phi", "llama_tied"];

fn qlora(name: &str) -> PathBuf {
    fixture("qlora").join(name)
}

fn adapter(name: &str) -> Adapter {
    Adapter::load(&qlora(name), &Device::Cpu).unwrap()
}

fn load_adapted(path: &Path, adapter: &Adapter, options: LoadOptions) -> Box<dyn Decoder> {
    let options = LoadOptions { adapter: Some(Arc::new(adapter.clone())), ..options };
    load_decoder(path, &options).unwrap().decoder
}

fn in_nf4() -> LoadOptions {
    LoadOptions { quantize: Some("nf4".parse().unwrap()), ..cpu() }
}

fn for_training(options: LoadOptions) -> LoadOptions {
    LoadOptions { mode: Mode::Training, ..options }
}

fn json_of(path: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Where what is written stays, for the script's own check.
fn left_for_the_script(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qlora").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn leave_logits(folder: &Path, logits: &Tensor) {
    let named = HashMap::from([("logits", logits.clone())]);
    safetensors::save(&named, folder.join("logits.safetensors")).unwrap();
}

/// `[n]` ids that follow `prompt` greedily.
fn greedy(decoder: &dyn Decoder, prompt: &Tensor, count: usize) -> Vec<u32> {
    let mut cache = cache(decoder, prompt.dim(0).unwrap() + count);
    let mut logits = step(decoder, prompt, &mut cache);
    let mut ids = Vec::new();
    while ids.len() < count {
        let last = logits.get(logits.dim(0).unwrap() - 1).unwrap();
        ids.push(last.argmax(0).unwrap().to_scalar::<u32>().unwrap());
        logits = step(decoder, &Tensor::new(&ids[ids.len() - 1..], &Device::Cpu).unwrap(), &mut cache);
    }
    ids
}

#[test]
fn a_network_in_nf4_computes_what_bitsandbytes_dequantises() {
    for name in ADAPTED {
        let (ids, plain) = expected(name);
        let want = &tensors(&qlora(name).join("expected.safetensors"))["nf4_base_logits"];
        for options in [in_nf4(), for_training(in_nf4())] {
            let loaded = load_decoder(&network(name), &options).unwrap();
            assert_close(&full_logits(loaded.decoder.as_ref(), &ids, None), want, 1e-4, name);
        }
        assert!(relative_error(want, &plain) > 0.01, "{name}: 4 bits leave no trace");
    }
}

#[test]
fn a_4_bit_checkpoint_of_transformers_loads_as_it_is() {
    let (ids, _) = expected("phi");
    let want = &tensors(&qlora("phi").join("expected.safetensors"))["nf4_base_logits"];
    let loaded = load_decoder(&qlora("phi_nf4"), &cpu()).unwrap();
    assert_close(&full_logits(loaded.decoder.as_ref(), &ids, None), want, 1e-4, "phi_nf4");
    let dense = load_decoder(&network("phi"), &cpu()).unwrap();
    assert_eq!(loaded.info.parameters, dense.info.parameters);
    assert_eq!(loaded.decoder.shape(), dense.decoder.shape());
    let names = SafetensorsFolder::open(&qlora("phi_nf4")).unwrap().names();
    assert_eq!(names, SafetensorsFolder::open(&network("phi")).unwrap().names());
    let quantised = load_decoder(&network("phi"), &in_nf4()).unwrap();
    assert_eq!(loaded.info.weight_bytes, quantised.info.weight_bytes);
    assert_close(
        &full_logits(loaded.decoder.as_ref(), &ids, None),
        &full_logits(quantised.decoder.as_ref(), &ids, None),
        0.,
        "quantised on load",
    );
}

#[test]
fn a_written_4_bit_checkpoint_is_the_one_that_transformers_writes() {
    let folder = left_for_the_script("phi_nf4");
    let Checkpoint { source, json, .. } = open_checkpoint(&network("phi")).unwrap();
    export_nf4(source.as_ref(), &json, None, DType::F32, &folder).unwrap();
    let theirs = tensors(&qlora("phi_nf4").join("model.safetensors"));
    let ours = tensors(&folder.join("model.safetensors"));
    assert_eq!(ours.len(), theirs.len());
    for (name, want) in theirs {
        let got = &ours[&name];
        if name.contains("quant_state") {
            let state = |tensor: &Tensor| -> Json {
                serde_json::from_slice(&tensor.to_vec1::<u8>().unwrap()).unwrap()
            };
            assert_eq!(state(got), state(&want), "{name}");
        } else {
            assert_eq!((got.dims(), got.dtype()), (want.dims(), want.dtype()), "{name}");
            assert_close(got, &want, 0., &name);
        }
    }
    let quantization = |folder: &Path| json_of(&folder.join("config.json"))["quantization_config"].clone();
    let (got, want) = (quantization(&folder), quantization(&qlora("phi_nf4")));
    for key in ["quant_method", "load_in_4bit", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant"] {
        assert_eq!(got[key], want[key], "{key}");
    }
    leave_logits(&folder, &full_logits(load(&folder).as_ref(), &expected("phi").0, None));
}

#[test]
fn a_4_bit_checkpoint_written_again_stays_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let Checkpoint { source, json, .. } = open_checkpoint(&qlora("phi_nf4")).unwrap();
    export_nf4(source.as_ref(), &json, Some(60), DType::F16, folder.path()).unwrap();
    let (again, first) = (
        tensors(&folder.path().join("model.safetensors")),
        tensors(&qlora("phi_nf4").join("model.safetensors")),
    );
    let name = "model.layers.1.mlp.fc1.weight";
    for part in ["", ".absmax", ".nested_absmax"] {
        let name = format!("{name}{part}");
        assert_close(&again[&name], &first[&name], 0., &name);
    }
    assert_eq!(again["lm_head.weight"].dims(), [60, 32]);
    assert_eq!(again["lm_head.weight"].dtype(), DType::F16);
}

#[test]
fn a_damaged_4_bit_checkpoint_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(qlora("phi_nf4").join("config.json"), folder.path().join("config.json")).unwrap();
    let part = "model.layers.0.mlp.fc2.weight.absmax";
    let fp4 = json!({ "quant_type": "fp4", "blocksize": 64, "dtype": "float32", "shape": [32, 64] });
    let state = "model.layers.0.mlp.fc2.weight.quant_state.bitsandbytes__nf4";
    let bytes = |text: String| Tensor::new(text.into_bytes(), &Device::Cpu).unwrap();
    let changes = [
        (part, Tensor::zeros(3, DType::U8, &Device::Cpu).unwrap(), "expected 32 of U8, got 3"),
        (state, bytes(fp4.to_string()), "a matrix in NF4"),
        (state, bytes("no JSON".into()), "expected"),
    ];
    for (name, tensor, word) in changes {
        let mut all = tensors(&qlora("phi_nf4").join("model.safetensors"));
        all.insert(name.into(), tensor);
        safetensors::save(&all, folder.path().join("model.safetensors")).unwrap();
        let error = load_decoder(folder.path(), &cpu()).err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn an_adapter_of_peft_gives_the_logits_of_peft() {
    for name in ADAPTED {
        let (ids, plain) = expected(name);
        let want = tensors(&qlora(name).join("expected.safetensors"));
        assert!(relative_error(&want["logits"], &plain) > 0.05, "{name}: the adapter leaves no trace");
        for (options, key) in [(cpu(), "logits"), (in_nf4(), "nf4_logits")] {
            let decoder = load_adapted(&network(name), &adapter(name), options);
            assert_close(
                &full_logits(decoder.as_ref(), &ids, None),
                &want[key],
                1e-4,
                &format!("{name} {key}"),
            );
        }
    }
}

#[test]
fn a_written_adapter_is_the_one_that_was_read() {
    for name in ADAPTED {
        let folder = left_for_the_script(name);
        let read = adapter(name);
        read.save(&folder, "the/base", DType::F32).unwrap();
        let file = "adapter_model.safetensors";
        let (ours, theirs) = (tensors(&folder.join(file)), tensors(&qlora(name).join(file)));
        assert_eq!(ours.len(), theirs.len());
        for (name, want) in theirs {
            assert_close(&ours[&name], &want, 0., &name);
        }
        let config = |folder: &Path| json_of(&folder.join("adapter_config.json"));
        let (ours, theirs) = (config(&folder), config(&qlora(name)));
        for (key, got) in ours.as_object().unwrap() {
            match key.as_str() {
                "base_model_name_or_path" => assert_eq!(*got, "the/base"),
                "lora_alpha" | "lora_dropout" => {
                    let (got, want) = (got.as_f64().unwrap(), theirs[key].as_f64().unwrap());
                    assert!((got - want).abs() < 1e-6, "{key}: {got}, {want}");
                }
                _ => assert_eq!(*got, theirs[key], "{key}"),
            }
        }
        assert_eq!(Adapter::load(&folder, &Device::Cpu).unwrap().config(), read.config());
        let decoder = load_adapted(&network(name), &read, cpu());
        leave_logits(&folder, &full_logits(decoder.as_ref(), &expected(name).0, None));
    }
}

#[test]
fn a_merged_network_answers_as_base_and_adapter_do() {
    let bases = [
        (network("phi"), "phi"),
        (qlora("phi_nf4"), "phi"),
        (fixture("decoders/phi2.gguf"), "phi"),
        (network("llama_tied"), "llama_tied"),
        (fixture("decoders/llama.Q8_0.gguf"), "llama_tied"),
    ];
    for (path, name) in bases {
        let folder = tempfile::tempdir().unwrap();
        let adapter = Arc::new(adapter(name));
        let Checkpoint { source, config, json } = open_checkpoint(&path).unwrap();
        let merged = Merged::new(source, Arc::clone(&adapter), &config).unwrap();
        export_folder(&merged, &json, Some(60), DType::F32, folder.path()).unwrap();
        assert!(json_of(&folder.path().join("config.json"))["quantization_config"].is_null());

        // Serving rounds what a quantised base is multiplied with; a merged base is not quantised.
        let exact = for_training(LoadOptions { vocab_rows: Some(60), ..cpu() });
        let adapted = load_adapted(&path, &adapter, exact);
        let merged = load(folder.path());
        let ids = expected(name).0.clamp(0u32, 59u32).unwrap();
        let (got, want) =
            (full_logits(merged.as_ref(), &ids, None), full_logits(adapted.as_ref(), &ids, None));
        assert_close(&got, &want, 1e-3, &format!("{}", path.display()));
        assert!(relative_error(&got, &full_logits(load_cut(&path).as_ref(), &ids, None)) > 0.05);
        let prompt = ids.get(0).unwrap().narrow(0, 0, 5).unwrap();
        assert_eq!(greedy(merged.as_ref(), &prompt, 20), greedy(adapted.as_ref(), &prompt, 20), "{name}");
    }
}

fn load_cut(path: &Path) -> Box<dyn Decoder> {
    load_decoder(path, &LoadOptions { vocab_rows: Some(60), ..cpu() }).unwrap().decoder
}

#[test]
fn a_fresh_adapter_changes_nothing_and_follows_from_its_seed() {
    for name in ADAPTED {
        let config = LoraConfig { lora_dropout: 0., ..adapter(name).config().clone() };
        let network_config = open_checkpoint(&network(name)).unwrap().config;
        let fresh = |seed| Adapter::random(config.clone(), &network_config, seed, &Device::Cpu).unwrap();
        let decoder = load_adapted(&network(name), &fresh(1), for_training(cpu()));
        let (ids, _) = expected(name);
        let plain = full_logits(load_for_training(&network(name)).as_ref(), &ids, None);
        assert_close(&full_logits(decoder.as_ref(), &ids, None), &plain, 0., name);

        let names = |adapter: &Adapter| adapter.named().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&fresh(1)), names(&adapter(name)));
        let (first, again, other) = (fresh(1), fresh(1), fresh(2));
        let (a_name, a) = first.named().next().unwrap();
        assert!(a_name.ends_with("lora_A.weight"));
        assert_close(a, again.named().next().unwrap().1, 0., "the same seed");
        assert!(relative_error(a, other.named().next().unwrap().1) > 0.1);
        // Uniform in ±1/√inputs: the variance is a third of 1/inputs.
        let variance =
            a.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap() * a.dim(1).unwrap() as f32;
        assert!((variance - 1. / 3.).abs() < 0.1, "{variance}");
        let bound = a.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(bound <= 1. / (a.dim(1).unwrap() as f32).sqrt());
    }
}

/// Next-token cross entropy.
fn loss(decoder: &dyn Decoder, ids: &Tensor) -> Tensor {
    let hidden = decoder.forward_padded(&decoder.embed(ids).unwrap(), None).unwrap();
    let logits = decoder.logits(&hidden.narrow(1, 0, 22).unwrap()).unwrap().flatten_to(1).unwrap();
    let targets = ids.narrow(1, 1, 22).unwrap().flatten_all().unwrap();
    candle_nn::loss::cross_entropy(&logits, &targets).unwrap()
}

/// The largest magnitude in the gradient of each variable.
fn gradients(decoder: &dyn Decoder, ids: &Tensor, variables: &[(String, Var)]) -> HashMap<String, f32> {
    let gradients = loss(decoder, ids).backward().unwrap();
    let size = |(name, variable): &(String, Var)| {
        let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{name} is detached"));
        let values = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|value| value.is_finite()), "{name}");
        (name.clone(), values.into_iter().fold(0f32, |largest, value| largest.max(value.abs())))
    };
    variables.iter().map(size).collect()
}

/// B begins at zero, which hides A; so A's gradient is looked at when B is something else, as it is after the first step.
#[test]
fn every_variable_of_an_adapter_gets_a_gradient_on_any_base() {
    for name in ADAPTED {
        let blocks = LoadOptions { quantize: Some("q8_0".parse().unwrap()), ..cpu() };
        for options in [cpu(), in_nf4(), blocks] {
            let (trained, variables) = adapter(name).trainable(1).unwrap();
            assert_eq!(variables.len(), adapter(name).named().count());
            let decoder = load_adapted(&network(name), &trained, for_training(options));
            let (ids, _) = expected(name);
            for (variable, size) in gradients(decoder.as_ref(), &ids, &variables) {
                assert!(size > 1e-6, "{name}: {variable} has no gradient");
            }
        }
    }
}

#[test]
fn one_step_brings_a_fresh_adapter_to_life() {
    let name = "phi";
    let network_config = open_checkpoint(&network(name)).unwrap().config;
    let fresh = Adapter::random(adapter(name).config().clone(), &network_config, 3, &Device::Cpu).unwrap();
    let (trained, variables) = fresh.trainable(3).unwrap();
    let decoder = load_adapted(&network(name), &trained, for_training(in_nf4()));
    let (ids, _) = expected(name);
    for (variable, size) in gradients(decoder.as_ref(), &ids, &variables) {
        assert_eq!(size == 0., variable.contains("lora_A"), "{variable}: {size}");
    }
    let before = loss(decoder.as_ref(), &ids).to_scalar::<f32>().unwrap();
    for _ in 0..5 {
        let gradients = loss(decoder.as_ref(), &ids).backward().unwrap();
        for (_, variable) in &variables {
            let step = (gradients.get(variable).unwrap() * 0.02).unwrap();
            variable.set(&(variable.as_tensor() - step).unwrap()).unwrap();
        }
    }
    for (variable, size) in gradients(decoder.as_ref(), &ids, &variables) {
        assert!(size > 0., "{variable} has no gradient after a step");
    }
    let after = loss(decoder.as_ref(), &ids).to_scalar::<f32>().unwrap();
    assert!(after < before, "loss {before} became {after}");
    // What is saved is what was trained.
    let folder = tempfile::tempdir().unwrap();
    trained.save(folder.path(), "base", DType::F32).unwrap();
    let saved = Adapter::load(folder.path(), &Device::Cpu).unwrap();
    for ((name, variable), (saved_name, saved)) in variables.iter().zip(saved.named()) {
        assert_eq!(*name, saved_name);
        assert_close(variable.as_tensor(), saved, 0., name);
    }
}

#[test]
fn gradients_of_the_adapter_equal_finite_differences() {
    for name in ADAPTED {
        let without_dropout = LoraConfig { lora_dropout: 0., ..adapter(name).config().clone() };
        let all = adapter(name).named().map(|(name, tensor)| (name, tensor.clone())).collect();
        let plain = Adapter::from_tensors(without_dropout, &all, Path::new("test")).unwrap();
        let (trained, variables) = plain.trainable(1).unwrap();
        let decoder = load_adapted(&network(name), &trained, for_training(in_nf4()));
        let (ids, _) = expected(name);
        let gradients = loss(decoder.as_ref(), &ids).backward().unwrap();
        for (variable_name, variable) in variables.iter().step_by(5) {
            let gradient = gradients.get(variable).unwrap();
            // Along the gradient the slope is steep: a direction across it would drown in rounding.
            let size = gradient.sqr().unwrap().mean_all().unwrap().sqrt().unwrap();
            let direction = gradient.broadcast_div(&size).unwrap();
            let along = (gradient * &direction).unwrap();
            let along = along.sum_all().unwrap().to_scalar::<f32>().unwrap();
            let start = variable.as_tensor().copy().unwrap();
            let at = |step: f64| {
                variable.set(&(&start + (&direction * step).unwrap()).unwrap()).unwrap();
                loss(decoder.as_ref(), &ids).to_scalar::<f32>().unwrap()
            };
            let measured = (at(1e-3) - at(-1e-3)) / 2e-3;
            variable.set(&start).unwrap();
            let close = (along - measured).abs() < 0.03 * measured.abs().max(0.3);
            assert!(close, "{name} {variable_name}: gradient {along}, measured {measured}");
        }
    }
}

#[test]
fn dropout_is_for_training_and_goes_on_where_it_was() {
    let (trained, _) = adapter("phi").trainable(1).unwrap();
    let (ids, _) = expected("phi");
    let trained = Arc::new(trained);
    let load = |mode| {
        let options = LoadOptions { adapter: Some(Arc::clone(&trained)), mode, ..cpu() };
        load_decoder(&network("phi"), &options).unwrap().decoder
    };
    let (serving, training) = (load(Mode::Inference), load(Mode::Training));
    let want = &tensors(&qlora("phi").join("expected.safetensors"))["logits"];
    let state = trained.dropout_state();
    assert_close(&full_logits(serving.as_ref(), &ids, None), want, 1e-4, "serving");
    assert_eq!(trained.dropout_state(), state);
    let first = full_logits(training.as_ref(), &ids, None);
    let second = full_logits(training.as_ref(), &ids, None);
    assert!(relative_error(&first, &second) > 1e-3, "the same mask twice");
    trained.restore_dropout(state);
    assert_close(&full_logits(training.as_ref(), &ids, None), &first, 0., "the first mask again");
}

#[test]
fn adapters_for_another_network_are_refused() {
    let refused = |path: &Path, adapter: Adapter| {
        let options = LoadOptions { adapter: Some(Arc::new(adapter)), ..cpu() };
        load_decoder(path, &options).err().unwrap()
    };
    let error = refused(&network("llama_tied"), adapter("phi"));
    assert!(matches!(&error, Error::MissingTensor { tensor, .. } if tensor.contains("mlp.fc1")), "{error}");
    let mut all: HashMap<_, _> =
        adapter("phi").named().map(|(name, tensor)| (name, tensor.clone())).collect();
    let name = "base_model.model.model.layers.1.mlp.fc1.lora_B.weight";
    let config = adapter("phi").config().clone();
    all.insert(name.into(), Tensor::zeros((63, 4), DType::F32, &Device::Cpu).unwrap());
    let wrong = Adapter::from_tensors(config.clone(), &all, Path::new("file")).unwrap();
    let error = refused(&network("phi"), wrong);
    assert!(matches!(&error, Error::Shape { got, .. } if *got == [63, 4]), "{error}");
    all.insert(name.into(), Tensor::zeros((64, 5), DType::F32, &Device::Cpu).unwrap());
    let error = Adapter::from_tensors(config.clone(), &all, Path::new("file")).unwrap_err();
    assert!(error.to_string().contains("rank 4"), "{error}");
    all.remove(name);
    let error = Adapter::from_tensors(config.clone(), &all, Path::new("file")).unwrap_err();
    assert!(matches!(&error, Error::MissingTensor { tensor, .. } if tensor == name), "{error}");
    let zero = LoraConfig { r: 0, ..config };
    let network_config = open_checkpoint(&network("phi")).unwrap().config;
    let error = Adapter::random(zero, &network_config, 1, &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("r: expected at least 1"), "{error}");
}
