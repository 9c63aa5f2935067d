//! Entry point of the conversations' module. Run natively it only says what it is.

#[cfg(target_arch = "wasm32")]
fn main() {
    jnana_app::start_conversations();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    println!("This is the browser app: `cargo xtask run` builds it for wasm32 and serves it.");
}
