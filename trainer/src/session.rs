//! The loop: step after step until all are done, somebody asks for the end, or the loss goes wrong.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jnana_kernels::usage;
use sha2::{Digest, Sha256};

use crate::data::batch::{Batch, Collator};
use crate::data::loader::Loader;
use crate::data::plan::{Cursor, Plan, Planned};
use crate::learner::Learner;
use crate::recipe::Recipe;
use crate::train::checkpoint::{Checkpoint, State, Which};
use crate::train::events::{EndReason, Event, StepReport};
use crate::train::interrupt::Interrupt;
use crate::train::optimizer::AdamW;
use crate::train::progress::Meter;
use crate::train::run::Run;
use crate::watch::Watch;
use crate::{Error, Result};

/// Batches made ahead of the loop.
const AHEAD: usize = 4;
/// What a step leaves of the weight of those before it in the mean loss.
const MEMORY: f64 = 0.95;

/// Examples to learn from or to measure by.
#[derive(Clone)]
pub struct Examples {
    /// Puts them into batches.
    pub collator: Collator,
    /// Deals them into batches.
    pub plan: Arc<Plan>,
}

impl Examples {
    /// Tells other examples apart: sha256 of their records, weights, tokens and targets, hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for example in self.collator.examples.iter() {
            hash.update(example.record.as_bytes());
            hash.update(example.weight.to_le_bytes());
            hash.update([example.ids.len(), example.targets.len()].map(usize::to_le_bytes).concat());
            example.ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
            example.targets.iter().for_each(|target| hash.update(target.token.to_le_bytes()));
        }
        hex::encode(hash.finalize())
    }
}

/// A run in progress.
pub struct Session<'a> {
    recipe: &'a Recipe,
    learner: &'a Learner,
    run: &'a Run,
    optimizer: AdamW,
    state: State,
}

/// Counts epochs. One has to be dealt to know its batches, so that is done once for each.
#[derive(Default)]
struct Epochs {
    /// The last epoch and its batches.
    counted: Option<(u64, usize)>,
}

impl Epochs {
    /// How many are done, with a fraction.
    fn done(&mut self, plan: &Plan, at: Cursor) -> f64 {
        let batches = match self.counted {
            Some((epoch, batches)) if epoch == at.epoch => batches,
            _ => plan.epoch(at.epoch).len().max(1),
        };
        self.counted = Some((at.epoch, batches));
        at.epoch as f64 + at.batch as f64 / batches as f64
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Mean cross entropy of its targets, in nats.
    pub loss: f64,
    /// Norm of its gradient before clipping.
    pub norm: f64,
    /// The learning rate.
    pub rate: f64,
    /// Positions of its batches, padding not counted.
    pub positions: usize,
    /// Where to go on.
    pub next: Cursor,
}

impl<'a> Session<'a> {
    /// Begins, or goes on from the run's last checkpoint.
    ///
    /// # Errors
    /// When the checkpoint is damaged or of another recipe.
    pub fn open(recipe: &'a Recipe, learner: &'a Learner, optimizer: AdamW, run: &'a Run) -> Result<Self> {
        let mut session = Self { recipe, learner, run, optimizer, state: State::default() };
        if let Some(checkpoint) = run.load(Which::Last, learner.device())? {
            session.restore(checkpoint)?;
        }
        Ok(session)
    }

    /// Steps done.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// What is trained, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &candle_core::Var)> {
        self.optimizer.variables()
    }

