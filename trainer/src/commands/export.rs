//! `jnana-trainer export`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::DType;
use jnana_core::model_card::CardFile;
use jnana_models::export::{copy_tokenizer, export_folder, export_nf4};
use jnana_models::export_gguf::{GgufFormat, export_gguf, tokenizer_metadata};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::{Checkpoint, open_checkpoint, parse_dtype};

use crate::card::{Changes, write_card};
use crate::cli::{Export, Output};

pub(super) fn run(export: &Export) -> Result<()> {
    if let Some(adapter) = CardFile::parts(&export.model)?.adapter {
        let (model, adapter) = (export.model.display(), adapter.display());
        bail!(
            "{model} runs with the adapter in {adapter}; merge the two, which writes every format by its --dtype"
        );
    }
    let checkpoint = open_checkpoint(&export.model)?;
    let written = write(&checkpoint, &export.model, &export.format, &export.output)?;
    println!("{}", written.display());
    Ok(())
}

/// Writes `checkpoint`, the model at `from` or what was made of it, with tokenizer and card of the former. Returns where:
/// the folder, or the GGUF file in it.
///
/// # Errors
/// When there is no such format, it has no place for network or tokenizer, or the folder cannot be written or is that of the
/// model itself.
pub(super) fn write(checkpoint: &Checkpoint, from: &Path, format: &str, output: &Output) -> Result<PathBuf> {
    ensure_another(from, &output.out)?;
    let written = match format.strip_prefix("gguf-") {
        None => write_folder(checkpoint, from, format.parse()?, output)?,
        Some(format) => write_gguf(checkpoint, from, format.parse().map_err(anyhow::Error::msg)?, output)?,
    };
    let (name, space) = (output.name.as_deref(), output.space.as_deref());
    write_card(from, &written, Changes { name, space, projectors: &output.projector })?;
    Ok(written)
}

/// Refuses to write a model over itself: what is read is mapped from its files.
pub(super) fn ensure_another(from: &Path, out: &Path) -> Result<()> {
    ensure!(!out.is_file(), "--out: {} is a file; name a folder", out.display());
    let own = from.canonicalize().with_context(|| from.display().to_string())?;
    let own = if own.is_dir() { Some(own.as_path()) } else { own.parent() };
    let other = out.canonicalize().ok().is_none_or(|out| Some(out.as_path()) != own);
    ensure!(other, "--out: {} is the folder that is read; name another", out.display());
    Ok(())
}

/// What the numbers of a Hugging Face folder are.
#[derive(Debug, Clone, Copy)]
enum FolderFormat {
    Dense(DType),
    /// The layers' linears as bitsandbytes stores them, the rest in f16.
    Nf4,
}

impl FromStr for FolderFormat {
    type Err = anyhow::Error;

    fn from_str(format: &str) -> Result<Self> {
        if format == "nf4" {
            return Ok(Self::Nf4);
        }
        parse_dtype(format).ok().map(Self::Dense).with_context(|| {
            format!(
                "there is no format {format}: f32, f16, bf16 and nf4 make a Hugging Face folder, gguf-f16, gguf-q8_0, \
                 gguf-q4_0 and gguf-q4_k a GGUF file"
            )
        })
    }
}

fn write_folder(
    Checkpoint { source, json, .. }: &Checkpoint,
    from: &Path,
    format: FolderFormat,
    output: &Output,
) -> Result<PathBuf> {
    let (out, rows) = (&output.out, output.vocab_rows);
    match format {
        FolderFormat::Dense(dtype) => export_folder(source.as_ref(), json, rows, dtype, out)?,
        FolderFormat::Nf4 => export_nf4(source.as_ref(), json, rows, DType::F16, out)?,
    }
    copy_tokenizer(from, out)?;
    if Tokenizer::from_folder(out)?.is_none() {
        let (out, from) = (out.display(), from.display());
        eprintln!("{out} has no tokenizer, since {from} has none: add a tokenizer.json");
    }
    Ok(out.clone())
}

fn write_gguf(checkpoint: &Checkpoint, from: &Path, format: GgufFormat, output: &Output) -> Result<PathBuf> {
    let Checkpoint { source, config, .. } = checkpoint;
    let tokenizer = tokenizer_metadata(from)
        .context("a GGUF file would lack its tokenizer; write a folder instead, such as f16")?;
    if tokenizer.is_empty() {
        eprintln!(
            "{} has no tokenizer, and llama.cpp reads no file without: add a tokenizer.json",
            from.display()
        );
    }
    let name = name(from, output)?;
    // A name may be one on a hub, with its owner before a slash.
    let stem = name.rsplit('/').next().unwrap_or_default();
    let file = output.out.join(format!("{stem}.{format}.gguf"));
    std::fs::create_dir_all(&output.out).with_context(|| output.out.display().to_string())?;
    export_gguf(source.as_ref(), config, tokenizer, output.vocab_rows, format, &name, &file)?;
    Ok(file)
}

/// What people call the model: as asked for, else as its card says, else as its folder or file is called.
fn name(from: &Path, output: &Output) -> Result<String> {
    let card = CardFile::read(from)?.map(|(card, _)| card);
    if let Some(name) = output.name.clone().or(card.and_then(|card| card.name)) {
        return Ok(name);
    }
    let path = from.canonicalize().with_context(|| from.display().to_string())?;
    let part = if path.is_dir() { path.file_name() } else { path.file_stem() };
    Ok(part.unwrap_or_default().to_string_lossy().into_owned())
}
