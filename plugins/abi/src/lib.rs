//! The plugin contract: jnana_plugin.h and its Rust mirror.
