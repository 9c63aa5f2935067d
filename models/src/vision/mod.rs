//! Vision encoders: pictures into feature maps, one row of features a position.
//!
//! [`VisionEncoder::load`] recognises what lies at a path. Encoders are frozen: no gradient goes through them.

pub mod clip;
mod dense;
pub mod efficientnet;
mod pickle;
mod preprocessor;
pub mod pth;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::pickle::PthTensors;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use self::clip::ClipVision;
use self::efficientnet::EfficientNetLite0;
pub use self::efficientnet::FeatureMap;
use self::preprocessor::Preprocessor;
use crate::weights::{SafetensorsFolder, Stored, TensorSource};
use crate::{Error, Result};

const KINDS: &str = "EfficientNet-Lite0's .pth file, or a Hugging Face folder of a CLIP vision tower";

/// How an encoder is loaded.
#[derive(Debug, Clone)]
pub struct VisionOptions {
    /// Which map EfficientNet-Lite0 gives out; CLIP has one only.
    pub feature_map: FeatureMap,
    /// Where CLIP runs. EfficientNet-Lite0 has ops of its own for the CPU and always runs there.
    pub device: Device,
    /// Number type of CLIP. EfficientNet-Lite0 always runs in f32.
    pub dtype: DType,
}

impl Default for VisionOptions {
    fn default() -> Self {
        Self { feature_map: FeatureMap::default(), device: Device::Cpu, dtype: DType::F32 }
    }
}

/// What a user of an encoder has to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionSpec {
    /// Tells encoders apart whose features mean different things: network and sizes, such as `efficientnet-lite0/1280` or
    /// `clip-vit-768x12-patch32-224`.
    pub id: String,
    /// Side of the square input in pixels.
    pub input_size: usize,
    /// Subtracted from colours in 0..1, red first.
    pub mean: [f32; 3],
    /// Divides what is left, red first.
    pub std: [f32; 3],
    /// Positions of a picture.
    pub positions: usize,
    /// Width of a position's features.
    pub width: usize,
}

#[derive(Debug)]
enum Network {
    Clip(ClipVision),
    EfficientNet(EfficientNetLite0, FeatureMap),
}

/// A loaded vision encoder.
#[derive(Debug)]
pub struct VisionEncoder {
    network: Network,
    spec: VisionSpec,
    device: Device,
    dtype: DType,
}

impl VisionEncoder {
    /// Loads what lies at `path`: EfficientNet-Lite0's `.pth` file, a folder with it, or a Hugging Face folder of CLIP
    /// (`config.json` with the vision tower's numbers at its root or under `vision_config`; `model.safetensors`, shards of
    /// it or `pytorch_model.bin`; `preprocessor_config.json` if there is one).
    ///
    /// # Errors
    /// When there is nothing of that kind, a file is damaged, or numbers and tensors do not fit each other.
    pub fn load(path: &Path, options: &VisionOptions) -> Result<Self> {
        if path.join("config.json").is_file() {
            return Self::load_clip(path, options);
        }
        Self::load_efficientnet(&find_checkpoint(path)?, options.feature_map)
    }

    fn load_efficientnet(path: &Path, map: FeatureMap) -> Result<Self> {
        let tensors = pth::read(path).map_err(|error| damaged(path, error))?;
        let vb = VarBuilder::from_tensors(tensors.into_iter().collect(), DType::F32, &Device::Cpu);
        let network =
            EfficientNetLite0::load(&vb).map_err(Error::compute(format!("load {}", path.display())))?;
        let spec = VisionSpec {
            id: format!("efficientnet-lite0/{}", map.width()),
            input_size: efficientnet::INPUT_SIZE,
            mean: efficientnet::MEAN,
            std: efficientnet::STD,
            positions: efficientnet::POSITIONS,
            width: map.width(),
        };
        let network = Network::EfficientNet(network, map);
        Ok(Self { network, spec, device: Device::Cpu, dtype: DType::F32 })
    }

