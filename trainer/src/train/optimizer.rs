//! AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101), equal to torch's.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor, Var};
use half::{bf16, f16};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::gradients::Gradients;
use crate::{Error, Result};

/// Numbers that one task updates.
const CHUNK: usize = 1 << 14;

/// Numbers of the method.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWSettings {
    /// How slowly the mean of gradients changes. Default: 0.9.
    pub beta1: f64,
    /// How slowly the mean of their squares changes. Default: 0.999.
    pub beta2: f64,
    /// Added to the root of the squares. Default: 1e-8.
    pub epsilon: f64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// Variables that are trained alike.
#[derive(Debug, Clone)]
pub struct Group {
    /// By names that are unique over all groups: checkpoints know the variables by them.
    pub variables: Vec<(String, Var)>,
    /// Factor on the learning rate.
    pub rate: f64,
    /// Share of a weight that a step of rate 1 takes away.
    pub weight_decay: f64,
}

impl Group {
    /// The matrices, which decay, and all others: norms, biases and factors keep their size.
    #[must_use]
    pub fn by_decay(variables: Vec<(String, Var)>, rate: f64, weight_decay: f64) -> [Self; 2] {
        let (matrices, others) = variables.into_iter().partition(|(_, variable)| variable.rank() >= 2);
        [Self { variables: matrices, rate, weight_decay }, Self { variables: others, rate, weight_decay: 0. }]
    }
}

#[derive(Debug)]
struct Parameter {
    name: String,
    variable: Var,
    rate: f64,
    weight_decay: f64,
    moments: Moments,
}

/// Where the means live: beside the code that updates them.
#[derive(Debug)]
enum Moments {
    Host(HostMoments),
    Device { mean: Tensor, square: Tensor, master: Option<Tensor> },
}

/// In f32 whatever the variable's type. A variable of less than 32 bits would lose small steps, so its weights are kept
/// in f32 as well and rounded after each step.
#[derive(Debug)]
struct HostMoments {
    mean: Vec<f32>,
    square: Vec<f32>,
    master: Option<Vec<f32>>,
}

/// The optimiser and its state.
#[derive(Debug)]
pub struct AdamW {
    settings: AdamWSettings,
    parameters: Vec<Parameter>,
    steps: u64,
}

impl AdamW {
    /// Starts with means of zero.
    ///
    /// # Errors
    /// When a name comes twice, or a device has no memory left.
    pub fn new(groups: Vec<Group>, settings: AdamWSettings) -> Result<Self> {
        let mut names = BTreeSet::new();
        let mut parameters = Vec::new();
        for Group { variables, rate, weight_decay } in groups {
            for (name, variable) in variables {
                if !names.insert(name.clone()) {
                    return Err(Error::setting("variables", "each name once", name));
                }
                let moments = if variable.device().is_cpu() { Moments::host } else { Moments::device };
                let moments = moments(&variable).map_err(Error::compute(&name))?;
                parameters.push(Parameter { name, variable, rate, weight_decay, moments });
            }
        }
        Ok(Self { settings, parameters, steps: 0 })
    }

    /// Room for the gradients of its variables.
    #[must_use]
    pub fn gradients(&self) -> Gradients {
        Gradients::new(self.parameters.iter().map(|parameter| parameter.variable.clone()).collect())
    }

    /// Its variables with their names: what a checkpoint has to hold beside [`state`](Self::state).
    pub fn variables(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.parameters.iter().map(|parameter| (parameter.name.as_str(), &parameter.variable))
    }

