//! `jnana-trainer params`.

use anyhow::{Context, Result};
use jnana_models::config::Config;
use jnana_models::load::open_checkpoint;
use jnana_models::params::Parameters;

use crate::assemble::below;
use crate::cli::Params;
use crate::recipe::Recipe;

pub(super) fn run(params: &Params) -> Result<()> {
    let recipe = Recipe::read(&params.recipe, &params.set)?;
    let lora = recipe.lora.context("the recipe has no adapter: params is for stage 2")?;
    let config = match &params.config {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            Config::from_json(
                &serde_json::from_str(&text).with_context(|| file.display().to_string())?,
                file,
            )?
        }
        None => open_checkpoint(&below(&params.models, &recipe.decoder.model))?.config,
    };
    println!("{}", Parameters::count(&config.cut(recipe.decoder.vocab_rows)?, &lora)?);
    Ok(())
}
