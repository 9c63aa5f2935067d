//! The core alone: how fast the decoder reads and writes, for one sequence or several at once, and what it takes to have it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use candle_core::utils::get_num_threads;
use candle_core::{D, Tensor};
use jnana_core::EngineConfig;
use jnana_kernels::usage;
use jnana_models::decoder::{Decoder, SequenceCache, Span};
use serde_json::{Value, json};

use super::{median, perplexity};
use crate::assistant::load_with;
use crate::catalog::Catalog;
use crate::cli::Bench;

/// Loads the decoder, lets it read prompts of pseudo-random ids and continue them greedily, and says how fast. No tokenizer
/// is needed, but for a perplexity.
pub(super) fn report(bench: &Bench) -> Result<Value> {
    let settings = bench.given.clone().resolve()?;
    let path = super::super::library(&settings).resolve(&Catalog::built_in()?, &settings.model)?;
    let start = Instant::now();
    let loaded = load_with(&path, &settings)?;
    let load = start.elapsed();
    let speed = Speed::measure(loaded.decoder.as_ref(), bench)?;
    let sequences = bench.sequences.get();
    let each = |total: Option<f64>| total.map(|total| total / sequences as f64);
    let (prefill, decode) = (median(&speed.prefill), median(&speed.decode));
    let mut report = json!({
        "model": path.display().to_string(),
        "threads": get_num_threads(),
        "sequences": sequences,
        "prompt": bench.prompt,
        "generate": bench.generate,
        "repeat": bench.repeat.get(),
        "load_seconds": load.as_secs_f64(),
        "prefill_tokens_per_second": prefill,
        "prefill_tokens_per_second_per_sequence": each(prefill),
        "prefill_samples": speed.prefill,
        "decode_tokens_per_second": decode,
        "decode_tokens_per_second_per_sequence": each(decode),
        "decode_samples": speed.decode,
        "peak_memory_bytes": usage::memory("self", "VmHWM"),
    });
    if let Some(file) = &bench.perplexity {
        let tokenizer = loaded
            .tokenizer
            .with_context(|| format!("{} has no tokenizer, which a perplexity needs", path.display()))?;
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let found = perplexity::of(loaded.decoder.as_ref(), &tokenizer, &text)?;
        report["perplexity"] = found.perplexity.into();
        report["perplexity_tokens"] = found.tokens.into();
    }
    Ok(report)
}

/// Tokens a second of all sequences together, of every repetition.
struct Speed {
    prefill: Vec<f64>,
    decode: Vec<f64>,
}

impl Speed {
    fn measure(decoder: &dyn Decoder, bench: &Bench) -> Result<Self> {
        let (positions, most) = (bench.prompt + bench.generate, decoder.shape().max_positions);
        ensure!(bench.prompt > 0, "--prompt must be at least 1");
        ensure!(positions <= most, "the model has {most} positions, not {positions}");
        let sequences = bench.sequences.get();
        let mut run = Run::new(decoder, sequences, positions)?;
        // One step before the clock starts: thread pools and pages are warm, as in a server that runs.
        let hidden = run.step(&vec![0; sequences])?;
        run.likeliest(&hidden)?;
        let mut speed = Self { prefill: Vec::new(), decode: Vec::new() };
        for _ in 0..bench.repeat.get() {
            run.forget();
            let start = Instant::now();
            let mut next = run.read(bench.prompt)?;
            speed.prefill.push(rate(sequences * bench.prompt, start.elapsed()));
            let start = Instant::now();
            for _ in 0..bench.generate {
                let hidden = run.step(&next)?;
                next = run.likeliest(&hidden)?;
            }
            if bench.generate > 0 {
                speed.decode.push(rate(sequences * bench.generate, start.elapsed()));
            }
        }
        Ok(speed)
    }
}

fn rate(tokens: usize, time: Duration) -> f64 {
    tokens as f64 / time.as_secs_f64()
}

/// Sequences that go on together.
struct Run<'a> {
    decoder: &'a dyn Decoder,
    caches: Vec<SequenceCache>,
}

impl<'a> Run<'a> {
    fn new(decoder: &'a dyn Decoder, sequences: usize, positions: usize) -> Result<Self> {
        let cache = |_| SequenceCache::new(decoder.shape(), positions, decoder.dtype(), decoder.device());
        Ok(Self { decoder, caches: (0..sequences).map(cache).collect::<Result<_, _>>()? })
    }

    fn forget(&mut self) {
        self.caches.iter_mut().for_each(|cache| cache.truncate(0));
    }

    /// Lets every sequence read a prompt of its own, in steps of as many rows as in serving, and gives what each would write.
    fn read(&mut self, prompt: usize) -> Result<Vec<u32>> {
        let (sequences, vocabulary) = (self.caches.len(), self.decoder.shape().vocab_size);
        let share = (EngineConfig::default().prefill_rows / sequences).max(1);
        let mut last = None;
        for start in (0..prompt).step_by(share) {
            let rows = start..prompt.min(start + share);
            let id = |sequence: usize, row: usize| ((row + 31 * sequence) * 7919 % vocabulary) as u32;
            let ids = (0..sequences).flat_map(|sequence| rows.clone().map(move |row| id(sequence, row)));
            last = Some(self.step(&ids.collect::<Vec<_>>())?);
        }
        self.likeliest(&last.context("an empty prompt")?)
    }

    /// Continues the sequences by `ids`, as many for each, those of the first sequence first. Returns their hidden rows.
    fn step(&mut self, ids: &[u32]) -> Result<Tensor> {
        let rows = ids.len() / self.caches.len();
        let input = self.decoder.embed(&Tensor::new(ids, self.decoder.device())?)?;
        let mut spans: Vec<Span<'_>> = self.caches.iter_mut().map(|cache| Span { cache, rows }).collect();
        Ok(self.decoder.forward_ragged(&input, &mut spans)?)
    }

    /// The most probable next id of each sequence.
    fn likeliest(&self, hidden: &Tensor) -> Result<Vec<u32>> {
        let rows = hidden.dim(0)? / self.caches.len();
        let last: Vec<u32> = (1..=self.caches.len()).map(|sequence| (sequence * rows - 1) as u32).collect();
        let last = hidden.index_select(&Tensor::new(last, hidden.device())?, 0)?;
        Ok(self.decoder.logits(&last)?.argmax(D::Minus1)?.to_vec1()?)
    }
}
