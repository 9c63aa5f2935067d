//! `jnana-trainer merge`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use candle_core::{D, Device, Tensor};
use jnana_models::decoder::{Decoder, DecoderShape};
use jnana_models::merge::{InNf4, Merged};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::weights::{Quantization, TensorSource};
use jnana_models::{Adapter, Checkpoint, LoadOptions, Loaded, Mode, load_decoder, open_checkpoint};

use super::export;
use crate::cli::Merge;

/// What two models are compared on.
const SENTENCES: [&str; 4] = [
    "A man in a red jacket rides his bicycle along a busy street while two children wait at the corner with their dog.",
    "What is the capital of France? The capital of France is Paris, a city on the river Seine with two million people.",
    "Water boils at 100 degrees; the higher you climb, the sooner it does, so tea on a mountain is never quite as strong.",
    "If you cannot open the door, first make sure that it is not locked, then push it gently and lift it a little.",
];
/// Most ids of a sentence.
const LENGTH: usize = 32;

pub(super) fn run(merge: &Merge) -> Result<()> {
    let adapter = Arc::new(open_adapter(&merge.adapter)?);
    let base = open_checkpoint(&merge.base)?;
    let in_nf4 = InNf4::new(Arc::clone(&base.source));
    let nf4 = in_nf4.has_effect(&base.config)?;
    if merge.nf4 && !nf4 {
        eprintln!("{} is quantised already: --nf4 leaves it as it is", merge.base.display());
    }
    let source: Arc<dyn TensorSource> = if merge.nf4 { Arc::new(in_nf4) } else { Arc::clone(&base.source) };
    let merged = Merged::new(source, Arc::clone(&adapter), &base.config).with_context(|| {
        let (adapter, base) = (merge.adapter.display(), merge.base.display());
        format!("{adapter} is no adapter for {base}; its adapter_config.json names the base that it is for")
    })?;
    let checkpoint = Checkpoint { source: Arc::new(merged), ..base };
    let written = export::write(&checkpoint, &merge.base, &merge.dtype, &merge.output)?;
    let beside = if nf4 { "the base in NF4" } else { "the base as it is" };
    println!("beside {beside} with the adapter, {}", gap(&written, merge, adapter)?);
    println!("{}", written.display());
    Ok(())
}

fn open_adapter(folder: &Path) -> Result<Adapter> {
    ensure!(
        folder.join("adapter_config.json").is_file(),
        "--adapter: {} holds no adapter_config.json; name an adapter's folder, such as RUN/adapter",
        folder.display()
    );
    Ok(Adapter::load(folder, &Device::Cpu)?)
}

/// What was written, against the base as it was while the adapter was trained in NF4, with the adapter on it.
fn gap(written: &Path, merge: &Merge, adapter: Arc<Adapter>) -> Result<Gap> {
    // Serving rounds what a quantised matrix is multiplied with, training does not.
    let plain = LoadOptions { mode: Mode::Training, ..LoadOptions::new(Device::Cpu) };
    let trained = LoadOptions {
        quantize: Some(Quantization::Nf4),
        vocab_rows: merge.output.vocab_rows,
        adapter: Some(adapter),
        ..plain.clone()
    };
    let Loaded { decoder, tokenizer, .. } = load_decoder(&merge.base, &trained)?;
    let texts = texts(tokenizer.as_ref(), decoder.shape())?;
    let want = logits(decoder.as_ref(), &texts)?;
    // A large model fits into memory once.
    drop(decoder);
    Gap::between(&logits(load_decoder(written, &plain)?.decoder.as_ref(), &texts)?, &want)
}

/// Logits behind every id of every text, `[positions, vocabulary]` in f32.
fn logits(decoder: &dyn Decoder, texts: &[Vec<u32>]) -> Result<Tensor> {
    let of_text = |ids: &Vec<u32>| {
        let rows = decoder.embed(&Tensor::new(ids.as_slice(), decoder.device())?)?.unsqueeze(0)?;
        decoder.logits(&decoder.forward_padded(&rows, None)?.squeeze(0)?)
    };
    let all = texts.iter().map(of_text).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Tensor::cat(&all, 0)?)
}

/// Sentences as the model's tokenizer has them; ids from all over the vocabulary where it has none.
fn texts(tokenizer: Option<&Tokenizer>, shape: &DecoderShape) -> Result<Vec<Vec<u32>>> {
    let length = LENGTH.min(shape.max_positions);
    let sentences = tokenizer.into_iter().flat_map(|it| SENTENCES.map(|text| it.encode_text(text)));
    let mut texts = sentences.collect::<Result<Vec<_>, _>>()?;
    for ids in &mut texts {
        ids.retain(|id| (*id as usize) < shape.vocab_size);
        ids.truncate(length);
    }
    texts.retain(|ids| !ids.is_empty());
    Ok(if texts.is_empty() { spread(shape.vocab_size, length) } else { texts })
}

/// As many texts as there are [`SENTENCES`], of ids below `rows`.
fn spread(rows: usize, length: usize) -> Vec<Vec<u32>> {
    let count = SENTENCES.len() * length;
    // A step of about the golden section comes back only after all others.
    let ids: Vec<u32> = (0..count).map(|number| (number * 79 % count * rows / count) as u32).collect();
    ids.chunks(length).map(<[u32]>::to_vec).collect()
}

/// How far two models' logits are from each other.
struct Gap {
    positions: usize,
    /// Positions with the same arg max.
    agreeing: usize,
    largest: f32,
    mean: f64,
}

impl Gap {
    /// Of logits `[positions, vocabulary]`.
    fn between(a: &Tensor, b: &Tensor) -> Result<Self> {
        let likeliest = |logits: &Tensor| logits.argmax(D::Minus1)?.to_vec1::<u32>();
        let agreeing = likeliest(a)?.iter().zip(likeliest(b)?).filter(|(a, b)| *a == b).count();
        let differences = (a - b)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
        let mean = differences.iter().map(|&it| f64::from(it)).sum::<f64>() / differences.len() as f64;
        ensure!(
            mean.is_finite(),
            "the merged model computes no numbers: f16 ends at 65504, take another --dtype such as bf16"
        );
        let largest = differences.into_iter().fold(0., f32::max);
        Ok(Self { positions: a.dim(0)?, agreeing, largest, mean })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { positions, agreeing, largest, mean } = self;
        let share = 100. * *agreeing as f64 / *positions as f64;
        write!(
            f,
            "{positions} positions: logits differ by {largest:.2e} at most and {mean:.2e} on average, \
             the same arg max at {share:.1} %"
        )
    }
}
