//! The jnana binary: serve, ask, models, plugin, debug.

fn main() {}