    fn load_clip(folder: &Path, options: &VisionOptions) -> Result<Self> {
        let config = read_clip_config(&folder.join("config.json"))?;
        let Preprocessor { mean, std } = Preprocessor::read(folder, config.image_size)?;
        let vb = VarBuilder::from_tensors(clip_tensors(folder, options)?, options.dtype, &options.device);
        let network =
            ClipVision::load(&config, &vb).map_err(Error::compute(format!("load {}", folder.display())))?;
        let spec = VisionSpec {
            id: format!(
                "clip-vit-{}x{}-patch{}-{}",
                config.hidden_size, config.num_hidden_layers, config.patch_size, config.image_size
            ),
            input_size: config.image_size,
            mean,
            std,
            positions: config.positions(),
            width: config.hidden_size,
        };
        let (device, dtype) = (options.device.clone(), options.dtype);
        Ok(Self { network: Network::Clip(network), spec, device, dtype })
    }

    /// What a user of the encoder has to know.
    #[must_use]
    pub fn spec(&self) -> &VisionSpec {
        &self.spec
    }

    /// Normalised pixels `[B, 3, S, S]`, of any float type on any device, to `[B, n, d]` in the encoder's type on the
    /// encoder's device: one row a position, positions row by row from the top left. CLIP: the last hidden state before
    /// the post-LayerNorm, without the class position.
    ///
    /// # Errors
    /// When the pixels have another shape.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        let side = self.spec.input_size;
        let features = || {
            let (_, channels, height, width) = pixels.dims4()?;
            if (channels, height, width) != (3, side, side) {
                candle_core::bail!("expected pixels [B, 3, {side}, {side}], got {:?}", pixels.dims());
            }
            let pixels = pixels.to_device(&self.device)?.to_dtype(self.dtype)?;
            match &self.network {
                Network::Clip(clip) => clip.features(&pixels),
                Network::EfficientNet(net, map) => net.features(&pixels, *map),
            }
        };
        features().map_err(Error::compute(format!("features of {}", self.spec.id)))
    }
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Corrupt { path: path.to_owned(), reason: error.to_string() }
}

/// `path` itself if it is a file, else the one `.pth` file in it.
fn find_checkpoint(path: &Path) -> Result<PathBuf> {
    let not_a_model = |got: String| Error::NotAModel { path: path.to_owned(), expected: KINDS, got };
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let entries = std::fs::read_dir(path).map_err(Error::io("open", path))?;
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "pth"))
        .collect();
    match (found.pop(), found.len()) {
        (Some(file), 0) => Ok(file),
        (Some(_), more) => Err(not_a_model(format!("{} .pth files", more + 1))),
        (None, _) => Err(not_a_model("neither config.json nor a .pth file".into())),
    }
}

/// A `CLIPVisionConfig`, or the one inside a `CLIPConfig`.
fn read_clip_config(path: &Path) -> Result<clip::Config> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut json: serde_json::Value = serde_json::from_str(&text).map_err(Error::json(path))?;
    if let Some(inner) = json.get_mut("vision_config") {
        json = inner.take();
    } else if json.get("model_type").and_then(|kind| kind.as_str()) != Some("clip_vision_model") {
        let got = json.get("model_type").map_or_else(|| "no model_type".into(), ToString::to_string);
        return Err(Error::NotAModel { path: path.to_owned(), expected: KINDS, got });
    }
    serde_json::from_value(json).map_err(Error::json(path))
}

/// The vision tower's tensors; a full CLIP checkpoint's text tower is never read.
fn clip_tensors(folder: &Path, options: &VisionOptions) -> Result<HashMap<String, Tensor>> {
    let wanted = |name: &str| !name.starts_with("text_");
    if SafetensorsFolder::is_in(folder) {
        let source = SafetensorsFolder::open(folder)?;
        let read = |name: String| match source.read(&name, &options.device)? {
            Stored::Dense(tensor) => Ok((name, tensor)),
            Stored::Quantized(_) | Stored::Nf4(_) => Err(damaged(folder, format!("{name} is quantised"))),
        };
        return source.names().into_iter().filter(|name| wanted(name)).map(read).collect();
    }
    let path = folder.join("pytorch_model.bin");
    if !path.is_file() {
        let got = "neither model.safetensors nor pytorch_model.bin".into();
        return Err(Error::NotAModel { path: folder.to_owned(), expected: KINDS, got });
    }
    let archive = PthTensors::new(&path, None).map_err(|error| damaged(&path, error))?;
    let names = archive.tensor_infos().keys().filter(|name| wanted(name));
    let read = |name: &String| match archive.get(name).map_err(|error| damaged(&path, error))? {
        Some(tensor) => Ok((name.clone(), tensor)),
        None => Err(Error::MissingTensor { path: path.clone(), tensor: name.clone() }),
    };
    names.map(read).collect()
}
