//! `jnana-trainer merge`.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use jnana_models::adapter::Adapter;
use jnana_models::export::{copy_tokenizer, export_folder};
use jnana_models::load::open_checkpoint;
use jnana_models::merge::Merged;

use crate::cli::Merge;

pub(super) fn run(merge: &Merge) -> Result<()> {
    ensure!(merge.adapter.is_dir(), "--adapter: there is no folder {}", merge.adapter.display());
    let base = open_checkpoint(&merge.base)?;
    let adapter = Adapter::load(&merge.adapter, &candle_core::Device::Cpu)?;
    let merged = Merged::new(base.source, Arc::new(adapter), &base.config)?;
    let dtype = super::dtype(&merge.dtype)?;
    export_folder(&merged, &base.json, merge.vocab_rows, dtype, &merge.out)?;
    let copied = copy_tokenizer(&merge.base, &merge.out).context("copying the tokenizer")?;
    if copied == 0 {
        eprintln!("{} holds no tokenizer: put one beside the merged weights", merge.base.display());
    }
    println!("{}", merge.out.display());
    Ok(())
}
