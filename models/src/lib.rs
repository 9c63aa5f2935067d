//! Networks and their weights. One network is one file; its `Config` mirrors the Hugging Face `config.json`, its
//! tensor names the Hugging Face checkpoint. No HTTP, no policy.
//!
//! [`load_decoder`] turns a GGUF file or a Hugging Face folder into a [`Decoder`](decoder::Decoder) and its
//! [`Tokenizer`](tokenizer::Tokenizer); [`synthetic`] writes folders of random weights in any configuration's shapes.

pub mod adapter;
mod cached_attention;
pub mod config;
pub mod decoder;
mod device;
mod dropout;
mod embedding;
mod error;
pub mod export;
pub mod export_gguf;
pub mod footprint;
mod frozen;
mod grad;
pub mod kept;
pub mod linear;
pub mod llama;
pub mod load;
pub mod lora;
mod marks;
pub mod merge;
pub mod nf4;
pub mod ops;
pub mod params;
mod pass;
mod peft;
pub mod phi;
pub mod projector;
mod random;
pub mod rotary;
pub mod shapes;
pub mod synthetic;
pub mod tokenizer;
mod values;
pub mod vision;
pub mod weights;
mod whole_file;

pub use adapter::Adapter;
pub use device::{parse_device, parse_dtype};
pub use error::{Error, Result};
pub use footprint::{Footprint, footprint};
pub use kept::KeptFolder;
pub use load::{Checkpoint, LoadOptions, Loaded, ModelInfo, load_decoder, open_checkpoint};
pub use lora::LoraConfig;
pub use ops::Mode;
pub use whole_file::write_whole;
