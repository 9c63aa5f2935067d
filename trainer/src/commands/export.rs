//! `jnana-trainer export`.

use anyhow::Result;
use jnana_models::export::{copy_tokenizer, export_folder};
use jnana_models::load::open_checkpoint;

use crate::cli::Export;

pub(super) fn run(export: &Export) -> Result<()> {
    let checkpoint = open_checkpoint(&export.model)?;
    let dtype = super::dtype(&export.format)?;
    export_folder(checkpoint.source.as_ref(), &checkpoint.json, export.vocab_rows, dtype, &export.out)?;
    copy_tokenizer(&export.model, &export.out)?;
    println!("{}", export.out.display());
    Ok(())
}
