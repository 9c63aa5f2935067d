//! The conversational core. It never knows a modality: it gets parts (tokens or `[n, d]` embeddings) and streams events.
//!
//! - [`template`], [`model_card`] and [`prompt`] turn a conversation into the parts of a prompt;
//! - [`engine`] answers requests: it batches the running ones each step, keeps their caches within a budget, reuses what
//!   an earlier request computed, and guesses ahead where an answer repeats what was said;
//! - [`sampler`] and [`stop`] decide what the next token is and where an answer ends;
//! - [`report`] says in one line what went wrong and why.

mod caches;
pub mod engine;
mod guesses;
pub mod model_card;
pub mod prompt;
pub mod report;
pub mod request;
pub mod sampler;
mod scheduler;
mod sequence;
mod stats;
mod step;
pub mod stop;
pub mod template;

pub use engine::{Answer, CancelHandle, Engine, EngineConfig, SubmitError};
pub use model_card::ModelCard;
pub use prompt::{BuiltPrompt, PromptError, Role, Turn};
pub use stats::Stats;
pub use template::Template;