    /// Steps taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Changes every variable that has a gradient, in place.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step(&mut self, gradients: &Gradients, rate: f64) -> Result<()> {
        self.steps += 1;
        for parameter in &mut self.parameters {
            let Some((gradient, factor)) = gradients.get(&parameter.variable) else { continue };
            let step =
                Step::new(&self.settings, self.steps, factor, rate * parameter.rate, parameter.weight_decay);
            let stepped = match &mut parameter.moments {
                Moments::Host(moments) => {
                    let fused = Fused { step, moments: RefCell::new(moments) };
                    parameter.variable.inplace_op2(gradient, &fused)
                }
                Moments::Device { mean, square, master } => {
                    step.on_device(&parameter.variable, gradient, mean, square, master)
                }
            };
            stepped.map_err(Error::compute(format!("step {}", parameter.name)))?;
        }
        Ok(())
    }

    /// The means by name (`<variable>.exp_avg`, `<variable>.exp_avg_sq`, and `<variable>.master` for one of less than 32
    /// bits), f32, in the variables' shapes.
    ///
    /// # Errors
    /// When memory is out.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = Vec::new();
        for Parameter { name, variable, moments, .. } in &self.parameters {
            let tensors = moments.tensors(variable).map_err(Error::compute(name))?;
            state.extend(tensors.into_iter().map(|(kind, tensor)| (format!("{name}.{kind}"), tensor)));
        }
        Ok(state)
    }

    /// Takes up the state of an optimiser of the same variables after so many `steps`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(&mut self, state: &HashMap<String, Tensor>, steps: u64) -> Result<()> {
        for Parameter { name, variable, moments, .. } in &mut self.parameters {
            let take = |kind: &str| {
                let (key, shape) = (format!("{name}.{kind}"), variable.dims());
                match state.get(&key) {
                    Some(tensor) if tensor.dims() == shape => Ok(tensor),
                    Some(tensor) => {
                        Err(Error::setting(key, &format!("shape {shape:?}"), format!("{:?}", tensor.dims())))
                    }
                    None => Err(Error::setting(key, "a tensor of the optimiser's state", "none")),
                }
            };
            let master = (variable.dtype() != DType::F32).then(|| take(MASTER)).transpose()?;
            let loaded = moments.load(take(MEAN)?, take(SQUARE)?, master, variable.device());
            loaded.map_err(Error::compute(&*name))?;
        }
        self.steps = steps;
        Ok(())
    }
}

/// Names of the state, as torch has them where it has them.
const MEAN: &str = "exp_avg";
const SQUARE: &str = "exp_avg_sq";
const MASTER: &str = "master";

impl Moments {
    fn host(variable: &Var) -> candle_core::Result<Self> {
        let zeros = || vec![0.0; variable.elem_count()];
        let master = (variable.dtype() != DType::F32).then(|| numbers(variable)).transpose()?;
        Ok(Self::Host(HostMoments { mean: zeros(), square: zeros(), master }))
    }

    fn device(variable: &Var) -> candle_core::Result<Self> {
        let zeros = || Tensor::zeros(variable.dims(), DType::F32, variable.device());
        let exact = || variable.as_detached_tensor().to_dtype(DType::F32);
        let master = (variable.dtype() != DType::F32).then(exact).transpose()?;
        Ok(Self::Device { mean: zeros()?, square: zeros()?, master })
    }

    fn tensors(&self, variable: &Var) -> candle_core::Result<Vec<(&'static str, Tensor)>> {
        let tensors = match self {
            Self::Host(HostMoments { mean, square, master }) => {
                let tensor = |values: &Vec<f32>| Tensor::from_slice(values, variable.dims(), &Device::Cpu);
                [Some(tensor(mean)?), Some(tensor(square)?), master.as_ref().map(tensor).transpose()?]
            }
            Self::Device { mean, square, master } => {
                [Some(mean.clone()), Some(square.clone()), master.clone()]
            }
        };
        let named = [MEAN, SQUARE, MASTER].into_iter().zip(tensors);
        Ok(named.filter_map(|(kind, tensor)| Some((kind, tensor?))).collect())
    }

