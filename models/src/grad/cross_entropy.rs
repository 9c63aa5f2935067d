//! Cross entropy of the next word, straight from hidden states: the logits `[n, vocabulary]` never exist at once.
//!
//! The head is walked through by panels of its rows. Of each hidden row a largest logit and a sum of exponentials run
//! along, as in an online softmax (Milakov and Gimelshein 2018, <https://arxiv.org/abs/1805.02867>), and so does the sum
//! of the head's rows with these exponentials as weights. With it the gradient of a loss is known at the end of the walk,
//! `Σ softmax · W - W[target]`: a frozen head is read once, and the backward pass only scales. A head that is trained is
//! walked through again in the backward pass, for `(softmax - target)ᵀ · hidden`.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, D, DType, Device, Layout, Result, Shape, Tensor, bail};
use candle_nn::ops;
use jnana_kernels::math::{exp, exp_all, largest};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::has_kernels;
use crate::linear::{Linear, Weight};
use crate::values::Values;

const NAME: &str = "cross-entropy";

/// Rows of the head in a panel.
const PANEL: usize = 2048;

/// Minus the logarithm of the probability that `head` gives each target.
///
/// `hidden` is `[n, width]` (the rows that have a target), `targets` u32 `[n]`. Returns `[n]` in f32; its mean is PyTorch's
/// `cross_entropy`. Gradients go to `hidden` and to the head where they are tracked.
///
/// # Errors
/// When shapes disagree, there is no row, or a target is outside the vocabulary.
pub(crate) fn cross_entropy(head: &Linear, hidden: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let (n, words) = (hidden.dim(0)?, head.weight().dims()?.0);
    let ids = targets.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
    if ids.is_empty() || ids.len() != n {
        bail!("{NAME}: expected one target for each of the hidden rows, got {} for {n}", ids.len());
    }
    if let Some(id) = ids.iter().find(|id| **id as usize >= words) {
        bail!("{NAME}: target {id} is outside the vocabulary of {words}");
    }
    let bias_trained = head.bias().is_some_and(Tensor::track_op);
    match head.weight() {
        _ if !has_kernels(hidden) => composed(head, hidden, targets),
        Weight::Dense(weight) if weight.track_op() || bias_trained => match weight.dtype() {
            DType::F32 => with_trained_head(head, weight, hidden, ids),
            _ => composed(head, hidden, targets),
        },
        Weight::Quantized(_) if bias_trained => composed(head, hidden, targets),
        _ => {
            let walk = Walk::through(head, &hidden.detach(), &ids, hidden.track_op())?;
            hidden.apply_op1(Frozen { losses: walk.losses(), gradient: walk.gradient })
        }
    }
}

/// The same from candle's operations.
fn composed(head: &Linear, hidden: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let logarithms = ops::log_softmax(&head.logits(hidden)?, D::Minus1)?;
    logarithms.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?.neg()
}

fn with_trained_head(head: &Linear, weight: &Tensor, hidden: &Tensor, targets: Vec<u32>) -> Result<Tensor> {
    let bias = match head.bias() {
        Some(bias) => bias.clone(),
        None => Tensor::zeros(weight.dim(0)?, DType::F32, weight.device())?,
    };
    let walk = Walk::through(head, &hidden.detach(), &targets, hidden.track_op())?;
    let (losses, logarithms) = (walk.losses(), walk.logarithms());
    let frozen = Frozen { losses, gradient: walk.gradient };
    hidden.contiguous()?.apply_op3(weight, &bias, Trained { frozen, logarithms, targets })
}

/// Starts of the panels of `words` rows, and their lengths.
fn panels(words: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..words).step_by(PANEL).map(move |start| (start, PANEL.min(words - start)))
}

/// What runs along for one hidden row.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// The largest logit so far.
    largest: f32,
    /// Sum of `e^(logit - largest)` so far.
    sum: f32,
    /// What the sums before the last panel were multiplied by when a larger logit came.
    factor: f32,
    /// The target's logit.
    chosen: f32,
}

/// A walk through a whole head.
struct Walk {
    rows: Vec<Row>,
    /// Of each loss with respect to its hidden row, `[n, width]`; `None` when it was not wanted.
    gradient: Option<Tensor>,
}

