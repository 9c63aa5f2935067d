//! An instance: encoder, projector, threads.

use candle_core::{DType, Device, Tensor};
use jnana_media::{Picture, normalize_chw};
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_models::vision::{VisionEncoder, VisionOptions, VisionSpec};
use jnana_plugin_sdk::{Call, Code, Create, Embeddings, Encoder, Error, Features, Input, Manifest, Plugin};

use crate::manifest::{MAX_POSITIONS, SIDE, manifest};
use crate::settings::Settings;
use crate::workers::Workers;

/// Seed of the random projector: an untrained instance gives the same rows after every start.
const SEED: u64 = 0x006a_6e61_6e61;
/// First value of the random projector's factor: brings rows of about unit variance to the size of token embeddings.
const INITIAL_SCALE: f32 = 0.1;

/// The vision plugin.
#[derive(Debug)]
pub struct Vision {
    encoder: VisionEncoder,
    /// `None` when no space was asked for: such an instance gives features only.
    projector: Option<Projector>,
    workers: Workers,
}

impl Plugin for Vision {
    fn manifest() -> Manifest {
        manifest()
    }

    fn create(create: Create) -> Result<Self, Error> {
        let settings = Settings::parse(create.settings)?;
        let workers = Workers::new(create.threads)?;
        let options = VisionOptions { feature_map: settings.feature_map()?, ..VisionOptions::default() };
        let encoder = workers.run(|| VisionEncoder::load(&settings.encoder, &options));
        let encoder = encoder.map_err(|error| Error::new(Code::Resource, format!("encoder: {error}")))?;
        check_form(encoder.spec())?;
        let projector = match &settings.projector {
            _ if create.width == 0 => None,
            Some(path) => {
                let projector = Projector::load(path, DType::F32, &Device::Cpu)
                    .map_err(|error| Error::new(Code::Resource, format!("projector: {error}")))?;
                let wanted = wanted(encoder.spec(), &create.space, create.width);
                check_projector(projector.info(), &wanted)
                    .map_err(|why| Error::invalid(format!("projector {}: {why}", path.display())))?;
                Some(projector)
            }
            None => Some(random_projector(wanted(encoder.spec(), &create.space, create.width))?),
        };
        let vision = Self { encoder, projector, workers };
        vision.warm_up()?;
        Ok(vision)
    }

    fn status(&self) -> String {
        match &self.projector {
            Some(projector) if projector.info().trained => String::new(),
            Some(_) => "projector: untrained".into(),
            None => "projector: none, features only".into(),
        }
    }

    fn encoder(&self) -> Option<&dyn Encoder> {
        self.projector.is_some().then_some(self as &dyn Encoder)
    }

    fn features(&self) -> Option<&dyn Features> {
        Some(self)
    }
}

impl Encoder for Vision {
    fn encode(&self, input: &Input<'_>, call: &Call<'_>) -> Result<Embeddings, Error> {
        let Some(projector) = &self.projector else {
            return Err(Error::internal(
                "this instance was made without an embedding space: it has no projector",
            ));
        };
        let picture = picture(input)?;
        check_cancelled(call)?;
        self.workers.run(|| {
            let features = self.map(&picture)?;
            check_cancelled(call)?;
            embeddings(&projector.forward(&features).map_err(internal)?)
        })
    }
}

impl Features for Vision {
    fn features(&self, input: &Input<'_>, call: &Call<'_>) -> Result<Embeddings, Error> {
        let picture = picture(input)?;
        check_cancelled(call)?;
        self.workers.run(|| embeddings(&self.map(&picture)?))
    }
}

impl Vision {
    /// The encoder's map of a picture, `[1, 49, d]`.
    fn map(&self, picture: &Picture) -> Result<Tensor, Error> {
        let spec = self.encoder.spec();
        let side = SIDE as usize;
        let pixels = normalize_chw(picture, spec.mean, spec.std);
        let pixels = Tensor::from_vec(pixels, (1, 3, side, side), &Device::Cpu).map_err(internal)?;
        self.encoder.features(&pixels).map_err(internal)
    }

    /// The first run pays for memory and for code that is looked up once; no question should.
    fn warm_up(&self) -> Result<(), Error> {
        let pixels = vec![0; (SIDE * SIDE * 3) as usize];
        let black = Input::Image { width: SIDE, height: SIDE, pixels: &pixels };
        let call = Call::new(&|| false, &|_| true);
        match &self.projector {
            Some(_) => self.encode(&black, &call).map(drop),
            None => Features::features(self, &black, &call).map(drop),
        }
    }
}

/// The encoder has to take and give what the manifest promises.
fn check_form(spec: &VisionSpec) -> Result<(), Error> {
    if spec.input_size != SIDE as usize || spec.positions > MAX_POSITIONS as usize {
        return Err(Error::invalid(format!(
            "encoder {}: expected an input of {SIDE}×{SIDE} and at most {MAX_POSITIONS} positions, got {}×{} and {}",
            spec.id, spec.input_size, spec.input_size, spec.positions
        )));
    }
    Ok(())
}

fn wanted(spec: &VisionSpec, space: &str, width: usize) -> ProjectorInfo {
    ProjectorInfo { space: space.into(), encoder: spec.id.clone(), d_in: spec.width, width, trained: false }
}

fn random_projector(info: ProjectorInfo) -> Result<Projector, Error> {
    Projector::random(info, Some(INITIAL_SCALE), SEED, &Device::Cpu).map_err(internal)
}

/// Says in words what of the projector is not what is asked for. An equal width alone proves nothing.
fn check_projector(got: &ProjectorInfo, wanted: &ProjectorInfo) -> Result<(), String> {
    if got.space != wanted.space {
        return Err(format!(
            "it was trained into the space {:?}, the model's is {:?}",
            got.space, wanted.space
        ));
    }
    if got.width != wanted.width {
        return Err(format!("it gives rows {} wide, the model takes {}", got.width, wanted.width));
    }
    if !got.encoder.is_empty() && got.encoder != wanted.encoder {
        return Err(format!(
            "it was trained on the encoder {:?}, loaded is {:?}",
            got.encoder, wanted.encoder
        ));
    }
    if got.d_in != wanted.d_in {
        return Err(format!(
            "it takes features {} wide, the encoder {} gives {}",
            got.d_in, wanted.encoder, wanted.d_in
        ));
    }
    Ok(())
}

fn picture(input: &Input<'_>) -> Result<Picture, Error> {
    match *input {
        Input::Image { width: SIDE, height: SIDE, pixels } => {
            Picture::new(SIDE, SIDE, pixels.to_vec()).map_err(|error| Error::invalid(error.to_string()))
        }
        Input::Image { width, height, .. } => {
            Err(Error::invalid(format!("expected a picture of {SIDE}×{SIDE} pixels, got {width}×{height}")))
        }
        Input::Audio { .. } => Err(Error::invalid(format!("expected rgb8 pixels, {SIDE}×{SIDE}, got sound"))),
        Input::Raw { mime, .. } => {
            Err(Error::invalid(format!("expected rgb8 pixels, {SIDE}×{SIDE}, got {mime}")))
        }
    }
}

/// `[1, n, width]` as rows.
fn embeddings(rows: &Tensor) -> Result<Embeddings, Error> {
    let (_, _, width) = rows.dims3().map_err(internal)?;
    let values = rows.flatten_all().and_then(|flat| flat.to_vec1()).map_err(internal)?;
    Ok(Embeddings { values, width })
}

fn check_cancelled(call: &Call<'_>) -> Result<(), Error> {
    if call.cancelled() {
        return Err(Error::new(Code::Cancelled, "cancelled"));
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal(error.to_string())
}