    fn load(
        &mut self,
        new_mean: &Tensor,
        new_square: &Tensor,
        new_master: Option<&Tensor>,
        device: &Device,
    ) -> candle_core::Result<()> {
        match self {
            Self::Host(HostMoments { mean, square, master }) => {
                (*mean, *square) = (numbers(new_mean)?, numbers(new_square)?);
                *master = new_master.map(numbers).transpose()?;
            }
            Self::Device { mean, square, master } => {
                let moved = |tensor: &Tensor| tensor.to_device(device)?.to_dtype(DType::F32);
                (*mean, *square) = (moved(new_mean)?, moved(new_square)?);
                *master = new_master.map(moved).transpose()?;
            }
        }
        Ok(())
    }
}

fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}

/// The numbers of one step of one variable.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// On the gradient.
    factor: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    /// What decay leaves of a weight.
    keep: f64,
    /// The rate, corrected for the mean's start at zero.
    rate: f64,
    /// The root of the correction of the squares.
    root: f64,
}

impl Step {
    fn new(settings: &AdamWSettings, steps: u64, factor: f64, rate: f64, weight_decay: f64) -> Self {
        let AdamWSettings { beta1, beta2, epsilon } = *settings;
        let correction = |beta: f64| 1.0 - beta.powf(steps as f64);
        Self {
            factor,
            beta1,
            beta2,
            epsilon,
            keep: 1.0 - rate * weight_decay,
            rate: rate / correction(beta1),
            root: correction(beta2).sqrt(),
        }
    }

    /// One pass over memory on all cores.
    fn on_host(&self, weights: &mut [f32], mean: &mut [f32], square: &mut [f32], gradient: &[f32]) {
        weights
            .par_chunks_mut(CHUNK)
            .zip(mean.par_chunks_mut(CHUNK))
            .zip(square.par_chunks_mut(CHUNK))
            .zip(gradient.par_chunks(CHUNK))
            .for_each(|(((weights, mean), square), gradient)| self.chunk(weights, mean, square, gradient));
    }

    fn chunk(&self, weights: &mut [f32], mean: &mut [f32], square: &mut [f32], gradient: &[f32]) {
        let [factor, new1, keep2, new2, epsilon, keep, rate, root] = [
            self.factor,
            1.0 - self.beta1,
            self.beta2,
            1.0 - self.beta2,
            self.epsilon,
            self.keep,
            self.rate,
            self.root,
        ]
        .map(|number| number as f32);
        for (((weight, mean), square), gradient) in weights.iter_mut().zip(mean).zip(square).zip(gradient) {
            let gradient = gradient * factor;
            *mean += (gradient - *mean) * new1;
            *square = *square * keep2 + gradient * gradient * new2;
            *weight = *weight * keep - rate * *mean / (square.sqrt() / root + epsilon);
        }
    }

    /// The same with tensor operations.
    fn on_device(
        &self,
        variable: &Var,
        gradient: &Tensor,
        mean: &mut Tensor,
        square: &mut Tensor,
        master: &mut Option<Tensor>,
    ) -> candle_core::Result<()> {
        let gradient = (gradient * self.factor)?;
        *mean = (&*mean + ((&gradient - &*mean)? * (1.0 - self.beta1))?)?;
        *square = ((&*square * self.beta2)? + (gradient.sqr()? * (1.0 - self.beta2))?)?;
        let direction = (&*mean / ((square.sqrt()? / self.root)? + self.epsilon)?)?;
        let weights = master.clone().unwrap_or_else(|| variable.as_detached_tensor());
        let weights = ((weights * self.keep)? - (direction * self.rate)?)?;
        variable.set(&weights.to_dtype(variable.dtype())?)?;
        if master.is_some() {
            *master = Some(weights);
        }
        Ok(())
    }
}

/// A step as an operation on the variable's own memory, with the gradient as its other operand.
struct Fused<'a> {
    step: Step,
    moments: RefCell<&'a mut HostMoments>,
}

