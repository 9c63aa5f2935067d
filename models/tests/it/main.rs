//! Decoders, weights and tokenizers against fixtures that `tests/fixtures/make_*.py` make from reference programs.

mod decoders;
mod folders;
mod gguf;
mod support;
mod tokens;
mod training;
mod writing;
