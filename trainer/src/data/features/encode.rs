//! Pictures through the encoder: files are decoded ahead of it on other threads.

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;

use candle_core::{DType, Device, Tensor};
use half::f16;
use jnana_media::{Fit, ImageLimits, Picture, decode_image, fit, normalize_chw};
use jnana_models::vision::VisionEncoder;
use rayon::prelude::*;

use super::file::Hash;
use crate::{Error, Result};

/// Pictures that the encoder gets at once.
const BATCH: usize = 16;
/// Decoded batches that wait for the encoder.
const AHEAD: usize = 2;

/// A picture to encode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) hash: Hash,
    pub(super) path: PathBuf,
}

/// Encodes all `jobs` in their order. `done` gets each with its features `[n, d]`, or with the reason why there are none; an
/// error of it ends the work.
pub(super) fn encode(
    encoder: &VisionEncoder,
    how: Fit,
    jobs: &[Job],
    mut done: impl FnMut(&Job, Result<&[f16], String>) -> Result<()>,
) -> Result<()> {
    let side = encoder.spec().input_size as u32;
    thread::scope(|scope| {
        let (sender, batches) = sync_channel(AHEAD);
        scope.spawn(move || {
            for batch in jobs.chunks(BATCH) {
                let decoded: Vec<_> = batch.par_iter().map(|job| read(&job.path, how, side)).collect();
                if sender.send((batch, decoded)).is_err() {
                    return;
                }
            }
        });
        for (batch, decoded) in batches {
            let pictures: Vec<&Picture> = decoded.iter().flatten().collect();
            let features = features_of(encoder, &pictures)?;
            let spec = encoder.spec();
            let mut rows = features.chunks_exact(spec.positions * spec.width);
            for (job, picture) in batch.iter().zip(&decoded) {
                let row = |_| rows.next().ok_or_else(|| "the encoder left it out".to_owned());
                done(job, picture.as_ref().map_err(String::clone).and_then(row).and_then(finite))?;
            }
        }
        Ok(())
    })
}

/// A picture as the server would hand it to the encoder.
fn read(path: &Path, how: Fit, side: u32) -> Result<Picture, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let picture = decode_image(&bytes, &ImageLimits::default()).map_err(|error| error.to_string())?;
    Ok(fit(&picture, side, side, how))
}

/// The features of `pictures` that have the encoder's size, `[pictures, n, d]`.
pub(super) fn features_of(encoder: &VisionEncoder, pictures: &[&Picture]) -> Result<Vec<f16>> {
    if pictures.is_empty() {
        return Ok(Vec::new());
    }
    let spec = encoder.spec();
    let pixels: Vec<f32> =
        pictures.iter().flat_map(|picture| normalize_chw(picture, spec.mean, spec.std)).collect();
    let shape = (pictures.len(), 3, spec.input_size, spec.input_size);
    let pixels = Tensor::from_vec(pixels, shape, &Device::Cpu).map_err(Error::compute("pixels"))?;
    let features = encoder.features(&pixels)?;
    let flat = || features.flatten_all()?.to_dtype(DType::F16)?.to_device(&Device::Cpu)?.to_vec1();
    flat().map_err(Error::compute("features as f16"))
}

fn finite(values: &[f16]) -> Result<&[f16], String> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err("its features are not finite numbers".to_owned())
}
