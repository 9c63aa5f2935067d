//! Plugins that are one function: an input goes in, text comes out.

use std::marker::PhantomData;

use jnana_api::plugins::{Control, InputForm, Manifest, Segment, UiDescriptor};
use serde_json::{Map, Value};

use crate::{Call, Create, Error, Input, Plugin, Transcriber};

/// How a page offers the input of a plugin that [`text_plugin!`](crate::text_plugin) makes.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Which control.
    pub control: Control,
    /// What stands on its button.
    pub label: &'static str,
    /// What an attached input is called.
    pub noun: &'static str,
    /// An emoji.
    pub icon: &'static str,
    /// MIME types that the function takes, as they come.
    pub accept: &'static [&'static str],
}

/// What [`text_plugin!`](crate::text_plugin) makes of a function.
#[doc(hidden)]
pub trait TextFunction: Send + Sync + 'static {
    /// The id and name.
    const ID: &'static str;
    /// The version.
    const VERSION: &'static str;
    /// One sentence.
    const DESCRIPTION: &'static str;
    /// How it is offered.
    const OFFER: Offer;

    /// The function.
    fn text(input: &Input<'_>) -> Result<String, Error>;
}

/// The plugin of a function. It keeps nothing, so any number of calls may run at a time.
#[doc(hidden)]
#[derive(Debug)]
pub struct OneFunction<F>(PhantomData<F>);

/// Calls at a time; a function that needs more of the machine than that should be a [`Plugin`].
const MAX_CONCURRENCY: u32 = 4;

impl<F: TextFunction> Plugin for OneFunction<F> {
    fn manifest() -> Manifest {
        let Offer { control, label, noun, icon, accept } = F::OFFER;
        Manifest {
            id: F::ID.into(),
            name: F::ID.into(),
            version: F::VERSION.into(),
            description: F::DESCRIPTION.into(),
            kinds: vec!["jnana.transcriber/1".into()],
            accepts: accept.iter().map(|mime| InputForm::Raw { mime: (*mime).into() }).collect(),
            emits: None,
            max_concurrency: MAX_CONCURRENCY,
            max_input_bytes: 20 << 20,
            needs: vec![],
            models: vec![],
            settings_schema: Value::Null,
            ui: UiDescriptor {
                control,
                label: label.into(),
                noun: noun.into(),
                icon: icon.into(),
                help: F::DESCRIPTION.into(),
                accept: accept.iter().map(|mime| (*mime).into()).collect(),
                editable_text: true,
            },
        }
    }

    fn create(_create: Create) -> Result<Self, Error> {
        Ok(Self(PhantomData))
    }

    fn transcriber(&self) -> Option<&dyn Transcriber> {
        Some(self)
    }
}

impl<F: TextFunction> Transcriber for OneFunction<F> {
    fn transcribe(
        &self,
        input: &Input<'_>,
        _options: &Map<String, Value>,
        call: &Call<'_>,
    ) -> Result<Option<String>, Error> {
        let text = F::text(input)?;
        if !text.is_empty() {
            call.segment(&Segment { start: 0.0, end: 0.0, text });
        }
        Ok(None)
    }
}

/// Makes a whole plugin of an [`Offer`] and a function from [`Input`] to text. Id, version and description are those of
/// the crate.
///
/// ```
/// use jnana_plugin_sdk::{Control, Error, Input, Offer, text_plugin};
///
/// const OFFER: Offer =
///     Offer { control: Control::Text, label: "Count words", noun: "Text", icon: "🔢", accept: &["text/plain"] };
///
/// fn count(input: &Input<'_>) -> Result<String, Error> {
///     Ok(format!("This text has {} words.", input.text()?.split_whitespace().count()))
/// }
///
/// text_plugin!(OFFER, count);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! text_plugin {
    ($offer:expr, $function:path) => {
        struct OnlyFunction;

        impl $crate::TextFunction for OnlyFunction {
            const ID: &'static str = ::core::env!("CARGO_PKG_NAME");
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
            const DESCRIPTION: &'static str = ::core::env!("CARGO_PKG_DESCRIPTION");
            const OFFER: $crate::Offer = $offer;

            fn text(
                input: &$crate::Input<'_>,
            ) -> ::core::result::Result<::std::string::String, $crate::Error> {
                $function(input)
            }
        }

        $crate::export_plugin!($crate::OneFunction<OnlyFunction>);
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Shout;

    impl TextFunction for Shout {
        const ID: &'static str = "shout";
        const VERSION: &'static str = "1.0.0";
        const DESCRIPTION: &'static str = "Shouts.";
        const OFFER: Offer = Offer {
            control: Control::Text,
            label: "Shout",
            noun: "Text",
            icon: "!",
            accept: &["text/plain", "text/csv"],
        };

        fn text(input: &Input<'_>) -> Result<String, Error> {
            input.text().map(str::to_uppercase)
        }
    }

    fn shout(bytes: &[u8]) -> Result<Vec<String>, Error> {
        let said = Mutex::new(Vec::new());
        let hear = |segment: &Segment| {
            said.lock().unwrap().push(segment.text.clone());
            true
        };
        let plugin = OneFunction::<Shout>(PhantomData);
        let input = Input::Raw { mime: "text/plain", bytes };
        plugin.transcribe(&input, &Map::new(), &Call::new(&|| false, &hear))?;
        Ok(said.into_inner().unwrap())
    }

    #[test]
    fn a_function_is_a_transcriber() {
        assert_eq!(shout(b"hello").unwrap(), ["HELLO"]);
        assert!(shout(b"").unwrap().is_empty());
        assert_eq!(shout(b"\xff").unwrap_err().code, crate::Code::InvalidInput);
    }

    #[test]
    fn its_manifest_comes_from_its_offer() {
        let manifest = OneFunction::<Shout>::manifest();
        assert_eq!(manifest.accepts.len(), 2);
        assert_eq!(manifest.ui.accept, ["text/plain", "text/csv"]);
        assert_eq!((manifest.id.as_str(), manifest.ui.label.as_str()), ("shout", "Shout"));
    }
}
