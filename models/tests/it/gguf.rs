//! GGUF files: values as the `gguf` package reads them, networks as from the checkpoint.

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use jnana_models::weights::{GgufFile, TensorSource};
use jnana_models::{Error, load_decoder};

use crate::support::{
    ROUNDING, assert_close, cache, cpu, expected, fixture, full_logits, load, load_for_training,
    max_difference, relative_error, step, tensors,
};

fn read(file: &GgufFile, name: &str) -> Tensor {
    file.read(name, &Device::Cpu).unwrap().into_dense().unwrap()
}

#[test]
fn every_block_format_reads_as_the_gguf_package_does() {
    let file = GgufFile::open(&fixture("decoders/blocks.gguf")).unwrap();
    let all = tensors(&fixture("decoders/blocks.safetensors"));
    assert_eq!(all.len(), 11);
    for (key, want) in all {
        let (layer, format) = key.split_once('.').unwrap();
        let got = read(&file, &format!("model.layers.{layer}.mlp.up_proj.weight"));
        // Both multiply f16 scales in f32; the k-formats may round the product of scale and sub-scale once more.
        let scale = want.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let exact = !format.ends_with("_K");
        let tolerance = if exact { 0. } else { scale * 1e-6 };
        assert_close(&got, &want, tolerance, format);
    }
}

#[test]
fn networks_from_gguf_equal_those_from_the_checkpoint() {
    for (file, checkpoint) in [("llama.gguf", "llama_tied"), ("phi2.gguf", "phi")] {
        let (ids, logits) = expected(checkpoint);
        let path = fixture("decoders").join(file);
        assert_close(&full_logits(load(&path).as_ref(), &ids, None), &logits, 1e-4, file);
        let loaded = load_decoder(&path, &cpu()).unwrap();
        let from_folder = load_decoder(&fixture("decoders").join(checkpoint), &cpu()).unwrap();
        assert_eq!(loaded.decoder.shape(), from_folder.decoder.shape());
        assert_eq!(loaded.info.parameters, from_folder.info.parameters);
        assert!(loaded.tokenizer.is_none());
    }
}

#[test]
fn quantised_rows_are_put_back_in_order_without_being_requantised() {
    let file = GgufFile::open(&fixture("decoders/llama.Q8_0.gguf")).unwrap();
    let name = "model.layers.1.self_attn.q_proj.weight";
    let want = &tensors(&fixture("decoders/llama.Q8_0.expected.safetensors"))[name];
    assert_eq!(max_difference(&read(&file, name), want), 0.);
}

#[test]
fn a_quantised_network_computes_what_its_blocks_say() {
    let path = fixture("decoders/llama.Q8_0.gguf");
    let (ids, _) = expected("llama_tied");
    let logits = &tensors(&fixture("decoders/llama.Q8_0.expected.safetensors"))["logits"];
    let training = load_for_training(&path);
    assert_close(&full_logits(training.as_ref(), &ids, None), logits, 1e-4, "training");
    // Serving rounds activations to 8 bits.
    let decoder = load(&path);
    let full = full_logits(decoder.as_ref(), &ids, None);
    let error = relative_error(&full, logits);
    assert!(error < ROUNDING, "serving: {error}");
    let mut cache = cache(decoder.as_ref(), 23);
    let row = ids.get(0).unwrap();
    let steps = (0..23).map(|i| step(decoder.as_ref(), &row.narrow(0, i, 1).unwrap(), &mut cache));
    let steps = Tensor::cat(&steps.collect::<Vec<_>>(), 0).unwrap();
    let error = relative_error(&steps, &full.get(0).unwrap());
    assert!(error < ROUNDING, "step by step: {error}");
}

#[test]
fn names_list_what_can_be_read() {
    for (file, count) in [("llama.gguf", 20), ("phi2.gguf", 33)] {
        let file = GgufFile::open(&fixture("decoders").join(file)).unwrap();
        let names = file.names();
        assert_eq!(names.len(), count, "{names:?}");
        for name in names {
            let shape = file.shape(&name).unwrap();
            assert_eq!(read(&file, &name).dims(), shape, "{name}");
        }
    }
}

#[test]
fn damaged_files_are_refused_with_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.gguf");
    let whole = fs::read(fixture("decoders/llama.gguf")).unwrap();
    for keep in [0, 3, 100, 2000, whole.len() / 2, whole.len() - 200] {
        fs::write(&path, &whole[..keep]).unwrap();
        assert_refused(&path, "cut.gguf");
    }
    fs::write(&path, b"not a model at all, but long enough to look at").unwrap();
    assert_refused(&path, "unknown magic");
}

fn assert_refused(path: &Path, word: &str) {
    let error = load_decoder(path, &cpu()).err().unwrap();
    assert!(error.to_string().contains(word), "{error}");
    assert!(matches!(error, Error::Corrupt { .. } | Error::Io { .. }), "{error:?}");
}

#[test]
fn an_unknown_architecture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.gguf");
    let mut bytes = fs::read(fixture("decoders/llama.gguf")).unwrap();
    let at = bytes.windows(5).position(|window| window == b"llama").unwrap();
    bytes[at..at + 5].copy_from_slice(b"mamba");
    fs::write(&path, bytes).unwrap();
    let message = load_decoder(&path, &cpu()).err().unwrap().to_string();
    assert!(message.contains("expected llama or phi2, got mamba"), "{message}");
}
