//! `jnana debug`: numbers for comparing with a reference.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;

use crate::assistant::{Assistant, load_with};
use crate::catalog::Catalog;
use crate::cli::Debug;

pub(super) fn run(command: Debug) -> Result<()> {
    match command {
        Debug::Logits { tokens, out, given } => {
            let settings = given.resolve()?;
            let path = super::library(&settings).resolve(&Catalog::built_in()?, &settings.model)?;
            let decoder = load_with(&path, &settings)?.decoder;
            let vocabulary = decoder.shape().vocab_size;
            ensure!(tokens.iter().all(|id| (*id as usize) < vocabulary), "token ids are below {vocabulary}");
            let ids = Tensor::new(tokens.as_slice(), decoder.device())?.unsqueeze(0)?;
            let hidden = decoder.forward_padded(&decoder.embed(&ids)?, None)?;
            write(&out, "logits", &decoder.logits(&hidden)?.squeeze(0)?)
        }
        Debug::Embed { plugin, input, out, given } => {
            let settings = given.resolve()?;
            let library = super::library(&settings);
            let assistant =
                Assistant::load(&settings, &Catalog::built_in()?, &library, std::sync::Arc::default())?;
            let bytes = std::fs::read(&input).with_context(|| input.display().to_string())?;
            let embeddings = assistant.inputs.embed(&plugin, &bytes)?;
            write(&out, "embeddings", &embeddings.rows)
        }
    }
}

fn write(out: &Path, name: &str, tensor: &Tensor) -> Result<()> {
    let tensor = tensor.to_dtype(candle_core::DType::F32)?.contiguous()?;
    candle_core::safetensors::save(&HashMap::from([(name, tensor.clone())]), out)
        .with_context(|| out.display().to_string())?;
    println!("{}: {name} {:?}", out.display(), tensor.dims());
    Ok(())
}
