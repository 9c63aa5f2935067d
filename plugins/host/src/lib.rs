//! Find, verify, load and call plugins.
