//! Entry point of administration's module. Run natively it only says what it is.

#[cfg(target_arch = "wasm32")]
fn main() {
    jnana_app::start_administration();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    println!("This is administration in the browser: `cargo xtask run` builds it for wasm32 and serves it.");
}
