//! Decoders, weights and tokenizers against fixtures that `tests/fixtures/make_*.py` make from reference programs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails as the test does")]

mod decoders;
mod export_gguf;
mod folders;
mod footprints;
mod gguf;
mod kept;
mod packed;
mod qlora;
mod support;
mod tokens;
mod training;
mod writing;
