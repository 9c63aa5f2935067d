//! The server as its callers see it: real sockets, the real default model, the real plugins.
//!
//! `JNANA_TEST_MODELS` names a models folder as `jnana models pull` lays it out; the plugins lie beside the program.
//! `cargo xtask test` prepares both.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod admin;
mod bad_plugins;
mod bench;
mod chat;
mod conversations;
mod flagship;
mod generations;
mod guard;
mod inputs;
mod kept;
mod models;
mod new_plugins;
mod process;
mod promotion;
mod support;
mod terminal;
mod tls;
mod wrong_input;
