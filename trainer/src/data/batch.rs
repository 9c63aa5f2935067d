//! Examples side by side as tensors.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::example::Example;
use super::features::Features;
use crate::{Error, Result};

/// A batch of `b` examples, padded on the right to the longest of them, `t` positions.
///
/// Positions are counted through the whole batch: position `i` of row `r` is `r·t + i`.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[b, t]`, u32. Padding and pictures have an id that means nothing.
    pub ids: Tensor,
    /// `[b, t]`, u8: 0 at padding, 1 at what a row begins with, from 2 on at its branches. `None` when all is 1.
    pub mask: Option<Tensor>,
    /// The pictures' features `[p, n, d]`, f32; `None` when no example has a picture.
    pub features: Option<Tensor>,
    /// `[b·t]`, u32: what stands at each position, as a row of the embedded ids `[b·t]` followed by the projected features
    /// `[p·n]`.
    pub origin: Tensor,
    /// `[m]`, u32: the positions whose logits count.
    pub predicting: Tensor,
    /// `[m]`, u32: the tokens that they should predict.
    pub targets: Tensor,
    /// The record of each row.
    pub records: Vec<String>,
    /// Real positions, padding not counted.
    pub positions: usize,
}

impl Batch {
    /// A copy on `device`.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn to_device(&self, device: &Device) -> candle_core::Result<Self> {
        let moved = |tensor: &Option<Tensor>| tensor.as_ref().map(|t| t.to_device(device)).transpose();
        Ok(Self {
            ids: self.ids.to_device(device)?,
            mask: moved(&self.mask)?,
            features: moved(&self.features)?,
            origin: self.origin.to_device(device)?,
            predicting: self.predicting.to_device(device)?,
            targets: self.targets.to_device(device)?,
            records: self.records.clone(),
            positions: self.positions,
        })
    }

    /// What a decoder is fed, `[b, t, width]`: `embedded` is the ids' embeddings `[b, t, width]`, `projected` the projected
    /// features `[p, n, width]`. Gradients flow to both.
    ///
    /// # Errors
    /// When shapes disagree.
    pub fn input(&self, embedded: &Tensor, projected: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let Some(projected) = projected else { return Ok(embedded.clone()) };
        let shape = embedded.dims3()?;
        let rows = Tensor::cat(&[embedded.flatten_to(1)?, projected.flatten_to(1)?], 0)?;
        rows.index_select(&self.origin, 0)?.reshape(shape)
    }

    /// The hidden states `[b, t, width]` whose logits count, `[m, width]`: a head is costly, and most positions are no target.
    ///
    /// # Errors
    /// When shapes disagree.
    pub fn predicting_rows(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        hidden.flatten_to(1)?.index_select(&self.predicting, 0)
    }

    /// Tokens that count in the loss.
    #[must_use]
    pub fn target_count(&self) -> usize {
        self.targets.elem_count()
    }
}

/// Puts examples into batches.
#[derive(Debug, Clone)]
pub struct Collator {
    /// All examples; a plan names them by their numbers.
    pub examples: Arc<Vec<Example>>,
    /// The pictures' features, where there are pictures.
    pub features: Option<Arc<Features>>,
    /// The id at padding.
    pub filler: u32,
}

impl Collator {
    /// The batch of the examples with these `numbers`.
    ///
    /// # Errors
    /// When there are no such examples, or a picture's features are damaged.
    pub fn collate(&self, numbers: &[u32]) -> Result<Batch> {
        let rows = numbers
            .iter()
            .map(|&number| self.examples.get(number as usize).ok_or_else(|| unknown(number)))
            .collect::<Result<Vec<_>>>()?;
        let t = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let positions = rows.iter().map(|row| row.ids.len()).sum();
        let (b, padded) = (rows.len(), rows.len() * t);
        let plain = positions == padded && rows.iter().all(|row| row.branches.is_empty());

        let mut ids = vec![self.filler; padded];
        let mut mask = vec![0u8; padded];
        let mut origin: Vec<u32> = (0..padded as u32).collect();
        let (mut predicting, mut targets) = (Vec::new(), Vec::new());
        let mut features: Vec<f32> = Vec::new();
        let mut pictures = 0;
        for (row, example) in rows.iter().enumerate() {
            let (start, end) = (row * t, row * t + example.ids.len());
            ids[start..end].copy_from_slice(&example.ids);
            mark(&mut mask[start..end], &example.branches);
            for slot in &example.slots {
                let (n, values) = self.picture(slot.picture)?;
                let place = origin.iter_mut().skip(start + slot.position).take(n);
                place.zip(padded + pictures * n..).for_each(|(from, feature)| *from = feature as u32);
                features.extend(values.iter().map(|value| value.to_f32()));
                pictures += 1;
            }
            predicting.extend(example.targets.iter().map(|target| (start + target.position) as u32));
            targets.extend(example.targets.iter().map(|target| target.token));
        }

        let tensors = || -> candle_core::Result<Batch> {
            let cpu = &Device::Cpu;
            let shape =
                self.features.as_ref().filter(|_| pictures > 0).map(|f| (pictures, f.positions(), f.width()));
            Ok(Batch {
                ids: Tensor::from_vec(ids, (b, t), cpu)?,
                mask: if plain { None } else { Some(Tensor::from_vec(mask, (b, t), cpu)?) },
                features: shape.map(|shape| Tensor::from_vec(features, shape, cpu)).transpose()?,
                origin: Tensor::from_vec(origin, padded, cpu)?,
                predicting: Tensor::from_vec(predicting, targets.len(), cpu)?,
                targets: Tensor::from_slice(&targets, targets.len(), cpu)?,
                records: rows.iter().map(|row| row.record.clone()).collect(),
                positions,
            })
        };
        tensors().map_err(Error::compute("put a batch together"))
    }

    /// A picture's positions and features.
    fn picture(&self, number: u32) -> Result<(usize, &[half::f16])> {
        let features = self.features.as_ref().ok_or_else(|| {
            Error::setting("data", "the features of the pictures", "examples with pictures and none")
        })?;
        Ok((features.positions(), features.of(number)?))
    }
}

/// 1 up to the first branch, then 2 for it, 3 for the second, …
fn mark(mask: &mut [u8], branches: &[usize]) {
    mask.fill(1);
    for (&start, mark) in branches.iter().zip(2..) {
        mask[start..].fill(mark);
    }
}

fn unknown(number: u32) -> Error {
    Error::setting("batch", "the number of an example", number)
}
