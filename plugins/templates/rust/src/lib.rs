//! Counts the words of a text.

use jnana_plugin_sdk::{Control, Error, Input, Offer, text_plugin};

const OFFER: Offer =
    Offer { control: Control::Text, label: "{{title}}", noun: "Text", icon: "🔢", accept: &["text/plain"] };

fn count(input: &Input<'_>) -> Result<String, Error> {
    Ok(format!("This text has {} words.", input.text()?.split_whitespace().count()))
}

text_plugin!(OFFER, count);
