//! What the app computes without a browser.

pub mod admin_page;
pub mod attachment;
pub mod branches;
pub mod fit;
pub mod jobs;
pub mod journal;
pub mod markdown;
pub mod plot;
pub mod schema;
pub mod sentences;
pub mod sniff;
pub mod sse;
pub mod strokes;
pub mod trial;
pub mod wav;
pub mod words;
