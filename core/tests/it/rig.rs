//! An engine over a probe, and what tests do with it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jnana_core::request::{Event, FinishReason, PromptPart, Request, Sampling, Stop, Usage};
use jnana_core::{Answer, Engine, EngineConfig, Stats};
use jnana_models::Loaded;
use jnana_models::tokenizer::Tokenizer;

use crate::probe::{Control, Probe};
use crate::tiny;

/// An engine with the tiny Llama; the test holds its control.
pub struct Rig {
    pub control: Arc<Control>,
    pub tokenizer: Tokenizer,
    engine: Engine,
}

impl Deref for Rig {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A test that failed must not leave the engine waiting at the gate.
        self.control.open();
    }
}

impl Rig {
    /// The network as it is.
    pub fn network(config: EngineConfig) -> Self {
        Self::new(tiny::load(), config, false)
    }

    /// The network in packed blocks.
    pub fn packed(config: EngineConfig) -> Self {
        Self::new(tiny::load_packed(), config, false)
    }

    /// A network that answers with the bytes that follow the prompt's last.
    pub fn counting(config: EngineConfig) -> Self {
        Self::new(tiny::load(), config, true)
    }

    fn new(loaded: Loaded, config: EngineConfig, counts: bool) -> Self {
        let control = Arc::new(Control::default());
        let probe = Probe { inner: loaded.decoder, control: Arc::clone(&control), counts };
        let tokenizer = loaded.tokenizer.unwrap();
        let engine = Engine::start(Box::new(probe), tokenizer.clone(), config);
        Self { control, tokenizer, engine }
    }

    /// Submits and waits for the end.
    pub fn ask(&self, request: Request) -> Outcome {
        collect(self.submit(request).unwrap())
    }

    /// Waits until the figures are as wanted.
    pub fn wait_until(&self, wanted: impl Fn(&Stats) -> bool) -> Stats {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let stats = self.stats();
            if wanted(&stats) {
                return stats;
            }
            assert!(Instant::now() < limit, "not reached: {stats:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A greedy request of one text, each byte a token.
pub fn request(text: &str, max_tokens: usize) -> Request {
    tokens_request(text.bytes().map(u32::from).collect(), max_tokens)
}

pub fn tokens_request(ids: Vec<u32>, max_tokens: usize) -> Request {
    parts_request(vec![PromptPart::Tokens(ids)], max_tokens)
}

pub fn parts_request(prompt: Vec<PromptPart>, max_tokens: usize) -> Request {
    Request { prompt, sampling: Sampling::default(), stop: Stop { max_tokens, ..Stop::default() } }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub text: String,
    /// The last event.
    pub end: Event,
}

impl Outcome {
    pub fn reason(&self) -> FinishReason {
        match &self.end {
            Event::Finished { reason, .. } => *reason,
            other => panic!("not finished: {other:?}"),
        }
    }

    pub fn usage(&self) -> Usage {
        match &self.end {
            Event::Finished { usage, .. } => *usage,
            other => panic!("not finished: {other:?}"),
        }
    }

    pub fn failure(&self) -> &str {
        match &self.end {
            Event::Failed(message) => message,
            other => panic!("did not fail: {other:?}"),
        }
    }
}

/// Reads an answer to its end, and checks that nothing follows.
pub fn collect(mut answer: Answer) -> Outcome {
    let mut text = String::new();
    loop {
        match answer.events.blocking_recv().expect("the engine went away") {
            Event::Text(more) => {
                assert!(!more.is_empty());
                text.push_str(&more);
            }
            end => {
                assert_eq!(answer.events.blocking_recv(), None);
                return Outcome { text, end };
            }
        }
    }
}

/// Limits for most tests: no more than the tiny network needs.
pub fn config() -> EngineConfig {
    EngineConfig { context: tiny::MAX_POSITIONS, cache_bytes: 64 << 20, ..EngineConfig::default() }
}
