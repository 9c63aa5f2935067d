//! The trainer on real small files, most of which the tests make.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod batches;
mod checkpoints;
mod draw;
mod endings;
mod evaluations;
mod examples;
mod features;
mod forms;
mod interrupt;
mod learner;
mod metrics;
mod optimizer;
mod parity;
mod products;
mod runs;
mod sources;
mod support;
