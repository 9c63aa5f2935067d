//! `jnana-trainer tokenizer`.

use anyhow::{Context, Result};
use jnana_models::tokenizer::learn;

use crate::cli::Tokenizer;

pub(super) fn run(tokenizer: &Tokenizer) -> Result<()> {
    let read =
        |path: &std::path::PathBuf| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let texts = tokenizer.text.iter().map(read).collect::<Result<Vec<_>>>()?;
    let tokens = learn(texts.iter().flat_map(|text| text.lines()), tokenizer.tokens, &tokenizer.out)?;
    println!("{tokens} tokens in {}", tokenizer.out.display());
    Ok(())
}
