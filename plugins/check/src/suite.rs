//! The tests, by name.

use crate::task::Task;
use crate::{calls, inputs, life, live, load};

/// Why a test did not pass.
pub(crate) enum Trouble {
    /// A promise is broken.
    Broken(String),
    /// The plugin makes no such promise.
    NotThere(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Broken(why) | Self::NotThere(why)) = self;
        f.write_str(why)
    }
}

/// The note of a test that passed.
pub(crate) type Verdict = Result<String, Trouble>;

/// One promise.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) promise: &'static str,
    pub(crate) run: fn(&Task) -> Verdict,
}

const fn test(name: &'static str, promise: &'static str, run: fn(&Task) -> Verdict) -> Test {
    Test { name, promise, run }
}

/// In the order in which they are run: what comes first explains most of what comes later.
pub(crate) const TESTS: &[Test] = &[
    test("scan", "the manifest is shown in under 100 ms", load::scan),
    test("manifest", "the manifest is valid, and the same on every thread", load::manifest),
    test("entry", "the entry can be called again, and by a later host", load::entry),
    test("create", "instances are made and destroyed, one after the other and side by side", life::create),
    test("extensions", "every promised extension is there, an unknown one is NULL", life::extensions),
    test("status", "the status line keeps to its buffer", life::status),
    test(
        "absent-services",
        "a host with fewer services is refused or served, without a crash",
        life::absent_services,
    ),
    test("small-structs", "structs that end early are not read beyond their end", life::small_structs),
    test("bad-settings", "settings that make no sense do no harm", life::bad_settings),
    test(
        "shapes",
        "rows have the width asked for, at most the positions promised, and are numbers",
        calls::shapes,
    ),
    test("jobs", "what it says of its jobs, and its plans of them, can be read", calls::jobs),
    test("space", "without an embedding space nothing is encoded into one", calls::space),
    test("same-twice", "the same input gives the same result", calls::same_twice),
    test(
        "deleter",
        "tensors are good until their deleter is called, which the plugin leaves to the host",
        calls::deleter,
    ),
    test("empty-input", "an input without bytes does no harm", inputs::empty),
    test("random-input", "random bytes do no harm", inputs::random),
    test("oversized-input", "an input that is too large does no harm", inputs::oversized),
    test("truncated-input", "an input that ends early does no harm", inputs::truncated),
    test("wrong-input", "an input of another form does no harm", inputs::wrong),
    test(
        "concurrency",
        "as many calls as promised run at once, and give what they give alone",
        live::concurrency,
    ),
    test("cancel", "a cancelled call ends within 2 s", live::cancel),
    test("sink-after", "the sink is not used once its call has returned", live::sink_after),
    test("threads", "the threads of an instance are gone when it is destroyed", live::threads),
    test("fuzz", "whatever comes, a call ends properly", inputs::fuzz),
];

pub(crate) fn find(name: &str) -> Option<&'static Test> {
    TESTS.iter().find(|test| test.name == name)
}
