//! Networks and their weights. One network is one file; its `Config` mirrors the Hugging Face `config.json`, its
//! tensor names the Hugging Face checkpoint. No HTTP, no policy.
//!
//! [`load_decoder`] turns a GGUF file or a Hugging Face folder into a [`Decoder`](decoder::Decoder) and its
//! [`Tokenizer`](tokenizer::Tokenizer); [`synthetic`] writes folders of random weights in any configuration's shapes.

mod block_product;
pub mod config;
pub mod decoder;
mod embedding;
mod error;
pub mod export;
pub mod linear;
pub mod llama;
pub mod load;
pub mod ops;
mod pass;
pub mod phi;
pub mod projector;
pub mod rotary;
pub mod shapes;
pub mod synthetic;
pub mod tokenizer;
pub mod vision;
pub mod weights;

pub use error::{Error, Result};
pub use load::{LoadOptions, Loaded, ModelInfo, load_decoder};
pub use ops::Mode;
