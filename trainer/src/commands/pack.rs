//! `jnana-trainer pack`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use jnana_models::projector::Projector;
use jnana_models::{Adapter, parse_dtype};
use sha2::{Digest, Sha256};

use crate::cli::Pack;

pub(super) fn run(pack: &Pack) -> Result<()> {
    let dtype = parse_dtype(&pack.dtype)?;
    super::export::ensure_another(&pack.run, &pack.out)?;
    fs::create_dir_all(&pack.out).with_context(|| pack.out.display().to_string())?;
    let mut written = Vec::new();
    written.extend(projector(&pack.run, &pack.out, dtype)?);
    written.extend(adapter(&pack.run, &pack.out, dtype)?);
    let run = pack.run.display();
    ensure!(
        !written.is_empty(),
        "{run} has neither projector nor adapter: name the folder of a finished run"
    );
    for path in written {
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        println!("{}  {} bytes  sha256 {}", path.display(), bytes.len(), hex::encode(Sha256::digest(&bytes)));
    }
    Ok(())
}

fn projector(run: &Path, out: &Path, dtype: DType) -> Result<Option<PathBuf>> {
    let from = run.join("projector.safetensors");
    if !from.is_file() {
        return Ok(None);
    }
    let to = out.join("projector.safetensors");
    let projector = Projector::load(&from, dtype, &Device::Cpu)?;
    ensure_finite(projector.named().into_iter().map(|(_, tensor)| tensor), dtype)?;
    projector.save(&to)?;
    Ok(Some(to))
}

fn adapter(run: &Path, out: &Path, dtype: DType) -> Result<Vec<PathBuf>> {
    let (from, to) = (run.join("adapter"), out.join("adapter"));
    if !from.is_dir() {
        return Ok(Vec::new());
    }
    let adapter = Adapter::load(&from, &Device::Cpu)?;
    ensure_finite(adapter.named().map(|(_, tensor)| tensor), dtype)?;
    adapter.save(&to, &Adapter::base_of(&from)?, dtype)?;
    Ok(["adapter_config.json", "adapter_model.safetensors"].map(|file| to.join(file)).into())
}

fn ensure_finite<'a>(tensors: impl Iterator<Item = &'a Tensor>, dtype: DType) -> Result<()> {
    for tensor in tensors {
        let largest = tensor.to_dtype(dtype)?.to_dtype(DType::F32)?.abs()?.max_all()?.to_scalar::<f32>()?;
        ensure!(largest.is_finite(), "--dtype: {} does not hold these numbers; take f32", dtype.as_str());
    }
    Ok(())
}
