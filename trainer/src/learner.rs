//! What learns: a decoder with a projector before it and an adapter in it, and which of their numbers are variables.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use jnana_models::adapter::Adapter;
use jnana_models::decoder::Decoder;
use jnana_models::projector::Projector;

use crate::data::batch::Batch;
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
        let projected = match (&self.projector, &batch.features) {
            (Some(projector), Some(features)) => Some((projector, features)),
            (None, Some(_)) => {
                return Err(Error::setting("vision", "a projector for the pictures of the data", "none"));
            }
            (_, None) => None,
        };
        let losses = || {
            let projected = projected
                .map(|(projector, features)| projector.forward(features)?.to_dtype(self.decoder.dtype()))
                .transpose()?;
            let input = batch.input(&self.decoder.embed(&batch.ids)?, projected.as_ref())?;
            let hidden = self.decoder.forward_padded(&input, batch.mask.as_ref())?;
            self.decoder.losses(&batch.predicting_rows(&hidden)?, &batch.targets)
        };
        losses().map_err(Error::compute("the loss of a batch"))
    }
}

/// Variables that an optimiser steps, by name.
pub type Variables = Vec<(String, Var)>;