    /// Trains until the end; `held_out` is what the loss is measured on.
    ///
    /// # Errors
    /// When the run was begun with other examples, a batch cannot be made, the loss explodes, or the run's folder cannot be
    /// written. The last checkpoint stays.
    pub fn train(
        &mut self,
        train: &Examples,
        held_out: Option<&Examples>,
        watch: &mut Watch,
        interrupt: &Interrupt,
    ) -> Result<EndReason> {
        self.keep_to(train)?;
        let collator = train.collator.clone();
        let make = move |planned: Planned| Ok((collator.collate(&planned.examples)?, planned.next));
        let mut batches = Loader::start(train.plan.from(self.state.cursor), make, 1, AHEAD)
            .map_err(Error::io("start a thread for", self.run.folder()))?;
        let (mut meter, mut epochs) = (Meter::start(), Epochs::default());
        while self.state.step < self.recipe.steps && !self.is_tired() {
            if interrupt.requested() {
                self.save(false, watch)?;
                return Ok(EndReason::Interrupted);
            }
            let step = self.take_step(&mut batches)?;
            watch.step(StepReport {
                step: self.state.step,
                epoch: epochs.done(&train.plan, step.next),
                loss: step.loss,
                rate: step.rate,
                gradient_norm: step.norm,
                positions_per_second: meter.add(step.positions),
                memory: usage::memory("self", "VmRSS"),
            })?;
            self.keep(held_out, watch)?;
        }
        Ok(if self.state.step < self.recipe.steps { EndReason::Early } else { EndReason::Finished })
    }

    /// Refuses other examples than the run was begun with: its place among them would mean nothing.
    fn keep_to(&mut self, train: &Examples) -> Result<()> {
        let fingerprint = train.fingerprint();
        match &self.state.examples {
            Some(begun) if *begun != fingerprint => {
                Err(Error::OtherData { folder: self.run.folder().to_owned() })
            }
            _ => {
                self.state.examples = Some(fingerprint);
                Ok(())
            }
        }
    }

    /// Gathers the micro-batches' gradients, clips them and changes the variables. Each batch comes with the cursor behind
    /// it.
    ///
    /// # Errors
    /// When there are too few batches, one cannot be made or computed, or the loss explodes.
    pub fn take_step(&mut self, mut batches: impl Iterator<Item = Result<(Batch, Cursor)>>) -> Result<Step> {
        let mut gradients = self.optimizer.gradients();
        let (mut loss, mut targets, mut positions) = (0., 0, 0);
        let (mut records, mut next) = (Vec::new(), self.state.cursor);
        for _ in 0..self.recipe.accumulate {
            let (batch, cursor) = batches.next().unwrap_or(Err(Error::Thread { thread: "the loader" }))?;
            let batch = batch.to_device(self.learner.device()).map_err(Error::compute("move a batch"))?;
            loss += self.learner.backward(&batch, self.recipe.recompute, &mut gradients)?;
            targets += batch.target_count();
            positions += batch.positions;
            records.extend(batch.records);
            next = cursor;
        }
        loss /= targets.max(1) as f64;
        gradients.scale(1. / targets.max(1) as f64);
        let norm = gradients.clip(self.recipe.clip).map_err(Error::compute("the norm of a gradient"))?;
        self.check(loss, norm, &records)?;
        let rate = self.recipe.rate.at(self.state.step as usize, self.recipe.steps as usize);
        self.optimizer.step(&gradients, rate)?;
        self.state.step += 1;
        self.state.cursor = next;
        self.state.positions += positions as u64;
        Ok(Step { loss, norm, rate, positions, next })
    }

    /// Ends the run before a loss or gradient that went wrong reaches the variables.
    fn check(&mut self, loss: f64, norm: f64, records: &[String]) -> Result<()> {
        // Near zero, where a few tokens are a multiple, nothing explodes.
        let bound = |mean: f64| (mean * self.recipe.keep.explosion).max(mean + 1.);
        let explodes = self.state.mean_loss.is_some_and(|mean| loss > bound(mean));
        if !loss.is_finite() || !norm.is_finite() || explodes {
            let folder = self.run.checkpoint_folder(Which::Last);
            return Err(Error::Diverged {
                step: self.state.step + 1,
                loss,
                norm,
                records: records.join(", "),
                checkpoint: if folder.exists() {
                    folder.display().to_string()
                } else {
                    "none yet".to_owned()
                },
            });
        }
        self.state.mean_loss =
            Some(self.state.mean_loss.map_or(loss, |mean| MEMORY * mean + (1. - MEMORY) * loss));
        Ok(())
    }

    /// True when the held-out loss has not fallen for as long as the recipe waits.
    fn is_tired(&self) -> bool {
        let patience = self.recipe.keep.patience;
        patience > 0 && self.state.since_best >= patience
    }

