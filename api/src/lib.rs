//! Wire types that the browser, the server and the plugins share. Serde only, so that it builds for wasm.

pub mod admin;
pub mod conversations;
pub mod generations;
pub mod openai;
pub mod plugins;
