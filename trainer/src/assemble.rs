//! From a recipe to what a session needs: data, features, network, variables.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device};
use jnana_core::ModelCard;
use jnana_models::adapter::Adapter;
use jnana_models::config::Config;
use jnana_models::decoder::Decoder;
use jnana_models::load::{build, open_checkpoint};
use jnana_models::lora::LoraConfig;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::vision::{VisionEncoder, VisionOptions};
use jnana_models::weights::Weights;
use jnana_models::{LoadOptions, Loaded, Mode, load_decoder};

use crate::data::batch::Collator;
use crate::data::example::Renderer;
use crate::data::features::{Features, Filling};
use crate::data::plan::Plan;
use crate::data::record::{Record, pictures};
use crate::data::source::{self, Records};
use crate::initial;
use crate::learner::{Learner, Variables};
use crate::recipe::{Recipe, Stage, VisionRecipe};
use crate::session::Examples;
use crate::train::interrupt::Interrupt;
use crate::train::optimizer::{AdamW, Group};
use crate::{Error, Result};

/// Where things lie, and what computes.
#[derive(Debug, Clone)]
pub struct Places {
    /// Folder of data sets; sources name folders in it.
    pub data: PathBuf,
    /// Folder of models; recipes name folders and files in it.
    pub models: PathBuf,
    /// Folder of runs; recipes name what earlier stages left there.
    pub runs: PathBuf,
    /// Folder of feature caches.
    pub features: PathBuf,
    /// The device of encoder and decoder.
    pub device: Device,
}

/// All that a run needs beside its folder.
pub struct Assembled {
    /// What learns.
    pub learner: Learner,
    /// Steps its variables.
    pub optimizer: AdamW,
    /// What to learn from.
    pub train: Examples,
    /// What the loss is measured on, where something is held out.
    pub held_out: Option<Examples>,
    /// Records to learn from.
    pub records: usize,
    /// What was skipped or left out, in words.
    pub warnings: Vec<String>,
}

/// Reads the data, encodes pictures that are new, loads the network.
///
/// # Errors
/// When something is missing, damaged or does not fit together, or somebody asked for an end meanwhile.
pub fn assemble(
    recipe: &Recipe,
    places: &Places,
    interrupt: &Interrupt,
    mut say: impl FnMut(&str),
) -> Result<Assembled> {
    let device = &places.device;
    let Records { train, held_out, faults } = source::read(&recipe.data, &places.data)?;
    let mut warnings: Vec<String> = faults.iter().map(|fault| format!("skipped {fault}")).collect();
    say(&format!("{} records to learn from, {} held out", train.len(), held_out.len()));

    let base = Base::open(recipe, places, device)?;
    let vision = recipe.vision.as_ref();
    let seen = vision.map(|vision| {
        let list = pictures(train.iter().chain(&held_out));
        see(vision, &list, source::max_broken(&recipe.data), places, interrupt, &mut say)
    });
    let (encoder, features) = seen.transpose()?.unzip();
    let faults = features.iter().flat_map(|features| features.faults());
    warnings.extend(faults.map(|fault| format!("skipped {fault}")));

    let positions = features.as_ref().map_or(0, |features| features.positions());
    let renderer = Renderer::new(&base.card, base.tokenizer.clone(), recipe.system.clone(), positions)?;
    let render = Render { renderer: &renderer, features: features.as_ref(), recipe };
    let records = train.len();
    let train = render.examples(&train, &mut warnings)?;
    let (batches, padding) = train.plan.first_epoch(&train.collator.examples);
    let (rows, percent) = (train.collator.examples.len(), 100. * padding);
    say(&format!("{rows} rows in {batches} batches an epoch, {percent:.0} % of their positions padding"));
    let held_out = match held_out.is_empty() {
        true => None,
        false => Some(render.examples(&held_out, &mut warnings)?),
    };
    let (projector, projector_variables) = match (vision, &encoder) {
        (Some(vision), Some(encoder)) => {
            let projector = open_projector(vision, encoder, &base, places, recipe)?;
            let (projector, variables) = projector.trainable()?;
            (Some(projector), variables)
        }
        _ => (None, Variables::new()),
    };
    let Base { decoder, adapter, variables, .. } = base;
    let projector_rate = vision.map_or(1., |vision| vision.rate);
    let of_projector = Group::by_decay(projector_variables, projector_rate, recipe.weight_decay);
    let of_decoder = Group::by_decay(variables, 1., recipe.weight_decay);
    let optimizer = AdamW::new(of_projector.into_iter().chain(of_decoder).collect(), recipe.adamw)?;
    let learner = Learner { decoder, projector, adapter };
    Ok(Assembled { learner, optimizer, train, held_out, records, warnings })
}

