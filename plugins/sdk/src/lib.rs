//! Write a Jnana plugin in safe Rust.
//!
//! One that turns an input into text with a single function is made by [`text_plugin!`] in ten lines. For all else implement
//! [`Plugin`] and whichever of [`Encoder`], [`Features`], [`Transcriber`] and [`Jobs`] fit, then say [`export_plugin!`] once:
//!
//! ```
//! use jnana_plugin_sdk::{
//!     Call, Control, Create, Embeddings, Emits, Encoder, Error, Input, InputForm, Manifest, Plugin, UiDescriptor,
//!     export_plugin,
//! };
//!
//! /// One position per input: how often each letter occurs.
//! struct Letters {
//!     width: usize,
//! }
//!
//! impl Plugin for Letters {
//!     fn manifest() -> Manifest {
//!         Manifest {
//!             id: "letters".into(),
//!             name: "Letters".into(),
//!             version: "0.1.0".into(),
//!             description: "Counts letters.".into(),
//!             kinds: vec!["jnana.encoder/1".into()],
//!             accepts: vec![InputForm::Raw { mime: "text/plain".into() }],
//!             emits: Some(Emits { dtype: "f32".into(), max_positions: 1, slot: None }),
//!             max_concurrency: 4,
//!             max_input_bytes: 1 << 20,
//!             needs: vec![],
//!             models: vec![],
//!             settings_schema: serde_json::Value::Null,
//!             ui: UiDescriptor {
//!                 control: Control::Text,
//!                 label: "Count letters".into(),
//!                 noun: "Text".into(),
//!                 icon: "🔤".into(),
//!                 help: String::new(),
//!                 accept: vec!["text/plain".into()],
//!                 editable_text: false,
//!             },
//!         }
//!     }
//!
//!     fn create(create: Create) -> Result<Self, Error> {
//!         Ok(Self { width: create.width })
//!     }
//!
//!     fn encoder(&self) -> Option<&dyn Encoder> {
//!         Some(self)
//!     }
//! }
//!
//! impl Encoder for Letters {
//!     fn encode(&self, input: &Input<'_>, _call: &Call<'_>) -> Result<Embeddings, Error> {
//!         let mut values = vec![0.0; self.width];
//!         for byte in input.bytes()?.iter().filter(|byte| byte.is_ascii_lowercase()) {
//!             if let Some(count) = values.get_mut(usize::from(byte - b'a')) {
//!                 *count += 1.0;
//!             }
//!         }
//!         Ok(Embeddings { values, width: self.width })
//!     }
//! }
//!
//! export_plugin!(Letters);
//! # fn main() {}
//! ```
//!
//! In `Cargo.toml`: `[lib] crate-type = ["cdylib"]`, and never `panic = "abort"`: a panic in any method is caught, the host
//! gets its message and makes a new instance; with `abort` it would end the server.

mod function;
#[doc(hidden)]
pub mod glue;
mod host;
mod input;
mod plugin;
mod sized;
mod tensor;

pub use jnana_api::jobs;
pub use jnana_api::plugins::{Control, Emits, Fit, InputForm, Manifest, ModelSetting, Segment, UiDescriptor};
#[doc(hidden)]
pub use jnana_plugin_abi as abi;

pub use function::Offer;
#[doc(hidden)]
pub use function::{OneFunction, TextFunction};
pub use host::{Host, Level};
pub use plugin::{
    Call, Code, Create, Embeddings, Encoder, Error, Features, Input, Jobs, Plugin, Transcriber,
};

/// Exports a type that implements [`Plugin`] as the plugin of this library. Once per library.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        /// Entry of the plugin; `jnana_plugin.h` says what it does.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub extern "C" fn jnana_plugin_entry_v1(_host_minor: u32) -> *const $crate::abi::Plugin {
            $crate::glue::table::<$plugin>()
        }
    };
}
