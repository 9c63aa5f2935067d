//! What a call may push, and what it has pushed so far. The rules are the same whether the plugin runs in this process or
//! in a worker: there they are applied twice, since a worker is believed nothing.

use jnana_api::plugins::Segment;
use jnana_plugin_abi as abi;

use crate::call::EncodedRows;
use crate::tensor::Expected;

/// Most segments of one call.
const MAX_SEGMENTS: usize = 1 << 20;
/// Most text of one call in bytes: days of speech.
const MAX_TEXT: usize = 64 << 20;

/// Takes segments while a call runs; false when it wants no more.
pub(crate) type Reader = Box<dyn FnMut(&Segment) -> bool + Send>;

/// What a call may put into its sink.
pub(crate) enum Accepts {
    /// Nothing but `fail`.
    Nothing,
    /// One tensor.
    Tensor(Expected),
    /// Segments and properties.
    Text(Reader),
}

/// What was in the sink when its call ended.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) rows: Option<EncodedRows>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) language: Option<String>,
    /// The first `fail`.
    pub(crate) failure: Option<(i32, String)>,
    /// The first push that broke the contract, and how.
    pub(crate) rejection: Option<String>,
}

/// A call that is collecting.
pub(crate) struct Collecting {
    accepts: Accepts,
    text: usize,
    pub(crate) collected: Collected,
}

impl Collecting {
    pub(crate) fn new(accepts: Accepts) -> Self {
        Self { accepts, text: 0, collected: Collected::default() }
    }

    /// Ends the call: the reader is let go, and what came is handed over.
    pub(crate) fn finish(&mut self) -> Collected {
        self.accepts = Accepts::Nothing;
        std::mem::take(&mut self.collected)
    }

    /// Notes the first breach of the contract.
    pub(crate) fn reject(&mut self, reason: String) -> i32 {
        self.collected.rejection.get_or_insert(reason);
        abi::ERROR_REJECTED
    }

    /// What a tensor has to be, or that none may come (any more).
    pub(crate) fn expected(&self) -> Result<Expected, &'static str> {
        match self.accepts {
            Accepts::Tensor(_) if self.collected.rows.is_some() => Err("a second tensor was pushed"),
            Accepts::Tensor(expected) => Ok(expected),
            _ => Err("this call takes no tensor"),
        }
    }

    /// Takes a segment if it comes in order and the reader wants it.
    pub(crate) fn segment(&mut self, segment: Segment) -> i32 {
        let Accepts::Text(reader) = &mut self.accepts else {
            return self.reject("this call takes no text".to_owned());
        };
        if self.collected.segments.len() == MAX_SEGMENTS {
            return self.reject(format!("more than {MAX_SEGMENTS} segments were pushed"));
        }
        if self.text + segment.text.len() > MAX_TEXT {
            return self.reject(format!("more than {MAX_TEXT} bytes of text were pushed"));
        }
        if let Some(last) = self.collected.segments.last()
            && segment.start < last.start
        {
            let (start, before) = (segment.start, last.start);
            return self.reject(format!("a segment at {start} s was pushed after one at {before} s"));
        }
        let wanted = reader(&segment);
        self.text += segment.text.len();
        self.collected.segments.push(segment);
        if wanted { abi::OK } else { abi::ERROR_CANCELLED }
    }

    /// Takes a fact about the result.
    pub(crate) fn property(&mut self, key: &str, value: String) -> i32 {
        if key == "language" && !value.is_empty() {
            self.collected.language = Some(value);
        }
        abi::OK
    }

    /// Whether facts may be said of the result.
    pub(crate) fn takes_properties(&self) -> bool {
        matches!(self.accepts, Accepts::Text(_))
    }
}

/// Whether the times of a segment are as the contract says.
///
/// # Errors
/// Says what was expected.
pub fn check_times(start: f64, end: f64) -> Result<(), String> {
    if start >= 0.0 && end >= start && end.is_finite() {
        return Ok(());
    }
    Err(format!("expected times 0 <= start <= end, got {start} and {end}"))
}
