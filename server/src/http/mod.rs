//! What every call passes through: who may call, what is logged and counted, how bodies are read.

pub(crate) mod cookies;
pub mod extract;
pub mod gate;
pub mod guard;
pub mod headers;
pub mod observe;
pub mod own_names;
pub mod tls;
