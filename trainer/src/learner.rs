//! What learns: a decoder with a projector before it and an adapter in it, and which of their numbers are variables.

use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor, Var};
use jnana_models::adapter::Adapter;
use jnana_models::decoder::Decoder;
use jnana_models::projector::Projector;

use crate::data::batch::Batch;
use crate::train::gradients::Gradients;
use crate::{Error, Result};

/// A network in training.
pub struct Learner {
    /// The language model, loaded for training.
    pub decoder: Box<dyn Decoder>,
    /// Between the encoder's features and the decoder, where there are pictures.
    pub projector: Option<Projector>,
    /// In the decoder's linears, in stage 2.
    pub adapter: Option<Arc<Adapter>>,
}

impl Learner {
    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.decoder.device()
    }

    /// Cross entropy of every target of a batch, `[m]` in f32, differentiable with respect to all variables.
    ///
    /// # Errors
    /// When shapes disagree, or a batch has pictures and there is no projector.
    pub fn losses(&self, batch: &Batch) -> Result<Tensor> {
        self.check(batch)?;
        let losses = || {
            let hidden = self.decoder.forward_padded(&self.input(batch)?, batch.mask.as_ref())?;
            self.decoder.losses(&batch.predicting_rows(&hidden)?, &batch.targets)
        };
        losses().map_err(Error::compute("the loss of a batch"))
    }

    /// Adds the gradients of a batch's losses to `gradients` and returns the sum of these losses, in nats. With `recompute`
    /// nothing is kept of the layers but what goes into each, and they are computed once more on the way back (Chen et al.
    /// 2016, <https://arxiv.org/abs/1604.06174>): a fraction of the memory for a third more time.
    ///
    /// # Errors
    /// When shapes disagree, or a batch has pictures and there is no projector.
    pub fn backward(&self, batch: &Batch, recompute: bool, gradients: &mut Gradients) -> Result<f64> {
        let compute = || Error::compute("the gradient of a batch");
        if recompute {
            self.check(batch)?;
            return self.layer_by_layer(batch, gradients).map_err(compute());
        }
        let sum = self.losses(batch)?.sum_all().map_err(compute())?;
        gradients.add(&sum.backward().map_err(compute())?).map_err(compute())?;
        number(&sum).map_err(compute())
    }

    /// The likeliest token at each target of a batch, `[m]`.
    ///
    /// # Errors
    /// When shapes disagree, or a batch has pictures and there is no projector.
    pub fn likeliest(&self, batch: &Batch) -> Result<Vec<u32>> {
        self.check(batch)?;
        let likeliest = || {
            let batch = batch.to_device(self.device())?;
            let hidden = self.decoder.forward_padded(&self.input(&batch)?, batch.mask.as_ref())?;
            let logits = self.decoder.logits(&batch.predicting_rows(&hidden)?)?;
            logits.argmax(D::Minus1)?.to_vec1()
        };
        likeliest().map_err(Error::compute("the likeliest tokens of a batch"))
    }

    fn check(&self, batch: &Batch) -> Result<()> {
        match (&self.projector, &batch.features) {
            (None, Some(_)) => {
                Err(Error::setting("vision", "a projector for the pictures of the data", "none"))
            }
            _ => Ok(()),
        }
    }

    /// What the decoder is fed, `[b, t, width]`.
    fn input(&self, batch: &Batch) -> candle_core::Result<Tensor> {
        let pair = self.projector.as_ref().zip(batch.features.as_ref());
        let projected = pair
            .map(|(projector, features)| projector.forward(features)?.to_dtype(self.decoder.dtype()))
            .transpose()?;
        batch.input(&self.decoder.embed(&batch.ids)?, projected.as_ref())
    }

    fn layer_by_layer(&self, batch: &Batch, gradients: &mut Gradients) -> candle_core::Result<f64> {
        let input = self.input(batch)?;
        let (b, t, width) = input.dims3()?;
        let pass = self.decoder.batch((b, t), batch.mask.as_ref())?;
        let mut rows = input.detach().reshape((b * t, width))?;
        let mut kept = Vec::new();
        for layer in 0..self.decoder.shape().layers {
            let dropout = self.dropout();
            let next = self.decoder.layer(layer, &rows, &pass)?.detach();
            kept.push((layer, std::mem::replace(&mut rows, next), dropout));
        }
        let last = Var::from_tensor(&rows)?;
        let hidden = self.decoder.finish(&last)?.reshape((b, t, width))?;
        let sum = self.decoder.losses(&batch.predicting_rows(&hidden)?, &batch.targets)?.sum_all()?;
        let mut above = add(gradients, &sum.backward()?, &last)?;
        let ahead = self.dropout();
        for (layer, rows, dropout) in kept.into_iter().rev() {
            let rows = Var::from_tensor(&rows)?;
            self.restore_dropout(dropout);
            let out = self.decoder.layer(layer, &rows, &pass)?;
            above = add(gradients, &(out * above)?.sum_all()?.backward()?, &rows)?;
        }
        self.restore_dropout(ahead);
        gradients.add(&(input * above.reshape((b, t, width))?)?.sum_all()?.backward()?)?;
        number(&sum)
    }

    fn dropout(&self) -> Option<u64> {
        self.adapter.as_ref().map(|adapter| adapter.dropout_state())
    }

    fn restore_dropout(&self, state: Option<u64>) {
        if let (Some(adapter), Some(state)) = (&self.adapter, state) {
            adapter.restore_dropout(state);
        }
    }
}

/// Adds what reached the variables; returns what reached `rows`.
fn add(gradients: &mut Gradients, found: &GradStore, rows: &Var) -> candle_core::Result<Tensor> {
    gradients.add(found)?;
    match found.get(rows) {
        Some(gradient) => Ok(gradient.detach()),
        None => candle_core::bail!("no gradient reached what goes into a layer"),
    }
}

fn number(sum: &Tensor) -> candle_core::Result<f64> {
    Ok(f64::from(sum.to_dtype(DType::F32)?.to_scalar::<f32>()?))
}

/// Variables that an optimiser steps, by name.
pub type Variables = Vec<(String, Var)>;