impl InplaceOp2 for Fused<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let strided = || candle_core::Error::msg("expected contiguous numbers");
        let (start, end) = layout.contiguous_offsets().ok_or_else(strided)?;
        let from = gradient_layout.contiguous_offsets().ok_or_else(strided)?;
        let gradient = &gradient.as_slice::<f32>()?[from.0..from.1];
        let mut moments = self.moments.borrow_mut();
        let HostMoments { mean, square, master } = &mut **moments;
        let mut exact = |master: &mut Vec<f32>| self.step.on_host(master, mean, square, gradient);
        match (variable, master) {
            (CpuStorage::F32(weights), None) => {
                self.step.on_host(&mut weights[start..end], mean, square, gradient);
            }
            (CpuStorage::BF16(weights), Some(master)) => {
                exact(master);
                round(&mut weights[start..end], master, bf16::from_f32);
            }
            (CpuStorage::F16(weights), Some(master)) => {
                exact(master);
                round(&mut weights[start..end], master, f16::from_f32);
            }
            _ => candle_core::bail!("expected a variable of f32, bf16 or f16"),
        }
        Ok(())
    }
}

fn round<T>(weights: &mut [T], master: &[f32], rounded: impl Fn(f32) -> T) {
    weights.iter_mut().zip(master).for_each(|(weight, &exact)| *weight = rounded(exact));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optimizer(variable: &Var, moments: fn(&Var) -> candle_core::Result<Moments>) -> AdamW {
        let group =
            Group { variables: vec![("w".to_owned(), variable.clone())], rate: 1.0, weight_decay: 0.1 };
        let mut optimizer = AdamW::new(vec![group], AdamWSettings::default()).unwrap();
        optimizer.parameters[0].moments = moments(variable).unwrap();
        optimizer
    }

    /// Eight steps down a bowl; returns the weights and the state.
    fn descend(dtype: DType, moments: fn(&Var) -> candle_core::Result<Moments>) -> (Vec<f32>, AdamW) {
        let start = Tensor::arange(-2f32, 3.0, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let variable = Var::from_tensor(&start).unwrap();
        let mut optimizer = optimizer(&variable, moments);
        for _ in 0..8 {
            let loss = variable.as_tensor().sqr().unwrap().sum_all().unwrap();
            let mut gradients = optimizer.gradients();
            gradients.add(&loss.backward().unwrap()).unwrap();
            gradients.scale(0.5);
            optimizer.step(&gradients, 1e-3).unwrap();
        }
        (numbers(&variable).unwrap(), optimizer)
    }

    #[test]
    fn fused_and_tensor_operations_take_the_same_steps() {
        for dtype in [DType::F32, DType::BF16] {
            let ((fused, _), (plain, _)) = (descend(dtype, Moments::host), descend(dtype, Moments::device));
            for (a, b) in fused.iter().zip(&plain) {
                assert!((a - b).abs() <= 2e-7, "{dtype:?}: {fused:?} {plain:?}");
            }
        }
    }

    #[test]
    fn small_steps_are_not_lost_in_16_bits() {
        // A step of 1e-3 at 2.0 is less than half of bf16's spacing there, 2⁻⁷; eight of them are more.
        let (rounded, optimizer) = descend(DType::BF16, Moments::host);
        assert_eq!(rounded[0], -2.0 + 0.007_812_5);
        let state: HashMap<_, _> = optimizer.state().unwrap().into_iter().collect();
        let master = numbers(&state["w.master"]).unwrap();
        let (exact, _) = descend(DType::F32, Moments::host);
        assert!((exact[0] - master[0]).abs() < 1e-4);
    }

    #[test]
    fn a_name_may_come_once() {
        let variable = Var::zeros(2, DType::F32, &Device::Cpu).unwrap();
        let named = || ("w".to_owned(), variable.clone());
        let group = Group { variables: vec![named(), named()], rate: 1.0, weight_decay: 0.0 };
        assert!(AdamW::new(vec![group], AdamWSettings::default()).is_err());
    }
}
