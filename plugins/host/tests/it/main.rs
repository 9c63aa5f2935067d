//! The host against real libraries: a good one in C, bad ones in C compiled from `tests/fixtures/plugin.c`, and one made
//! with the SDK that panics. Every test that loads a bad one has the good one beside it, and the good one goes on working.

#![allow(clippy::unwrap_used, clippy::expect_used)] // In a test's helpers as in the tests: a failed unwrap is a failed test.

mod calls;
mod inputs;
mod installing;
mod loading;
mod panics;
mod support;
mod workers;
