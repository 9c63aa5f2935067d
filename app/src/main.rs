//! Entry point of the browser app. Run natively it only says what it is.

#[cfg(target_arch = "wasm32")]
fn main() {
    jnana_app::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    println!("This is the browser app: `cargo xtask run` builds it for wasm32 and serves it.");
}
