//! `jnana-trainer pretrain | align | tune | features`.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;

use crate::assemble::{Assembled, Places, assemble};
use crate::cli::Train;
use crate::products;
use crate::recipe::{Recipe, Stage};
use crate::session::Session;
use crate::train::events::{EndReason, Event};
use crate::train::interrupt::Interrupt;
use crate::train::run::Run;
use crate::watch::Watch;

pub(super) fn run(train: &Train, stage: Stage) -> Result<()> {
    let recipe = Recipe::read(&train.recipe, &train.set)?;
    ensure!(
        recipe.stage == stage,
        "{} is a recipe of stage {:?}; call the command of that name",
        train.recipe.display(),
        recipe.stage
    );
    let device = super::device(&train.device)?;
    // On a thread of candle's pool: from outside, every parallel operation would hand over to it and sleep.
    let places = places(train, &device)?;
    device.with_context(|| train_in(&places, &recipe, train))
}

fn train_in(places: &Places, recipe: &Recipe, train: &Train) -> Result<()> {
    let run = Run::open(&train.run, &recipe.table()?)?;
    let interrupt = Interrupt::install().context("listening for Ctrl-C")?;
    let assembled = assemble(recipe, places, &interrupt, |line| eprintln!("{line}"))?;
    let Assembled { learner, optimizer, train: examples, held_out, records, warnings } = assembled;
    let trainable = optimizer.variables().map(|(_, variable)| variable.elem_count() as u64).sum();
    let mut session = Session::open(recipe, &learner, optimizer, &run)?;
    let mut watch = Watch::open(run.folder(), train.json, recipe.steps, session.step())?;
    watch.event(Event::Start {
        recipe: recipe.name.clone(),
        recipe_hash: run.recipe_hash().to_owned(),
        step: session.step(),
        steps: recipe.steps,
        trainable,
        records: records as u64,
    })?;
    for message in warnings {
        watch.event(Event::Warning { message })?;
    }
    let ended = session.train(&examples, held_out.as_ref(), &mut watch, &interrupt);
    let (reason, message) = match &ended {
        Ok(reason) => (*reason, None),
        Err(error) => (EndReason::Failed, Some(error.to_string())),
    };
    watch.event(Event::End { step: session.step(), reason, message })?;
    if ended? == EndReason::Interrupted {
        eprintln!("stopped after step {}; the same command goes on from there", session.step());
        return Ok(());
    }
    session.take_best()?;
    for path in products::write(&learner, session.variables(), recipe, &run)? {
        eprintln!("{}", path.display());
    }
    products::complete(recipe, &train.models, run.folder())?;
    Ok(())
}

/// Fills the cache of features, and nothing more.
pub(super) fn features(train: &Train) -> Result<()> {
    let recipe = Recipe::read(&train.recipe, &train.set)?;
    if recipe.vision.is_none() {
        bail!("{} has no pictures", train.recipe.display());
    }
    let device = super::device(&train.device)?;
    let interrupt = Interrupt::install().context("listening for Ctrl-C")?;
    let places = places(train, &device)?;
    device.with_context(|| assemble(&recipe, &places, &interrupt, |line| eprintln!("{line}")))?;
    Ok(())
}

fn places(train: &Train, device: &Device) -> Result<Places> {
    let beside =
        || train.run.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let runs = train.runs.clone().unwrap_or_else(|| beside().to_owned());
    let features = train.features.clone().unwrap_or_else(|| beside().join("features"));
    for (name, folder) in [("--data", &train.data), ("--models", &train.models)] {
        ensure!(folder.is_dir(), "{name}: there is no folder {}", folder.display());
    }
    let (data, models, device) = (train.data.clone(), train.models.clone(), device.clone());
    Ok(Places { data, models, runs, features, device })
}
