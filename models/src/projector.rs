//! The projector: an encoder's features into the embedding space of a language model.
//!
//! A linear layer to the core's width, then LLaVA 1.5's simple residual block, `x ← LN(x); x + Linear(GELU(Linear(x)))`
//! (Liu et al. 2023, arXiv 2310.03744), then optionally a learned factor: a language model's embeddings can be far smaller
//! than the block's output of about unit variance, and training spends its first steps on nothing else.
//!
//! Every op has a backward pass, so serving and training run the same code.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::Linear;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::random::SplitMix64;
use crate::whole_file::write_whole;
use crate::{Error, Result, grad};

const LAYER_NORM_EPS: f32 = 1e-5;

/// Names of the tensors in a file; `scale` may be absent.
const NAMES: [&str; 8] = [
    "linear.weight",
    "linear.bias",
    "block.norm.weight",
    "block.norm.bias",
    "block.fc1.weight",
    "block.fc1.bias",
    "block.fc2.weight",
    "block.fc2.bias",
];
const SCALE: &str = "scale";

/// What a projector maps from and to; the metadata in its file's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectorInfo {
    /// Id of the embedding space that it was trained into. An equal width proves nothing: another space is another language.
    pub space: String,
    /// Id of the encoder whose features it reads, as [`VisionSpec::id`](crate::vision::VisionSpec); empty for any.
    pub encoder: String,
    /// Width of the features.
    pub d_in: usize,
    /// Width of the space.
    pub width: usize,
    /// False for random weights.
    pub trained: bool,
}

impl ProjectorInfo {
    /// A safetensors header holds strings only.
    fn to_header(&self) -> HashMap<String, String> {
        let entries = [
            ("space", self.space.clone()),
            ("encoder", self.encoder.clone()),
            ("d_in", self.d_in.to_string()),
            ("width", self.width.to_string()),
            ("trained", self.trained.to_string()),
        ];
        entries.map(|(key, value)| (key.to_owned(), value)).into()
    }

    fn from_header(path: &Path, header: &HashMap<String, String>) -> Result<Self> {
        let text = |key| header.get(key).cloned().unwrap_or_default();
        Ok(Self {
            space: text("space"),
            encoder: text("encoder"),
            d_in: parse(path, "d_in", "a whole number", &text("d_in"))?,
            width: parse(path, "width", "a whole number", &text("width"))?,
            trained: parse(path, "trained", "true or false", &text("trained"))?,
        })
    }

    /// Shapes of the tensors, in the order of [`NAMES`].
    fn shapes(&self) -> [Vec<usize>; 8] {
        let (d_in, width) = (self.d_in, self.width);
        let vector = || vec![width];
        let square = || vec![width, width];
        [vec![width, d_in], vector(), vector(), vector(), square(), vector(), square(), vector()]
    }
}

fn parse<T: std::str::FromStr>(path: &Path, key: &str, expected: &str, got: &str) -> Result<T> {
    got.parse().map_err(|_| Error::Field {
        path: path.to_owned(),
        key: format!("header entry {key}"),
        expected: expected.to_owned(),
        got: format!("{got:?}"),
    })
}

/// The projector's weights.
#[derive(Debug, Clone)]
pub struct Projector {
    info: ProjectorInfo,
    linear: Linear,
    norm_weight: Tensor,
    norm_bias: Tensor,
    fc1: Linear,
    fc2: Linear,
    scale: Option<Tensor>,
}

