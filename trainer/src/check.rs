//! A look at a recipe before it is carried out: whether all is there, what is in the data, what it will take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use jnana_models::footprint::{Footprint, footprint};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::{LoadOptions, Mode};
use serde::Serialize;

use crate::assemble::{Places, below};
use crate::data::plan::Buckets;
use crate::data::record::{Content, Record, pictures};
use crate::data::source::{self, Records, Source};
use crate::evaluation::Evaluation;
use crate::recipe::{DecoderRecipe, Recipe, Stage, VisionRecipe};
use crate::{Error, Result};

/// Examples that are shown, and broken things that are named.
const SHOWN: usize = 5;
/// Pictures that are decoded, and records whose tokens are counted: spread over all.
const LOOKED_AT: usize = 64;
/// Positions that a picture takes, where nobody has asked its encoder.
const PICTURE: f64 = 49.;
/// Bytes of activations of a training position, for each byte of its keys and values.
const ACTIVATIONS: f64 = 10.;

/// What was found, as JSON for whoever asked.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// Why it cannot be carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// What it will take.
    pub estimate: Estimate,
    /// What is in the data.
    pub findings: Findings,
}

/// What a run will take, within a factor of two or three.
#[derive(Debug, Default, Serialize)]
pub struct Estimate {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Seconds.
    pub seconds: Option<f64>,
    /// In words.
    pub cost: String,
}

/// What is in the data.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// Numbers by what they count.
    pub counts: BTreeMap<&'static str, usize>,
    /// Some examples.
    pub samples: Vec<String>,
    /// The first things that are broken.
    pub errors: Vec<String>,
}

/// What recipes and evaluations have in common.
struct Work<'a> {
    data: &'a [Source],
    decoder: &'a DecoderRecipe,
    vision: Option<&'a VisionRecipe>,
    adapter: Option<&'a Path>,
    training: Option<&'a Recipe>,
}

/// Looks at a recipe. What keeps it from being carried out is in the answer.
#[must_use]
pub fn recipe(recipe: &Recipe, places: &Places) -> Found {
    look(
        places,
        &Work {
            data: &recipe.data,
            decoder: &recipe.decoder,
            vision: recipe.vision.as_ref(),
            adapter: recipe.adapter.as_deref(),
            training: Some(recipe),
        },
    )
}

/// Looks at an evaluation, as [`recipe`] does.
#[must_use]
pub fn evaluation(evaluation: &Evaluation, places: &Places) -> Found {
    look(
        places,
        &Work {
            data: &evaluation.data,
            decoder: &evaluation.decoder,
            vision: evaluation.vision.as_ref(),
            adapter: evaluation.adapter.as_deref().filter(|path| !path.as_os_str().is_empty()),
            training: None,
        },
    )
}

fn look(places: &Places, work: &Work<'_>) -> Found {
    let mut found = Found::default();
    found.refusal = look_into(places, work, &mut found).err().map(|error| error.to_string());
    found
}

fn look_into(places: &Places, work: &Work<'_>, found: &mut Found) -> Result<()> {
    let records = source::read(work.data, &places.data)?;
    found.findings = findings(&records);
    if records.train.is_empty() {
        return Err(Error::setting("data", "something to learn from", "no record"));
    }
    let missing = |key: &str, path: PathBuf| match path.exists() {
        true => Ok(()),
        false => Err(Error::setting(key, "a file or a folder that is there", path.display())),
    };
    if let Some(vision) = work.vision {
        missing("vision.encoder", below(&places.models, &vision.encoder))?;
        if let Some(projector) = &vision.projector {
            missing("vision.projector", below(&places.runs, projector))?;
        }
    }
    if let Some(adapter) = work.adapter {
        missing("adapter", below(&places.runs, adapter))?;
    }
    let model = below(&places.models, &work.decoder.model);
    missing("decoder.model", model.clone())?;
    if work.training.is_none_or(|recipe| recipe.stage != Stage::Pretrain) {
        found.estimate = estimate(&model, work, &records)?;
    }
    Ok(())
}

