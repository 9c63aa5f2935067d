//! Trains what Jñāna runs, after LLaVA (Liu et al. 2023, arXiv 2304.08485 and 2310.03744): stage 0 pre-trains a decoder
//! on text, stage 1 aligns a projector with it, stage 2 tunes projector and adapter together; then merge and export.
//!
//! - [`recipe`] is what a person writes, [`assemble`] makes of it what a [`session`] trains, [`products`] are what is left;
//! - [`data`] turns files into batches, [`draw`] makes such files;
//! - [`train`] has what every stage's loop is made of: optimiser, schedule, checkpoints, events;
//! - [`evaluation`] has a model answer and [`eval`] scores what it says;
//! - [`shipped`] has the recipes that come with the program, [`forms`] says which settings they have, [`check`] looks at one
//!   before it is carried out;
//! - [`cli`] and [`commands`] are the program `jnana-trainer`.

pub mod assemble;
mod card;
mod changes;
pub mod check;
pub mod cli;
pub mod commands;
pub mod data;
pub mod draw;
mod error;
pub mod eval;
pub mod evaluation;
pub mod forms;
mod initial;
pub mod learner;
pub mod products;
pub mod recipe;
pub mod session;
pub mod shipped;
pub mod train;
pub mod watch;

pub use error::{Error, Result};
