//! The browser app: conversations with the model, and inputs drawn from what the plugins say of themselves.
//!
//! [`logic`] is plain Rust and is tested natively; the rest needs a browser and is compiled for
//! wasm32 only.
//! The app knows no modality: controls come from a closed set; labels, nouns and states come from descriptors.
//!
//! | module | what it does |
//! | --- | --- |
//! | `api` | every call to the server |
//! | `store`, `actions` | what the page shows, and what people do to it |
//! | `follow`, `link` | the event stream of an answer, and whether the server is there |
//! | `tray` | inputs on their way into a question |
//! | `controls` | the closed set of input controls |
//! | `components` | the page, a file a part |
//! | `admin` | the pages of administration under `/admin`, in a module of their own |

pub mod logic;

#[cfg(target_arch = "wasm32")]
mod actions;
#[cfg(target_arch = "wasm32")]
mod admin;
#[cfg(target_arch = "wasm32")]
mod api;
#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
mod components;
#[cfg(target_arch = "wasm32")]
mod controls;
#[cfg(target_arch = "wasm32")]
mod failure;
#[cfg(target_arch = "wasm32")]
mod follow;
#[cfg(target_arch = "wasm32")]
mod link;
#[cfg(target_arch = "wasm32")]
mod settings;
#[cfg(target_arch = "wasm32")]
mod store;
#[cfg(target_arch = "wasm32")]
mod tray;

/// Puts the conversations into the page. Nothing here may reach [`admin`]: the linker then leaves it out of their module.
#[cfg(target_arch = "wasm32")]
pub fn start_conversations() {
    begin();
    leptos::mount::mount_to_body(components::App);
}

/// Puts administration into the page.
#[cfg(target_arch = "wasm32")]
pub fn start_administration() {
    begin();
    leptos::mount::mount_to_body(admin::App);
}

/// What both modules begin with: errors go to the console, and the loading shell goes away.
#[cfg(target_arch = "wasm32")]
fn begin() {
    console_error_panic_hook::set_once();
    browser::remove_shell();
}
