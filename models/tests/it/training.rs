//! Gradients reach everything that can be trained.

use std::collections::HashMap;
use std::fs;

use candle_core::{D, DType, Device, Tensor, Var};
use jnana_models::config::Config;
use jnana_models::decoder::Decoder;
use jnana_models::load::build;
use jnana_models::weights::Weights;
use jnana_models::{LoadOptions, Mode, load_decoder};

use crate::support::{NETWORKS, assert_close, cpu, expected, load, max_difference, network, tensors};

fn trainable(name: &str) -> (Box<dyn Decoder>, HashMap<String, Var>) {
    let folder = network(name);
    let path = folder.join("config.json");
    let json = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let config = Config::from_json(&json, &path).unwrap();
    let all = tensors(&folder.join("model.safetensors"));
    let vars: HashMap<_, _> =
        all.into_iter().map(|(name, tensor)| (name, Var::from_tensor(&tensor).unwrap())).collect();
    let plain = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let weights = Weights::from_tensors(plain, DType::F32, Device::Cpu, Mode::Training);
    (build(&config, &weights, None).unwrap(), vars)
}

/// Hidden states of the positions before the targets, and these, with left and right padding in the batch.
fn rows(decoder: &dyn Decoder, embeds: &Tensor, ids: &Tensor) -> (Tensor, Tensor) {
    let mut mask = vec![1u8; 46];
    mask[..4].fill(0);
    mask[40..].fill(0);
    let mask = Tensor::from_vec(mask, (2, 23), &Device::Cpu).unwrap();
    let hidden = decoder.forward_padded(embeds, Some(&mask)).unwrap();
    let targets = ids.narrow(1, 5, 12).unwrap().flatten_all().unwrap();
    (hidden.narrow(1, 4, 12).unwrap().flatten_to(1).unwrap(), targets)
}

/// Next-token cross entropy.
fn loss(decoder: &dyn Decoder, embeds: &Tensor, ids: &Tensor) -> Tensor {
    let (hidden, targets) = rows(decoder, embeds, ids);
    decoder.losses(&hidden, &targets).unwrap().mean_all().unwrap()
}

#[test]
fn every_parameter_gets_a_gradient() {
    for name in NETWORKS {
        let (decoder, vars) = trainable(name);
        let (ids, _) = expected(name);
        let gradients = loss(decoder.as_ref(), &decoder.embed(&ids).unwrap(), &ids).backward().unwrap();
        for (parameter, var) in &vars {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name}: {parameter} is detached"));
            let values = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values.iter().all(|value| value.is_finite()), "{name}: {parameter}");
            // A bias on keys shifts all scores of a query alike, which the softmax does not see; behind the rotation of
            // positions a trace of it is left.
            let floor = if parameter.ends_with("k_proj.bias") { 1e-9 } else { 1e-6 };
            assert!(values.iter().any(|value| value.abs() > floor), "{name}: {parameter} has no gradient");
        }
    }
}

#[test]
fn losses_are_the_cross_entropy_of_the_logits() {
    for name in NETWORKS {
        let (ids, _) = expected(name);
        for decoder in [load(&network(name)), trainable(name).0] {
            let (hidden, targets) = rows(decoder.as_ref(), &decoder.embed(&ids).unwrap(), &ids);
            let losses = decoder.losses(&hidden, &targets).unwrap();
            assert_eq!(losses.dims(), [24]);
            let logits = decoder.logits(&hidden).unwrap();
            let want = candle_nn::loss::cross_entropy(&logits, &targets).unwrap();
            assert_close(&losses.mean_all().unwrap(), &want, 1e-5, name);
        }
    }
}

#[test]
fn loss_and_gradients_equal_pytorchs() {
    for name in NETWORKS {
        let mut want = tensors(&network(name).join("gradients.safetensors"));
        let (decoder, vars) = trainable(name);
        let (ids, _) = expected(name);
        let embeds = Var::from_tensor(&decoder.embed(&ids).unwrap().detach()).unwrap();
        let of_embeds = loss(decoder.as_ref(), &embeds, &ids).backward().unwrap();
        let loss = loss(decoder.as_ref(), &decoder.embed(&ids).unwrap(), &ids);
        let gradients = loss.backward().unwrap();
        assert_close(&loss.reshape(1).unwrap(), &want.remove("loss").unwrap(), 1e-5, name);
        let mut check = |parameter: &str, got: &Tensor| {
            let want = want.remove(parameter).unwrap();
            let largest = want.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            let difference = max_difference(got, &want);
            assert!(difference <= 1e-4 * largest, "{name}: {parameter} off by {difference} of {largest}");
        };
        check("embeds", of_embeds.get(&embeds).unwrap());
        vars.iter().for_each(|(parameter, var)| check(parameter, gradients.get(var).unwrap()));
        assert!(want.is_empty(), "{name}: not compared: {:?}", want.keys());
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for name in NETWORKS {
        let (decoder, _) = trainable(name);
        let (ids, _) = expected(name);
        let embeds = Var::from_tensor(&decoder.embed(&ids).unwrap().detach()).unwrap();
        let gradients = loss(decoder.as_ref(), embeds.as_tensor(), &ids).backward().unwrap();
        let gradient = gradients.get(&embeds).unwrap();
        // Along the gradient the slope is steep: a direction across it would drown in rounding.
        let size = gradient.sqr().unwrap().mean_all().unwrap().sqrt().unwrap();
        let direction = gradient.broadcast_div(&size).unwrap();
        let along = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        let at = |step: f64| {
            let moved = (embeds.as_tensor() + (&direction * step).unwrap()).unwrap();
            loss(decoder.as_ref(), &moved, &ids).to_scalar::<f32>().unwrap()
        };
        let measured = (at(1e-4) - at(-1e-4)) / 2e-4;
        let close = (along - measured).abs() < 0.02 * measured.abs().max(0.5);
        assert!(close, "{name}: gradient {along}, measured {measured}");
    }
}

#[test]
fn quantised_weights_let_the_gradient_through() {
    for name in NETWORKS {
        let quantize = Some("q8_0".parse().unwrap());
        let frozen =
            load_decoder(&network(name), &LoadOptions { quantize, mode: Mode::Training, ..cpu() }).unwrap();
        let (dense, _) = trainable(name);
        let (ids, _) = expected(name);
        let embeds = Var::from_tensor(&dense.embed(&ids).unwrap().detach()).unwrap();
        let gradient = |decoder: &dyn Decoder| {
            let gradients = loss(decoder, embeds.as_tensor(), &ids).backward().unwrap();
            gradients.get(&embeds).unwrap().flatten_all().unwrap()
        };
        let (a, b) = (gradient(frozen.decoder.as_ref()), gradient(dense.as_ref()));
        let dot =
            |a: &Tensor, b: &Tensor| (a * b).unwrap().sum(D::Minus1).unwrap().to_scalar::<f32>().unwrap();
        let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        assert!(cosine > 0.99, "{name}: cosine {cosine}");
    }
}
