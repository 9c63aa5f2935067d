//! `jnana-trainer export`.

use anyhow::{Context, Result};
use jnana_models::export::{copy_tokenizer, export_folder};
use jnana_models::export_gguf::{GgufFormat, export_gguf, tokenizer_metadata};
use jnana_models::load::open_checkpoint;

use crate::cli::Export;

pub(super) fn run(export: &Export) -> Result<()> {
    let checkpoint = open_checkpoint(&export.model)?;
    let source = checkpoint.source.as_ref();
    match export.format.strip_prefix("gguf-") {
        None => {
            let dtype = super::dtype(&export.format)?;
            export_folder(source, &checkpoint.json, export.vocab_rows, dtype, &export.out)?;
            copy_tokenizer(&export.model, &export.out)?;
        }
        Some(format) => {
            let format: GgufFormat = format.parse().map_err(anyhow::Error::msg)?;
            std::fs::create_dir_all(&export.out).with_context(|| export.out.display().to_string())?;
            let name = export.model.file_stem().unwrap_or_default().to_string_lossy();
            let file = export.out.join(format!("{name}.{format}.gguf"));
            let tokenizer = tokenizer_metadata(&export.model)?;
            export_gguf(source, &checkpoint.config, tokenizer, export.vocab_rows, format, &name, &file)?;
        }
    }
    println!("{}", export.out.display());
    Ok(())
}
