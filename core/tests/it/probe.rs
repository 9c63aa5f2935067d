//! A decoder around a real one that a test can watch, hold up and break.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use candle_core::{DType, Device, Result, Tensor};
use jnana_models::decoder::{Batch, Decoder, DecoderShape, Span};

/// What a decoder may do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Error,
    Panic,
    /// The first row of logits is not a number.
    Nan,
}

/// The test's side of a probe.
#[derive(Debug, Default)]
pub struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Rows of each span of each step that began.
    steps: Vec<Vec<usize>>,
    gated: bool,
    permits: usize,
    fault: Option<Fault>,
}

impl Control {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// From now on each step waits inside the forward for a permit.
    pub fn close(&self) {
        self.state().gated = true;
    }

    /// Lets `n` steps through.
    pub fn permit(&self, n: usize) {
        self.state().permits += n;
        self.changed.notify_all();
    }

    /// Lets every step through again.
    pub fn open(&self) {
        self.state().gated = false;
        self.changed.notify_all();
    }

    /// The next step goes wrong.
    pub fn break_next(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Rows of each span of each step so far.
    pub fn steps(&self) -> Vec<Vec<usize>> {
        self.state().steps.clone()
    }

    /// Waits until step `n` (from 1) has begun; its rows.
    pub fn wait_for_step(&self, n: usize) -> Vec<usize> {
        let limit = Duration::from_secs(20);
        let (state, timeout) =
            self.changed.wait_timeout_while(self.state(), limit, |s| s.steps.len() < n).unwrap();
        assert!(!timeout.timed_out(), "step {n} did not begin; there were {:?}", state.steps);
        state.steps[n - 1].clone()
    }

    fn enter(&self, spans: &[Span<'_>]) -> Option<Fault> {
        let mut state = self.state();
        state.steps.push(spans.iter().map(|span| span.rows).collect());
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |s| s.gated && s.permits == 0).unwrap();
        state.permits = state.permits.saturating_sub(1);
        match state.fault {
            Some(Fault::Nan) => None,
            _ => state.fault.take(),
        }
    }

    fn wants_nan(&self) -> bool {
        let mut state = self.state();
        let nan = state.fault == Some(Fault::Nan);
        if nan {
            state.fault = None;
        }
        nan
    }
}

/// The decoder with its test's control.
pub struct Probe {
    pub inner: Box<dyn Decoder>,
    pub control: Arc<Control>,
    /// Say the next byte instead of what the network says: `a` is answered by `bcdef…`.
    pub counts: bool,
}

impl Decoder for Probe {
    fn shape(&self) -> &DecoderShape {
        self.inner.shape()
    }

    fn device(&self) -> &Device {
        self.inner.device()
    }

    fn dtype(&self) -> DType {
        self.inner.dtype()
    }

    fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        if !self.counts {
            return self.inner.embed(ids);
        }
        let rows = ids.to_dtype(DType::F32)?.unsqueeze(1)?;
        rows.broadcast_as((ids.dim(0)?, self.shape().width))?.contiguous()
    }

    fn forward_ragged(&self, rows: &Tensor, spans: &mut [Span<'_>]) -> Result<Tensor> {
        match self.control.enter(spans) {
            Some(Fault::Error) => candle_core::bail!("the device is on fire"),
            Some(_) => panic!("a bug in a kernel"),
            None => {}
        }
        let hidden = self.inner.forward_ragged(rows, spans)?;
        if self.counts { Ok(rows.clone()) } else { Ok(hidden) }
    }

    fn batch(&self, shape: (usize, usize), mask: Option<&Tensor>) -> Result<Batch> {
        self.inner.batch(shape, mask)
    }

    fn layer(&self, layer: usize, rows: &Tensor, batch: &Batch) -> Result<Tensor> {
        self.inner.layer(layer, rows, batch)
    }

    fn finish(&self, rows: &Tensor) -> Result<Tensor> {
        self.inner.finish(rows)
    }

    fn losses(&self, hidden: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.inner.losses(hidden, targets)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let logits = if self.counts { self.next_byte(hidden)? } else { self.inner.logits(hidden)? };
        if !self.control.wants_nan() {
            return Ok(logits);
        }
        let (rows, vocab) = logits.dims2()?;
        let broken = Tensor::full(f32::NAN, (1, vocab), self.device())?;
        Tensor::cat(&[broken, logits.narrow(0, 1, rows - 1)?], 0)
    }
}

impl Probe {
    fn next_byte(&self, hidden: &Tensor) -> Result<Tensor> {
        let vocab = self.shape().vocab_size;
        let said = hidden.narrow(1, 0, 1)?.flatten_all()?.to_vec1::<f32>()?;
        let one_hot = said.iter().flat_map(|&id| {
            (0..vocab).map(move |token| if token == (id as usize + 1) % vocab { 10.0 } else { 0.0f32 })
        });
        Tensor::from_vec(one_hot.collect(), (said.len(), vocab), self.device())
    }
}
