//! The server and command line of Jnana.
//!
//! [`cli`] reads arguments, [`settings`] resolves them, [`commands`] runs them; [`startup`] turns settings into a serving
//! program, whose interface is [`routes`]. [`assistant`] is a model with its plugins, [`serving`] which of them answers,
//! [`storage`] what is kept, [`catalog`] where models come from, [`admin`] who may look after all of it.

pub mod admin;
pub mod assistant;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod error;
mod files;
pub mod http;
pub mod memory;
pub mod metrics;
pub mod routes;
pub mod secret;
pub mod serving;
pub mod settings;
pub mod startup;
pub mod state;
pub mod storage;
pub mod telemetry;
