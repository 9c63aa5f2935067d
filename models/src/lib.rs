//! Networks and their weights. One network is one file; its `Config` mirrors the Hugging Face `config.json`, its
//! tensor names the Hugging Face checkpoint. No HTTP, no policy.

pub mod decoder;