fn findings(records: &Records) -> Findings {
    let pictures = pictures(records.train.iter().chain(&records.held_out));
    let looked_at = pictures.iter().step_by(pictures.len().div_ceil(LOOKED_AT).max(1));
    let broken = looked_at.filter_map(|path| {
        image::ImageReader::open(path)
            .map_err(image::ImageError::from)
            .and_then(|reader| reader.with_guessed_format()?.decode())
            .err()
            .map(|error| format!("{}: {error}", path.display()))
    });
    Findings {
        counts: BTreeMap::from([
            ("records to learn from", records.train.len()),
            ("records held out", records.held_out.len()),
            ("pictures", pictures.len()),
            ("records skipped", records.faults.len()),
        ]),
        samples: records.train.iter().take(SHOWN).map(sample).collect(),
        errors: records.faults.iter().map(ToString::to_string).chain(broken).take(SHOWN).collect(),
    }
}

fn sample(record: &Record) -> String {
    let text = text(record);
    let first: String = text.chars().take(300).collect();
    format!("{}: {first}", record.id)
}

fn text(record: &Record) -> String {
    match &record.content {
        Content::Caption { caption, .. } => caption.clone(),
        Content::Conversation(exchanges) => {
            let lines =
                exchanges.iter().map(|exchange| format!("{} → {}", exchange.question, exchange.answer));
            lines.collect::<Vec<_>>().join("; ")
        }
        Content::Text { text, .. } => text.clone(),
    }
}

/// Memory from the files' headers, time from the sums of all steps and how fast this machine multiplies.
fn estimate(model: &Path, work: &Work<'_>, records: &Records) -> Result<Estimate> {
    let plain =
        LoadOptions { mode: Mode::Training, dtype: Some(DType::F32), ..LoadOptions::new(Device::Cpu) };
    let quantize = work.decoder.quantize.as_deref().map(str::parse).transpose();
    let quantize =
        quantize.map_err(|got: String| Error::setting("decoder.quantize", "a quantisation", got))?;
    let Footprint { weights: numbers, position } = footprint(model, &plain)?;
    let Footprint { weights, .. } = footprint(model, &LoadOptions { quantize, ..plain })?;
    let parameters = numbers as f64 / 4.;
    let length = mean_length(model, records)?;
    let rows = work.training.map_or(1., |recipe| mean_rows(&recipe.batches));
    let memory = weights as f64 + rows * length * position as f64 * ACTIVATIONS;
    let passes = match work.training {
        // Forwards, and back through frozen weights.
        Some(recipe) => (recipe.steps as usize * recipe.accumulate) as f64 * rows * 4.,
        None => records.train.len() as f64 * 2.,
    };
    let seconds = passes * length * parameters / multiplications_a_second();
    let cost = format!(
        "about {} of memory and {} on this machine's processor, by a rule of thumb; pictures that are new are encoded first",
        indicatif::HumanBytes(memory as u64),
        indicatif::HumanDuration(std::time::Duration::from_secs_f64(seconds.clamp(1., 1e9))),
    );
    Ok(Estimate { memory: Some(memory as u64), seconds: Some(seconds), cost })
}

/// Mean positions of a record; characters over four where there is no tokenizer.
fn mean_length(model: &Path, records: &Records) -> Result<f64> {
    let folder = if model.is_dir() { Some(model) } else { model.parent() };
    let tokenizer = folder.map(Tokenizer::from_folder).transpose()?.flatten();
    let step = records.train.len().div_ceil(LOOKED_AT).max(1);
    let (mut sum, mut count) = (0., 0.);
    for record in records.train.iter().step_by(step) {
        let text = text(record);
        let tokens = match &tokenizer {
            Some(tokenizer) => tokenizer.encode_text(&text)?.len(),
            None => text.len() / 4,
        };
        sum += tokens as f64 + record.images().len() as f64 * PICTURE;
        count += 1.;
    }
    Ok(sum / f64::max(count, 1.))
}

fn mean_rows(batches: &Buckets) -> f64 {
    let rows: usize = batches.list.iter().map(|bucket| bucket.batch).sum();
    rows as f64 / batches.list.len().max(1) as f64
}

/// Multiplications and additions a second of a product of matrices in f32.
fn multiplications_a_second() -> f64 {
    const SIDE: usize = 512;
    const ROUNDS: u32 = 4;
    let product = || {
        let matrix = Tensor::ones((SIDE, SIDE), DType::F32, &Device::Cpu)?;
        let start = Instant::now();
        for _ in 0..ROUNDS {
            matrix.matmul(&matrix)?;
        }
        candle_core::Result::Ok(start.elapsed().as_secs_f64())
    };
    let sums = f64::from(ROUNDS) * (SIDE as f64).powi(3);
    // A machine that cannot multiply will say so itself, when it is asked to train.
    sums / product().unwrap_or(1.).max(1e-6)
}
