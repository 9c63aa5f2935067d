//! Pictures into the embedding space of the core.