/// Fills the cache with the features of all pictures of a recipe.
///
/// # Errors
/// When the recipe has no pictures, something is missing or damaged, or somebody asked for an end meanwhile.
pub fn fill_features(
    recipe: &Recipe,
    places: &Places,
    interrupt: &Interrupt,
    mut say: impl FnMut(&str),
) -> Result<()> {
    let vision = recipe.vision.as_ref();
    let vision = vision.ok_or_else(|| Error::setting("vision", "an encoder of pictures", "none"))?;
    let Records { train, held_out, faults } = source::read(&recipe.data, &places.data)?;
    let list = pictures(train.iter().chain(&held_out));
    let (_, features) = see(vision, &list, source::max_broken(&recipe.data), places, interrupt, &mut say)?;
    faults.iter().chain(features.faults()).for_each(|fault| say(&format!("skipped {fault}")));
    say(&format!("{} pictures are encoded", list.len() - features.faults().len()));
    Ok(())
}

/// The encoder, and its features of all `pictures`, from the cache or computed now.
///
/// # Errors
/// When more than a share of `max_broken` of the pictures is broken, or somebody asked for an end meanwhile.
pub(crate) fn see(
    vision: &VisionRecipe,
    pictures: &[PathBuf],
    max_broken: f64,
    places: &Places,
    interrupt: &Interrupt,
    say: &mut impl FnMut(&str),
) -> Result<(VisionEncoder, Arc<Features>)> {
    let encoder = open_encoder(vision, &places.models, &places.device)?;
    let mut progress = |filling: Filling| {
        if filling.encoded > 0 && filling.ready.is_multiple_of(512) {
            say(&format!("pictures encoded: {} of {}", filling.ready, filling.total));
        }
        if interrupt.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let folder = &places.features;
    let features = Features::prepare(folder, &encoder, vision.fit, pictures, max_broken, &mut progress)?;
    Ok((encoder, Arc::new(features)))
}

/// A path below `root`, or one of its own where there is nothing.
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    let inside = root.join(path);
    if path.exists() && !inside.exists() { path.to_owned() } else { inside }
}

fn open_encoder(vision: &VisionRecipe, models: &Path, device: &Device) -> Result<VisionEncoder> {
    let options = VisionOptions {
        feature_map: vision.feature_map()?,
        device: device.clone(),
        ..VisionOptions::default()
    };
    Ok(VisionEncoder::load(&below(models, &vision.encoder), &options)?)
}

/// The projector to go on from, or a random one. Beside an earlier run's adapter it is into the space that they made, else
/// into the decoder's.
fn open_projector(
    vision: &VisionRecipe,
    encoder: &VisionEncoder,
    base: &Base,
    places: &Places,
    recipe: &Recipe,
) -> Result<Projector> {
    let (spec, device) = (encoder.spec(), base.decoder.device());
    let made = recipe.space.as_ref().filter(|_| recipe.adapter.is_some());
    let info = ProjectorInfo {
        space: made.unwrap_or(&base.card.space).clone(),
        encoder: spec.id.clone(),
        d_in: spec.width,
        width: base.decoder.shape().width,
        trained: true,
    };
    let Some(path) = &vision.projector else {
        return Ok(Projector::random(info, vision.scale, recipe.seed, device)?);
    };
    let path = below(&places.runs, path);
    let projector = Projector::load(&path, DType::F32, device)?;
    if *projector.info() != info {
        let (expected, got) = (format!("{info:?}"), format!("{:?}", projector.info()));
        return Err(Error::File { path, expected, got });
    }
    Ok(projector)
}

struct Render<'a> {
    renderer: &'a Renderer,
    features: Option<&'a Arc<Features>>,
    recipe: &'a Recipe,
}

