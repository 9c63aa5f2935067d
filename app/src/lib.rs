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
//! | `admin` | the pages of administration, an app of their own under `/admin` |

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

/// Puts the app into the page and takes the loading shell away.
#[cfg(target_arch = "wasm32")]
pub fn start() {
    console_error_panic_hook::set_once();
    browser::remove_shell();
    // Two apps in one module: neither has any use for what the other one loads and watches.
    match logic::admin_page::AdminPage::of(&browser::path()) {
        Some(page) => leptos::mount::mount_to_body(move || admin::app(page)),
        None => leptos::mount::mount_to_body(components::App),
    }
}
