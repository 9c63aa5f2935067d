//! `jnana-trainer pretrain | align | tune | features`.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::assemble::{Assembled, Places, assemble, fill_features};
use crate::cli::Train;
use crate::products;
use crate::recipe::{Recipe, Stage};
use crate::session::Session;
use crate::train::events::{EndReason, Event};
use crate::train::interrupt::Interrupt;
use crate::train::run::Run;
use crate::watch::Watch;

pub(super) fn run(train: &Train, stage: Stage) -> Result<()> {
    let recipe = Recipe::read(&train.recipe, &train.inputs.set)?;
    ensure!(
        recipe.stage == stage,
        "{} is a recipe of stage {:?}; call the command of that name",
        train.recipe.display(),
        recipe.stage
    );
    let places = places(train)?;
    // On a thread of candle's pool: from outside, every parallel operation would hand over to it and sleep.
    places.device.with_context(|| train_in(&places, &recipe, train))
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
    let mut ended = session.train(&examples, held_out.as_ref(), &mut watch, &interrupt);
    if matches!(ended, Ok(EndReason::Finished | EndReason::Early)) {
        let written = session.take_best().and_then(|()| {
            let written = products::write(&learner, session.variables(), recipe, &run)?;
            products::complete(recipe, &train.inputs.models, run.folder())?;
            Ok(written)
        });
        match written {
            Ok(written) => written.iter().for_each(|path| eprintln!("{}", path.display())),
            Err(error) => ended = Err(error),
        }
    }
    let (reason, message) = match &ended {
        Ok(reason) => (*reason, None),
        Err(error) => (EndReason::Failed, Some(error.to_string())),
    };
    watch.event(Event::End { step: session.step(), reason, message })?;
    if ended? == EndReason::Interrupted {
        eprintln!("stopped after step {}; the same command goes on from there", session.step());
    }
    Ok(())
}

/// Fills the cache of features, and nothing more.
pub(super) fn features(train: &Train) -> Result<()> {
    let recipe = Recipe::read(&train.recipe, &train.inputs.set)?;
    let interrupt = Interrupt::install().context("listening for Ctrl-C")?;
    let places = places(train)?;
    let filled = places
        .device
        .with_context(|| fill_features(&recipe, &places, &interrupt, |line| eprintln!("{line}")));
    Ok(filled?)
}

fn places(train: &Train) -> Result<Places> {
    let parent = train.run.parent().filter(|parent| !parent.as_os_str().is_empty());
    let beside = parent.unwrap_or(Path::new("."));
    let runs = train.runs.clone().unwrap_or_else(|| beside.to_owned());
    super::places(&train.inputs, runs, beside)
}
