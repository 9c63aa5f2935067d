//! The engine and the prompt builder against real networks: a small random Llama everywhere, SmolLM2 and GPT-2's tokenizer
//! from the folder in `JNANA_TEST_MODELS`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod embeddings;
mod failures;
mod generation;
mod guesses;
mod model_card;
mod prefix;
mod probe;
mod prompts;
mod rig;
mod same_answers;
mod scheduling;
mod smollm;
mod tiny;
