//! Optimiser, clipping and schedules beside torch's and transformers' own numbers.

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};
use jnana_trainer::train::gradients::Gradients;
use jnana_trainer::train::optimizer::{AdamW, AdamWSettings, Group};
use jnana_trainer::train::schedule::{Decay, Schedule};
use serde::Deserialize;

use crate::support::fixture;

/// What the fixture's script uses.
const STEPS: usize = 20;
const CLIP: f64 = 6.0;

fn rate(step: usize) -> f64 {
    1e-2 * (1.0 - step as f64 / 40.0)
}

struct Rig {
    fixture: HashMap<String, Tensor>,
    variables: [Var; 2],
    optimizer: AdamW,
}

impl Rig {
    fn new() -> Self {
        let fixture = candle_core::safetensors::load(fixture("adamw.safetensors"), &Device::Cpu).unwrap();
        let variables = ["a.start", "b.start"].map(|name| Var::from_tensor(&fixture[name]).unwrap());
        let optimizer = optimizer(&variables);
        Self { fixture, variables, optimizer }
    }

    fn row(&self, name: &str, step: usize) -> Tensor {
        self.fixture[name].get(step).unwrap()
    }

    fn step(&mut self, step: usize) -> Gradients {
        let [a, b] = &self.variables;
        let gradient = |var: &Var, name| (var.as_tensor() * self.row(name, step)).unwrap().sum_all().unwrap();
        let loss = (gradient(a, "a.gradient") + gradient(b, "b.gradient")).unwrap();
        let mut gradients = self.optimizer.gradients();
        gradients.add(&loss.backward().unwrap()).unwrap();
        let norm = gradients.clip(CLIP).unwrap();
        let expected = f64::from(self.row("norm", step).to_scalar::<f32>().unwrap());
        assert!(
            (norm - expected).abs() <= 1e-6 * expected,
            "norm of step {step}: {norm}, torch has {expected}"
        );
        self.optimizer.step(&gradients, rate(step)).unwrap();
        gradients
    }
}

fn optimizer([a, b]: &[Var; 2]) -> AdamW {
    let group = |name: &str, var: &Var, rate, weight_decay| Group {
        variables: vec![(name.to_owned(), var.clone())],
        rate,
        weight_decay,
    };
    AdamW::new(vec![group("a", a, 1.0, 0.1), group("b", b, 0.5, 0.0)], AdamWSettings::default()).unwrap()
}

/// Largest difference beside the largest number.
#[track_caller]
fn assert_near(got: &Tensor, expected: &Tensor, tolerance: f32, what: &str) {
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (got, expected) = (flat(got), flat(expected));
    let size = expected.iter().fold(0f32, |size, value| size.max(value.abs()));
    let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst <= tolerance * size, "{what}: {worst} of {size}");
}

#[test]
fn twenty_steps_are_torchs() {
    let mut rig = Rig::new();
    let mut clipped = 0;
    for step in 0..STEPS {
        let (_, factor) = rig.step(step).get(&rig.variables[0]).map(|(g, f)| (g.clone(), f)).unwrap();
        clipped += usize::from(factor < 1.0);
        for (name, var) in ["a", "b"].iter().zip(&rig.variables) {
            assert_near(var, &rig.row(name, step), 1e-6, &format!("{name} after step {step}"));
        }
    }
    assert!((1..STEPS).contains(&clipped), "the fixture has both kinds: {clipped}");
    for (name, tensor) in rig.optimizer.state().unwrap() {
        assert_near(&tensor, &rig.fixture[&name], 1e-6, &name);
    }
}

#[test]
fn it_goes_on_from_its_state() {
    let mut rig = Rig::new();
    (0..7).for_each(|step| drop(rig.step(step)));
    let state: HashMap<_, _> = rig.optimizer.state().unwrap().into_iter().collect();
    let mut again = optimizer(&rig.variables);
    again.load(&state, rig.optimizer.steps()).unwrap();
    rig.optimizer = again;
    (7..STEPS).for_each(|step| drop(rig.step(step)));
    assert_near(&rig.variables[0], &rig.row("a", STEPS - 1), 1e-6, "a");

    let mut wrong = state.clone();
    wrong.insert("a.exp_avg".into(), state["b.exp_avg"].clone());
    assert!(optimizer(&rig.variables).load(&wrong, 7).unwrap_err().to_string().contains("a.exp_avg"));
    wrong.remove("a.exp_avg");
    assert!(optimizer(&rig.variables).load(&wrong, 7).is_err());
}

#[derive(Deserialize)]
struct Case {
    decay: Decay,
    warmup: usize,
    total: usize,
    factors: Vec<(usize, f64)>,
}

#[test]
fn schedules_are_those_of_transformers() {
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(fixture("schedules.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 6);
    for Case { decay, warmup, total, factors } in cases {
        let schedule = Schedule { rate: 1.0, warmup: warmup as f64 / total as f64, decay, floor: 0.0 };
        for (step, factor) in factors {
            let got = schedule.at(step, total);
            assert!(
                (got - factor).abs() < 1e-12,
                "{decay:?} {warmup}/{total} step {step}: {got}, not {factor}"
            );
        }
    }
}