impl Walk {
    fn through(head: &Linear, hidden: &Tensor, targets: &[u32], wanted: bool) -> Result<Self> {
        let (n, width) = hidden.dims2()?;
        let nothing = Row { largest: f32::NEG_INFINITY, sum: 0., factor: 0., chosen: 0. };
        let mut rows = vec![nothing; n];
        let mut sums = vec![0f32; if wanted { n * width } else { 0 }];
        let bias = head.bias().map(Tensor::detach);
        let bias = bias.as_ref().map(Values::of);
        let bias = bias.as_ref().map(|bias| bias.as_slice(NAME)).transpose()?;
        for (start, len) in panels(head.weight().dims()?.0) {
            let panel = head.weight().panel(start, len)?;
            let logits = hidden.matmul(&panel.t()?)?;
            let bias = bias.map(|bias| &bias[start..start + len]);
            let weights = absorb(&mut rows, &logits, bias, start, targets)?;
            if wanted {
                let weights = Tensor::from_vec(weights, (n, len), hidden.device())?;
                pull(&mut sums, &rows, &weights.matmul(&panel)?)?;
            }
        }
        let gradient = wanted.then(|| gradient(sums, &rows, head.weight(), targets, width)).transpose()?;
        Ok(Self { rows, gradient })
    }

    fn losses(&self) -> Vec<f32> {
        self.rows.iter().map(|row| row.sum.ln() - (row.chosen - row.largest)).collect()
    }

    /// Logarithm of the sum of exponentials, row by row.
    fn logarithms(&self) -> Vec<f32> {
        self.rows.iter().map(|row| row.largest + row.sum.ln()).collect()
    }
}

/// Takes a panel's logits (`[n, len]`, from word `first` on) into account and returns `e^(logit - largest)`.
fn absorb(
    rows: &mut [Row],
    logits: &Tensor,
    bias: Option<&[f32]>,
    first: usize,
    targets: &[u32],
) -> Result<Vec<f32>> {
    let (n, len) = logits.dims2()?;
    let values = Values::of(logits);
    let mut weights = vec![0f32; n * len];
    let parts = weights.par_chunks_mut(len).zip(values.as_slice(NAME)?.par_chunks(len));
    parts.zip(rows).zip(targets).for_each(|(((weights, logits), row), target)| {
        let target = (*target as usize).checked_sub(first).filter(|target| *target < len);
        Arch::new().dispatch(Absorb { weights, logits, bias, target, row });
    });
    Ok(weights)
}

struct Absorb<'a> {
    weights: &'a mut [f32],
    logits: &'a [f32],
    bias: Option<&'a [f32]>,
    /// Where the row's target is, if it is here.
    target: Option<usize>,
    row: &'a mut Row,
}

impl WithSimd for Absorb<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { weights, logits, bias, target, row } = self;
        copy_with_bias(weights, logits, bias);
        if let Some(target) = target {
            row.chosen = weights[target];
        }
        let before = row.largest;
        row.largest = before.max(largest(weights));
        row.factor = exp(before - row.largest);
        row.sum = row.sum * row.factor + exp_all(weights, row.largest);
    }
}

#[inline(always)]
fn copy_with_bias(to: &mut [f32], logits: &[f32], bias: Option<&[f32]>) {
    to.copy_from_slice(logits);
    if let Some(bias) = bias {
        to.iter_mut().zip(bias).for_each(|(logit, bias)| *logit += bias);
    }
}

/// Adds a panel's weighted rows (`[n, width]`) to the running sums.
fn pull(sums: &mut [f32], rows: &[Row], weighted: &Tensor) -> Result<()> {
    let width = weighted.dim(1)?;
    let values = Values::of(weighted);
    let parts = sums.par_chunks_mut(width).zip(values.as_slice(NAME)?.par_chunks(width)).zip(rows);
    parts.for_each(|((sums, weighted), row)| {
        sums.iter_mut().zip(weighted).for_each(|(sum, weighted)| *sum = *sum * row.factor + weighted);
    });
    Ok(())
}

/// `Σ softmax · W - W[target]`, `[n, width]`.
fn gradient(
    mut sums: Vec<f32>,
    rows: &[Row],
    weight: &Weight,
    targets: &[u32],
    width: usize,
) -> Result<Tensor> {
    let targets = Tensor::new(targets, &Device::Cpu)?;
    let chosen = weight.select(&targets)?.detach().to_dtype(DType::F32)?;
    let values = Values::of(&chosen);
    let parts = sums.par_chunks_mut(width).zip(values.as_slice(NAME)?.par_chunks(width)).zip(rows);
    parts.for_each(|((sums, chosen), row)| {
        let scale = 1. / row.sum;
        sums.iter_mut().zip(chosen).for_each(|(sum, chosen)| *sum = *sum * scale - chosen);
    });
    Tensor::from_vec(sums, (rows.len(), width), &Device::Cpu)
}

