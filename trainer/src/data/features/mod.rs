//! What the frozen vision encoder makes of every picture, computed once.
//!
//! [`Features::prepare`] looks every picture up by the hash of its file's bytes in the one file of its encoder and
//! preprocessing, and computes what is not there. It can be ended at any moment; the next run goes on.

mod encode;
mod file;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use half::f16;
use jnana_media::{Fit, Picture};
use jnana_models::vision::VisionEncoder;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use self::encode::{Job, encode, features_of};
pub use self::file::FeatureKey;
use self::file::{Appender, Hash, Mapped};
use super::faults::{Fault, Faults};
use crate::{Error, Result};

/// Pictures that are looked up between two reports.
const LOOK_UP: usize = 256;

/// Distance of two encoders' features of the probe, relative to their size, up to which they are taken as the same encoder:
/// devices and number types round differently.
const SAME_ENCODER: f32 = 0.05;

/// How far the preparation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filling {
    /// All pictures.
    pub total: usize,
    /// Those whose features are in the file.
    pub ready: usize,
    /// Those of them that were encoded by this call.
    pub encoded: usize,
    /// Those that cannot be used.
    pub broken: usize,
}

/// Features of pictures, in a memory-mapped file.
#[derive(Debug)]
pub struct Features {
    file: Mapped,
    key: FeatureKey,
    numbers: HashMap<PathBuf, u32>,
    faults: Vec<Fault>,
}

impl Features {
    /// Makes sure that the features of all `pictures` are in `folder`: decoding runs ahead of encoding on other threads.
    /// A second process that wants the same file waits for the first. `progress` is told often and can end the work.
    ///
    /// # Errors
    /// When more than a share of `max_broken` of the pictures is broken, the file belongs to another encoder, cannot be
    /// written, or `progress` says so ([`Error::Stopped`]; what was done is kept).
    pub fn prepare(
        folder: &Path,
        encoder: &VisionEncoder,
        fit: Fit,
        pictures: &[PathBuf],
        max_broken: f64,
        progress: &mut dyn FnMut(Filling) -> ControlFlow<()>,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let key = FeatureKey::new(encoder.spec(), fit);
        let path = folder.join(key.file_name()?);
        // Holds the file's lock until it is dropped.
        let mut appender = Appender::open(&path, &key)?;
        check_encoder(encoder, &Mapped::open(&path, &key)?, &mut appender)?;

        let mut faults = Faults::new("pictures", pictures.len(), max_broken);
        let mut filling = Filling { total: pictures.len(), ..Filling::default() };
        let mut report = |filling: Filling| match progress(filling) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped { while_doing: "encoding pictures" }),
        };
        let mut look_up =
            LookUp { file: Mapped::open(&path, &key)?, paths: HashMap::new(), missing: Vec::new() };
        for chunk in pictures.chunks(LOOK_UP) {
            filling.ready += look_up.chunk(chunk, &mut faults)?;
            filling.broken = faults.count();
            report(filling)?;
        }
        let LookUp { mut paths, missing, .. } = look_up;
        encode(encoder, fit, &missing, |job, result| {
            match result {
                Ok(values) => {
                    appender.push(&job.hash, values)?;
                    filling.encoded += 1;
                    filling.ready += paths.get(&job.hash).map_or(0, Vec::len);
                }
                Err(reason) => {
                    paths.remove(&job.hash);
                    faults.skip(job.path.display().to_string(), reason)?;
                    filling.broken = faults.count();
                }
            }
            report(filling)
        })?;
        appender.finish()?;
        let file = Mapped::open(&path, &key)?;
        let numbered = paths.into_iter().filter_map(|(hash, paths)| Some((file.find(&hash)?, paths)));
        let numbers =
            numbered.flat_map(|(number, paths)| paths.into_iter().map(move |path| (path, number))).collect();
        Ok(Self { file, key, numbers, faults: faults.into_list() })
    }

    /// The number of a picture; `None` for one that was skipped or not asked for.
    #[must_use]
    pub fn number(&self, picture: &Path) -> Option<u32> {
        self.numbers.get(picture).copied()
    }

    /// The features of the picture with this number, `[positions, width]` row by row.
    ///
    /// # Errors
    /// When the file has changed since it was prepared.
    pub fn of(&self, number: u32) -> Result<&[f16]> {
        self.file.values(number).ok_or_else(|| Error::File {
            path: self.file.path().to_owned(),
            expected: format!("features with their checksum as entry {number}"),
            got: "other bytes; start the run again, they are computed anew".to_owned(),
        })
    }

    /// Positions of a picture.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.key.positions
    }

    /// Width of a position's features.
    #[must_use]
    pub fn width(&self) -> usize {
        self.key.width
    }

    /// Where the features are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Pictures that were skipped.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

/// Finds out which pictures the file has.
struct LookUp {
    file: Mapped,
    /// Files by their content.
    paths: HashMap<Hash, Vec<PathBuf>>,
    missing: Vec<Job>,
}

impl LookUp {
    /// Returns how many of `pictures` the file has, undamaged.
    fn chunk(&mut self, pictures: &[PathBuf], faults: &mut Faults) -> Result<usize> {
        let look = |path: &PathBuf| -> Result<(PathBuf, Hash, bool), String> {
            let hash: Hash = Sha256::digest(std::fs::read(path).map_err(|error| error.to_string())?).into();
            let ready = self.file.find(&hash).is_some_and(|number| self.file.values(number).is_some());
            Ok((path.clone(), hash, ready))
        };
        let looked: Vec<_> =
            pictures.par_iter().map(|path| (path.display().to_string(), look(path))).collect();
        let mut found = 0;
        for (path, hash, ready) in faults.sift(looked)? {
            let same = self.paths.entry(hash).or_default();
            if ready {
                found += 1;
            } else if same.is_empty() {
                self.missing.push(Job { hash, path: path.clone() });
            }
            same.push(path);
        }
        Ok(found)
    }
}

/// [`FeatureKey`] tells networks and sizes apart, not weights. The file's first entry are the features of a picture that
/// everybody can draw; an encoder that makes something else of it is another one.
fn check_encoder(encoder: &VisionEncoder, file: &Mapped, appender: &mut Appender) -> Result<()> {
    let hash: Hash = Sha256::digest(b"probe").into();
    let features = features_of(encoder, &[&probe(encoder.spec().input_size)])?;
    let Some(stored) = file.find(&hash).and_then(|number| file.values(number)) else {
        return appender.push(&hash, &features);
    };
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
    let distance = square(&mut stored.iter().zip(&features).map(|(a, b)| a.to_f32() - b.to_f32()));
    let size = square(&mut features.iter().map(|value| value.to_f32()));
    if distance.sqrt() <= SAME_ENCODER * size.sqrt() {
        return Ok(());
    }
    Err(Error::File {
        path: file.path().to_owned(),
        expected: format!("features of the encoder {} as it is loaded", encoder.spec().id),
        got: "features that other weights of the same shape made; delete the file or take another folder"
            .to_owned(),
    })
}

/// Stripes and gradients of all colours.
fn probe(side: usize) -> Picture {
    let pixels = (0..side * side).flat_map(|i| {
        let (x, y) = (i % side, i / side);
        [x * 255 / side, y * 255 / side, (x * y) % 256].map(|colour| colour as u8)
    });
    Picture { width: side as u32, height: side as u32, pixels: pixels.collect() }
}
