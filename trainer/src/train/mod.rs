//! What every stage's loop is made of.
//!
//! A step is: [`gradients`] gathers what the micro-batches give and clips it, [`schedule`] says how large the step is,
//! [`optimizer`] takes it. Around it: a [`run`]'s folder with its lock and recipe, [`checkpoint`]s in it, and what happens
//! as [`events`] for programs, [`tensorboard`] curves and [`progress`] for people; [`interrupt`] ends it in good order.

pub mod checkpoint;
pub mod events;
pub mod gradients;
pub mod interrupt;
pub mod optimizer;
pub mod progress;
pub mod run;
pub mod schedule;
pub mod tensorboard;