/// Losses that are known already, and their gradient.
struct Frozen {
    losses: Vec<f32>,
    gradient: Option<Tensor>,
}

impl Frozen {
    fn result(&self) -> (CpuStorage, Shape) {
        (CpuStorage::F32(self.losses.clone()), Shape::from(self.losses.len()))
    }

    fn backward(&self, gradient: &Tensor) -> Result<Option<Tensor>> {
        let by_row = gradient.unsqueeze(1)?;
        self.gradient.as_ref().map(|hidden| hidden.broadcast_mul(&by_row)).transpose()
    }
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, _hidden: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(self.result())
    }

    fn bwd(&self, _hidden: &Tensor, _losses: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        self.backward(gradient)
    }
}

/// The same with a head that is trained.
struct Trained {
    frozen: Frozen,
    /// Logarithms of the sums of exponentials.
    logarithms: Vec<f32>,
    targets: Vec<u32>,
}

impl CustomOp3 for Trained {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _hidden: &CpuStorage,
        _hidden_layout: &Layout,
        _weight: &CpuStorage,
        _weight_layout: &Layout,
        _bias: &CpuStorage,
        _bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(self.frozen.result())
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _losses: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (words, width) = weight.dims2()?;
        let (hidden, frozen) = (hidden.detach(), weight.detach());
        let mut dweight = vec![0f32; words * width];
        let mut dbias = Vec::with_capacity(words);
        for (start, len) in panels(words) {
            let panel = frozen.narrow(0, start, len)?;
            let dlogits = self.dlogits(&hidden.matmul(&panel.t()?)?, bias, start, gradient)?;
            let product = dlogits.t()?.matmul(&hidden)?;
            let values = Values::of(&product);
            dweight[start * width..][..len * width].copy_from_slice(values.as_slice(NAME)?);
            if bias.track_op() {
                dbias.extend(dlogits.sum(0)?.to_vec1::<f32>()?);
            }
        }
        let dweight = weight.track_op().then(|| Tensor::from_vec(dweight, (words, width), weight.device()));
        let dbias = bias.track_op().then(|| Tensor::from_vec(dbias, words, bias.device()));
        Ok((self.frozen.backward(gradient)?, dweight.transpose()?, dbias.transpose()?))
    }
}

impl Trained {
    /// Gradients of a panel's logits, from word `first` on: `gradient · (softmax - target)`.
    fn dlogits(&self, logits: &Tensor, bias: &Tensor, first: usize, gradient: &Tensor) -> Result<Tensor> {
        let (n, len) = logits.dims2()?;
        let gradient = gradient.contiguous()?;
        let (logits, biases, gradients) = (Values::of(logits), Values::of(bias), Values::of(&gradient));
        let bias = &biases.as_slice(NAME)?[first..first + len];
        let mut dlogits = vec![0f32; n * len];
        let rows = dlogits.par_chunks_mut(len).zip(logits.as_slice(NAME)?.par_chunks(len));
        let rows = rows.zip(gradients.as_slice(NAME)?).zip(&self.logarithms).zip(&self.targets);
        rows.for_each(|((((dlogits, logits), gradient), logarithm), target)| {
            Arch::new().dispatch(Softmax {
                dlogits,
                logits,
                bias,
                logarithm: *logarithm,
                gradient: *gradient,
            });
            let target = (*target as usize).checked_sub(first);
            if let Some(at) = target.and_then(|target| dlogits.get_mut(target)) {
                *at -= gradient;
            }
        });
        Tensor::from_vec(dlogits, (n, len), &Device::Cpu)
    }
}

