//! What an evaluated model sees: the pictures' features through its projector, the right ones or shuffled ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use jnana_core::request::Embeddings;
use jnana_models::projector::Projector;

use crate::assemble::{Places, below, see};
use crate::data::features::Features;
use crate::data::record::{Record, pictures};
use crate::recipe::VisionRecipe;
use crate::train::interrupt::Interrupt;
use crate::{Error, Result};

/// What shows pictures to a decoder.
pub(super) struct Sight {
    pub(super) features: Arc<Features>,
    pub(super) projector: Projector,
    device: Device,
    /// Each picture with the one that stands for it when they are shuffled.
    others: BTreeMap<PathBuf, PathBuf>,
}

impl Sight {
    pub(super) fn open(
        vision: &VisionRecipe,
        records: &[Record],
        max_broken: f64,
        places: &Places,
        interrupt: &Interrupt,
        say: &mut impl FnMut(&str),
    ) -> Result<Self> {
        let mut list = pictures(records);
        let (encoder, features) = see(vision, &list, max_broken, places, interrupt, say)?;
        features.faults().iter().for_each(|fault| say(&format!("skipped {fault}")));
        list.retain(|picture| features.number(picture).is_some());
        let path =
            vision.projector.as_ref().ok_or_else(|| Error::setting("vision.projector", "a file", "none"))?;
        let path = below(&places.runs, path);
        let projector = Projector::load(&path, DType::F32, &places.device)?;
        let (info, spec) = (projector.info(), encoder.spec());
        if (info.encoder.as_str(), info.d_in) != (spec.id.as_str(), spec.width) {
            let expected = format!("a projector for {} with {} channels", spec.id, spec.width);
            let got = format!("one for {} with {}", info.encoder, info.d_in);
            return Err(Error::File { path, expected, got });
        }
        let half = list.iter().cycle().skip(list.len() / 2);
        let others = list.iter().cloned().zip(half.cloned()).collect();
        Ok(Self { features, projector, device: places.device.clone(), others })
    }

    /// True when all pictures of a record can be shown.
    pub(super) fn shows(&self, record: &Record) -> bool {
        record.images().into_iter().all(|picture| self.features.number(picture).is_some())
    }

    pub(super) fn number(&self, picture: &Path, shuffled: bool) -> Option<u32> {
        let picture = if shuffled { self.others.get(picture)? } else { picture };
        self.features.number(picture)
    }

    fn project(&self, number: u32) -> Result<Embeddings> {
        let shape = (1, self.features.positions(), self.features.width());
        let values: Vec<f32> = self.features.of(number)?.iter().map(|value| value.to_f32()).collect();
        let rows = Tensor::from_vec(values, shape, &Device::Cpu)
            .and_then(|features| self.projector.forward(&features.to_device(&self.device)?)?.squeeze(0))
            .and_then(|rows| rows.to_device(&Device::Cpu));
        let rows = rows.map_err(Error::compute("project a picture"))?;
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        Ok(Embeddings { rows, key, source: "vision".to_owned() })
    }
}

/// Pictures as they are shown; questions about the same one follow each other.
pub(super) struct Shown<'a> {
    sight: Option<&'a Sight>,
    shuffled: bool,
    last: Option<(u32, Arc<Embeddings>)>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(sight: Option<&'a Sight>, shuffled: bool) -> Self {
        Self { sight, shuffled, last: None }
    }

    pub(super) fn picture(&mut self, path: Option<&Path>) -> Result<Option<Arc<Embeddings>>> {
        let (Some(sight), Some(path)) = (self.sight, path) else { return Ok(None) };
        let number = sight.number(path, self.shuffled).ok_or_else(|| Error::File {
            path: path.to_owned(),
            expected: "a picture".to_owned(),
            got: "one that was skipped".to_owned(),
        })?;
        if let Some((last, embeddings)) = &self.last
            && *last == number
        {
            return Ok(Some(Arc::clone(embeddings)));
        }
        let embeddings = Arc::new(sight.project(number)?);
        self.last = Some((number, Arc::clone(&embeddings)));
        Ok(Some(embeddings))
    }
}