impl Projector {
    /// Random weights, the same for the same seed on every machine: uniform in ±1/√(inputs) as torch's `nn.Linear`, the
    /// norm at one and zero. `scale` is the learned factor's first value, `None` for no factor.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn random(info: ProjectorInfo, scale: Option<f32>, seed: u64, device: &Device) -> Result<Self> {
        let mut random = SplitMix64(seed);
        let mut tensors = HashMap::new();
        for (name, shape) in NAMES.into_iter().zip(info.shapes()) {
            let count = shape.iter().product();
            let inputs = if name.starts_with("linear.") { info.d_in } else { info.width };
            let bound = 1.0 / (inputs as f32).sqrt();
            let values: Vec<f32> = match name {
                "block.norm.weight" => vec![1.0; count],
                "block.norm.bias" => vec![0.0; count],
                _ => (0..count).map(|_| random.symmetric() * bound).collect(),
            };
            let tensor = Tensor::from_vec(values, shape, device).map_err(Error::compute(name))?;
            tensors.insert(name.to_owned(), tensor);
        }
        if let Some(scale) = scale {
            tensors.insert(SCALE.into(), Tensor::new(&[scale], device).map_err(Error::compute(SCALE))?);
        }
        Self::from_tensors(info, &tensors, Path::new("memory"))
    }

    /// Takes the weights by their names in the file; other names are ignored. `origin` is for messages.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `info` says.
    pub fn from_tensors(
        info: ProjectorInfo,
        tensors: &HashMap<String, Tensor>,
        origin: &Path,
    ) -> Result<Self> {
        let take = |name: &str, shape: &[usize]| match tensors.get(name) {
            None => Err(Error::MissingTensor { path: origin.to_owned(), tensor: name.to_owned() }),
            Some(tensor) if tensor.dims() != shape => Err(Error::Shape {
                path: origin.to_owned(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
                got: tensor.dims().to_vec(),
            }),
            Some(tensor) => Ok(tensor.clone()),
        };
        let shapes = info.shapes();
        let at = |i: usize| take(NAMES[i], &shapes[i]);
        Ok(Self {
            linear: Linear::new(at(0)?, Some(at(1)?)),
            norm_weight: at(2)?,
            norm_bias: at(3)?,
            fc1: Linear::new(at(4)?, Some(at(5)?)),
            fc2: Linear::new(at(6)?, Some(at(7)?)),
            scale: tensors.contains_key(SCALE).then(|| take(SCALE, &[1])).transpose()?,
            info,
        })
    }

    /// Reads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When it is no safetensors file, its header lacks the metadata, or a tensor is missing or has another shape.
    pub fn load(path: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
        let header = metadata.metadata().clone().unwrap_or_default();
        let info = ProjectorInfo::from_header(path, &header)?;
        let reading = || format!("read {}", path.display());
        let tensors =
            candle_core::safetensors::load_buffer(&bytes, device).map_err(Error::compute(reading()))?;
        let tensors = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.to_dtype(dtype)?)));
        let tensors = tensors.collect::<candle_core::Result<_>>().map_err(Error::compute(reading()))?;
        Self::from_tensors(info, &tensors, path)
    }

    /// Writes safetensors with the metadata in the header; an existing file is replaced in one step.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = safetensors::serialize(self.named(), Some(self.info.to_header()))
            .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
        write_whole(path, &bytes)
    }

    /// A copy whose tensors are variables, and those variables by name: what an optimiser steps.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn trainable(&self) -> Result<(Self, Vec<(String, Var)>)> {
        let variables = self.named().into_iter().map(|(name, tensor)| {
            Ok((name.to_owned(), Var::from_tensor(tensor).map_err(Error::compute(name))?))
        });
        let variables = variables.collect::<Result<Vec<_>>>()?;
        let tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let copy = Self::from_tensors(self.info.clone(), &tensors, Path::new("memory"))?;
        Ok((copy, variables))
    }

    /// What it maps from and to.
    #[must_use]
    pub fn info(&self) -> &ProjectorInfo {
        &self.info
    }

    /// The same weights said to be something else, such as `trained`. The widths have to stay.
    ///
    /// # Errors
    /// When `info` has other widths.
    pub fn with_info(self, info: ProjectorInfo) -> Result<Self> {
        let tensors =
            self.named().into_iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
        Self::from_tensors(info, &tensors, Path::new("memory"))
    }

    /// Features `[.., d_in]` → embeddings `[.., width]`, with gradients to the features and to every weight.
    ///
    /// # Errors
    /// When width, element type or device differ from the weights'.
    pub fn forward(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        let x = self.linear.forward(features)?;
        let x = grad::layer_norm(&x, &self.norm_weight, &self.norm_bias, LAYER_NORM_EPS)?;
        let y = (&x + self.fc2.forward(&self.fc1.forward(&x)?.gelu_erf()?)?)?;
        match &self.scale {
            Some(scale) => y.broadcast_mul(scale),
            None => Ok(y),
        }
    }

    /// Its tensors by name.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, &Tensor)> {
        let linears =
            [&self.linear, &self.fc1, &self.fc2].map(|linear| (Some(linear.weight()), linear.bias()));
        let [(w0, b0), (w1, b1), (w2, b2)] = linears;
        let norm = (Some(&self.norm_weight), Some(&self.norm_bias));
        let tensors = [w0, b0, norm.0, norm.1, w1, b1, w2, b2, self.scale.as_ref()];
        let names = NAMES.into_iter().chain([SCALE]);
        names.zip(tensors).filter_map(|(name, tensor)| Some((name, tensor?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ProjectorInfo {
        ProjectorInfo { space: "s".into(), encoder: "e".into(), d_in: 6, width: 8, trained: false }
    }

    fn project(projector: &Projector) -> Vec<f32> {
        let x = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((2, 6)).unwrap();
        projector.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_seed_decides_the_weights() {
        let random = |seed| project(&Projector::random(info(), Some(0.1), seed, &Device::Cpu).unwrap());
        assert_eq!(random(1), random(1));
        assert_ne!(random(1), random(2));
        assert!(random(1).iter().all(|v| v.is_finite()));
    }

    #[test]
    fn a_file_gives_back_what_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("projector.safetensors");
        for scale in [None, Some(0.25)] {
            let projector = Projector::random(info(), scale, 3, &Device::Cpu).unwrap();
            let trained = ProjectorInfo { trained: true, ..info() };
            let projector = projector.with_info(trained.clone()).unwrap();
            projector.save(&path).unwrap();
            let again = Projector::load(&path, DType::F32, &Device::Cpu).unwrap();
            assert_eq!(*again.info(), trained);
            assert_eq!(project(&again), project(&projector));
        }
    }

    #[test]
    fn every_weight_gets_a_gradient() {
        let (projector, variables) =
            Projector::random(info(), Some(0.1), 4, &Device::Cpu).unwrap().trainable().unwrap();
        assert_eq!(variables.len(), 9);
        let x = Var::randn(0f32, 1.0, (3, 6), &Device::Cpu).unwrap();
        let loss = projector.forward(x.as_tensor()).unwrap().sqr().unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        for (name, var) in variables.iter().chain([&("input".to_owned(), x)]) {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
            let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(size > 0.0, "{name} has a gradient of zero");
        }
    }

    #[test]
    fn files_that_are_something_else_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.safetensors");
        std::fs::write(&path, b"no such thing").unwrap();
        assert!(matches!(Projector::load(&path, DType::F32, &Device::Cpu), Err(Error::Corrupt { .. })));
        let tensor = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
        candle_core::safetensors::save(&HashMap::from([("a", tensor)]), &path).unwrap();
        assert!(matches!(Projector::load(&path, DType::F32, &Device::Cpu), Err(Error::Field { .. })));
        let narrow = ProjectorInfo { width: 4, ..info() };
        let projector = Projector::random(info(), None, 0, &Device::Cpu).unwrap();
        assert!(matches!(projector.with_info(narrow), Err(Error::Shape { .. })));
    }
}