impl Render<'_> {
    fn examples(&self, records: &[Record], warnings: &mut Vec<String>) -> Result<Examples> {
        let Recipe { data, batches: buckets, seed, .. } = self.recipe;
        let number = |path: &Path| self.features.and_then(|features| features.number(path));
        let made = self.renderer.render_all(records, number, source::max_broken(data))?;
        warnings.extend(made.faults.iter().map(|fault| format!("skipped {fault}")));
        warnings.extend(made.left_out.iter().map(|fault| format!("left out {fault}")));
        let examples = buckets.join(made.list)?;
        let plan = Arc::new(Plan::new(&examples, buckets, *seed)?);
        if plan.left_out() > 0 {
            warnings
                .push(format!("left out {} examples that are longer than the last bucket", plan.left_out()));
        }
        let features = self.features.cloned();
        let collator = Collator { examples: Arc::new(examples), features, filler: self.renderer.filler() };
        Ok(Examples { collator, plan })
    }
}

/// The decoder, with what a run changes in it.
struct Base {
    decoder: Box<dyn Decoder>,
    adapter: Option<Arc<Adapter>>,
    variables: Variables,
    card: ModelCard,
    tokenizer: Tokenizer,
}

impl Base {
    fn open(recipe: &Recipe, places: &Places, device: &Device) -> Result<Self> {
        let path = below(&places.models, &recipe.decoder.model);
        let Network { decoder, tokenizer, name, adapter, variables } = match recipe.stage {
            Stage::Pretrain => Network::random(&path, recipe.seed, device)?,
            Stage::Align | Stage::Tune => Network::frozen(&path, recipe, places, device)?,
        };
        let tokenizer = tokenizer.ok_or_else(|| Error::File {
            path: path.clone(),
            expected: "a model with a tokenizer".to_owned(),
            got: "none".to_owned(),
        })?;
        let card = ModelCard::load(&path, &name, decoder.shape(), &tokenizer)?;
        Ok(Self { decoder, adapter, variables, card, tokenizer })
    }
}

/// A loaded network with its variables.
struct Network {
    decoder: Box<dyn Decoder>,
    tokenizer: Option<Tokenizer>,
    name: String,
    adapter: Option<Arc<Adapter>>,
    variables: Variables,
}

impl Network {
    /// Frozen weights, with an adapter where the recipe has one.
    fn frozen(path: &Path, recipe: &Recipe, places: &Places, device: &Device) -> Result<Self> {
        let (adapter, variables) = match &recipe.lora {
            Some(lora) => {
                let network = open_checkpoint(path)?.config;
                let adapter = match &recipe.adapter {
                    Some(from) => go_on_from(&below(&places.runs, from), lora, &network, device)?,
                    None => Adapter::random(lora.clone(), &network, recipe.seed, device)?,
                };
                let (adapter, variables) = adapter.trainable(recipe.seed)?;
                (Some(Arc::new(adapter)), variables)
            }
            None => (None, Variables::new()),
        };
        let quantize = recipe.decoder.quantize.as_deref().map(str::parse).transpose();
        let options = LoadOptions {
            mode: Mode::Training,
            quantize: quantize.map_err(|got: String| Error::setting("quantize", "a quantisation", got))?,
            vocab_rows: recipe.decoder.vocab_rows,
            adapter: adapter.clone(),
            ..LoadOptions::new(device.clone())
        };
        let Loaded { decoder, tokenizer, info, .. } = load_decoder(path, &options)?;
        Ok(Self { decoder, tokenizer, name: info.name, adapter, variables })
    }

    /// Every number drawn at random, and a variable.
    fn random(folder: &Path, seed: u64, device: &Device) -> Result<Self> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let config = Config::from_json(&serde_json::from_str(&text).map_err(Error::json(&path))?, &path)?;
        let variables = initial::variables(&config, seed, device)?;
        let tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let weights = Weights::from_tensors(tensors, DType::F32, device.clone(), Mode::Training);
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (decoder, tokenizer) = (build(&config, &weights, None)?, Tokenizer::from_folder(folder)?);
        Ok(Self { decoder, tokenizer, name, adapter: None, variables })
    }
}

/// The matrices of an earlier run's adapter as one that `lora` describes: only its dropout may be another.
fn go_on_from(folder: &Path, lora: &LoraConfig, network: &Config, device: &Device) -> Result<Adapter> {
    let earlier = Adapter::load(folder, device)?;
    let was = LoraConfig { lora_dropout: lora.lora_dropout, ..earlier.config().clone() };
    if was != *lora {
        let expected = format!("that of the adapter {}: {was:?}", folder.display());
        return Err(Error::setting("lora", &expected, format!("{lora:?}")));
    }
    earlier.check(network, folder)?;
    let tensors = earlier.named().map(|(name, tensor)| (name, tensor.clone())).collect();
    Ok(Adapter::from_tensors(lora.clone(), &tensors, folder)?)
}