/// One row's `gradient · softmax`.
struct Softmax<'a> {
    dlogits: &'a mut [f32],
    logits: &'a [f32],
    bias: &'a [f32],
    logarithm: f32,
    gradient: f32,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for ((dlogit, logit), bias) in self.dlogits.iter_mut().zip(self.logits).zip(self.bias) {
            *dlogit = exp(logit + bias - self.logarithm) * self.gradient;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::Var;
    use candle_core::quantized::{GgmlDType, QTensor};

    use super::*;
    use crate::grad::testing::{assert_same_gradients, normal, relative_difference};
    use crate::ops::Mode;

    fn head(weight: &Tensor, bias: Option<&Tensor>) -> Linear {
        Linear::new(Weight::Dense(weight.clone()), bias.cloned(), Mode::Training)
    }

    fn targets(n: usize, words: usize) -> Tensor {
        let ids: Vec<u32> = (0..n).map(|i| ((i * 7919 + words - 1) % words) as u32).collect();
        Tensor::from_vec(ids, n, &Device::Cpu).unwrap()
    }

    fn variable(shape: &[usize], deviation: f32) -> Var {
        Var::from_tensor(&normal(shape, deviation)).unwrap()
    }

    /// Rows, width, words: less than a panel, a whole one, and a rest.
    const SIZES: [(usize, usize, usize); 4] =
        [(1, 8, 3), (5, 24, 72), (33, 16, PANEL), (7, 16, 2 * PANEL + 77)];

    #[test]
    fn a_frozen_head_gives_the_composed_form() {
        for (n, width, words) in SIZES {
            let (weight, bias, hidden) =
                (normal(&[words, width], 1.), normal(&[words], 3.), variable(&[n, width], 2.));
            for bias in [None, Some(&bias)] {
                let (head, targets) = (head(&weight, bias), targets(n, words));
                let ours = cross_entropy(&head, &hidden, &targets).unwrap();
                assert_same_gradients(&ours, &composed(&head, &hidden, &targets).unwrap(), &[&hidden]);
            }
        }
    }

    #[test]
    fn a_trained_head_gives_the_composed_form() {
        for (n, width, words) in SIZES {
            let (weight, bias) = (variable(&[words, width], 1.), variable(&[words], 1.));
            let (hidden, targets) = (variable(&[n, width], 2.), targets(n, words));
            let with_bias = head(&weight, Some(bias.as_tensor()));
            let ours = cross_entropy(&with_bias, &hidden, &targets).unwrap();
            let composed_form = composed(&with_bias, &hidden, &targets).unwrap();
            assert_same_gradients(&ours, &composed_form, &[&hidden, &weight, &bias]);
            let plain = head(&weight, None);
            let ours = cross_entropy(&plain, &hidden, &targets).unwrap();
            assert_same_gradients(&ours, &composed(&plain, &hidden, &targets).unwrap(), &[&hidden, &weight]);
        }
    }

    #[test]
    fn blocks_are_read_as_their_numbers() {
        let (words, width) = (PANEL + 40, 64);
        let blocks = QTensor::quantize(&normal(&[words, width], 1.), GgmlDType::Q8_0).unwrap();
        let dense = head(&blocks.dequantize(&Device::Cpu).unwrap(), None);
        let quantized = Linear::new(Weight::Quantized(Arc::new(blocks)), None, Mode::Training);
        let (hidden, targets) = (variable(&[9, width], 1.), targets(9, words));
        let ours = cross_entropy(&quantized, &hidden, &targets).unwrap();
        assert_same_gradients(&ours, &composed(&dense, &hidden, &targets).unwrap(), &[&hidden]);
    }

    #[test]
    fn evaluation_needs_no_gradient() {
        let (weight, hidden, targets) = (normal(&[72, 8], 1.), normal(&[5, 8], 1.), targets(5, 72));
        let head = head(&weight, None);
        let ours = cross_entropy(&head, &hidden, &targets).unwrap();
        assert!(!ours.track_op());
        assert!(relative_difference(&ours, &composed(&head, &hidden, &targets).unwrap()) < 1e-5);
    }

    #[test]
    fn logits_far_from_zero_stay_numbers() {
        let (weight, hidden) = (normal(&[72, 8], 1e3), variable(&[5, 8], 10.));
        let losses = cross_entropy(&head(&weight, None), &hidden, &targets(5, 72)).unwrap();
        let gradients = losses.mean_all().unwrap().backward().unwrap();
        for tensor in [&losses, &gradients.get(&hidden).unwrap().flatten_all().unwrap()] {
            assert!(tensor.to_vec1::<f32>().unwrap().iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn targets_that_do_not_fit_are_refused() {
        let (weight, hidden) = (normal(&[72, 8], 1.), normal(&[2, 8], 1.));
        let refuse = |ids: &[u32]| {
            let targets = Tensor::new(ids, &Device::Cpu).unwrap();
            cross_entropy(&head(&weight, None), &hidden, &targets).unwrap_err().to_string()
        };
        assert!(refuse(&[1, 72]).contains("target 72 is outside the vocabulary of 72"));
        assert!(refuse(&[1]).contains("got 1 for 2"));
    }
}