    /// Measures and writes a checkpoint where it is time.
    fn keep(&mut self, held_out: Option<&Examples>, watch: &mut Watch) -> Result<()> {
        let keep = &self.recipe.keep;
        let is_last = self.state.step >= self.recipe.steps;
        let due = |every: u64| is_last || (every > 0 && self.state.step.is_multiple_of(every));
        let (evaluate, save) = (due(keep.evaluate_every), due(keep.checkpoint_every));
        let mut best = false;
        if let Some(held_out) = held_out.filter(|_| evaluate) {
            let loss = measure(self.learner, held_out)?;
            best = loss.is_finite() && self.state.best.is_none_or(|before| loss < before);
            self.state.since_best = if best { 0 } else { self.state.since_best + 1 };
            if best {
                self.state.best = Some(loss);
            }
            let metrics = BTreeMap::from([("loss".to_owned(), loss)]);
            watch.event(Event::Evaluation { step: self.state.step, metrics })?;
        }
        if save || best || self.is_tired() {
            self.save(best, watch)?;
        }
        Ok(())
    }

    fn save(&mut self, best: bool, watch: &mut Watch) -> Result<()> {
        self.state.optimizer_steps = self.optimizer.steps();
        self.state.dropout = self.learner.adapter.as_ref().map(|adapter| adapter.dropout_state());
        let weights = self.optimizer.variables();
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            weights: weights
                .map(|(name, variable)| (name.to_owned(), variable.as_tensor().clone()))
                .collect(),
            optimizer: self.optimizer.state()?.into_iter().collect(),
        };
        self.run.save(&checkpoint, best)?;
        let which = if best { Which::Best } else { Which::Last };
        let folder = self.run.checkpoint_folder(which);
        watch.event(Event::Checkpoint { step: self.state.step, folder, best })
    }

    fn restore(&mut self, checkpoint: Checkpoint) -> Result<()> {
        set_variables(&self.optimizer, &checkpoint.weights)?;
        self.optimizer.load(&checkpoint.optimizer, checkpoint.state.optimizer_steps)?;
        if let (Some(adapter), Some(dropout)) = (&self.learner.adapter, checkpoint.state.dropout) {
            adapter.restore_dropout(dropout);
        }
        self.state = checkpoint.state;
        Ok(())
    }

    /// Takes up the variables of the best checkpoint, if there is one: what a run leaves behind.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn take_best(&mut self) -> Result<()> {
        match self.run.load(Which::Best, self.learner.device())? {
            Some(best) => set_variables(&self.optimizer, &best.weights),
            None => Ok(()),
        }
    }
}

/// Mean cross entropy of all targets of `examples`, in nats, without dropout.
///
/// # Errors
/// When a batch cannot be made or computed.
pub fn measure(learner: &Learner, examples: &Examples) -> Result<f64> {
    match &learner.adapter {
        Some(adapter) => adapter.without_dropout(|| mean_loss(learner, examples)),
        None => mean_loss(learner, examples),
    }
}

fn mean_loss(learner: &Learner, examples: &Examples) -> Result<f64> {
    let (mut sum, mut targets) = (0., 0);
    for numbers in examples.plan.in_order() {
        let batch = examples.collator.collate(&numbers)?;
        let batch = batch.to_device(learner.device()).map_err(Error::compute("move a batch"))?;
        let total = learner.losses(&batch)?.sum_all().and_then(|sum| sum.to_scalar::<f32>());
        sum += f64::from(total.map_err(Error::compute("the loss of a batch"))?);
        targets += batch.target_count();
    }
    Ok(sum / targets.max(1) as f64)
}

fn set_variables(optimizer: &AdamW, weights: &HashMap<String, candle_core::Tensor>) -> Result<()> {
    for (name, variable) in optimizer.variables() {
        let tensor =
            weights.get(name).ok_or_else(|| Error::setting(name, "a tensor of the checkpoint", "none"))?;
        variable.set(tensor).map_err(Error::compute(format!("restore {name}")))?;
    }
    Ok(())
}
