//! A plugin's setting from the command line.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::{Map, Value};

/// `PLUGIN.SETTING=VALUE`. A value that is JSON is taken as such (`320`, `true`, `["en","de"]`), anything else as text.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSetting {
    plugin: String,
    name: String,
    value: Value,
}

impl FromStr for PluginSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=').and_then(|(key, value)| Some((key.split_once('.')?, value)));
        match parts {
            Some(((plugin, name), value)) if !plugin.is_empty() && !name.is_empty() => Ok(Self {
                plugin: plugin.to_owned(),
                name: name.to_owned(),
                value: serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned())),
            }),
            _ => Err("expected PLUGIN.SETTING=VALUE, such as whisper.model=whisper-base".to_owned()),
        }
    }
}

/// The settings of a file, with those of the command line over them.
pub(super) fn over(
    given: Vec<PluginSetting>,
    mut file: BTreeMap<String, Map<String, Value>>,
) -> BTreeMap<String, Map<String, Value>> {
    for PluginSetting { plugin, name, value } in given {
        file.entry(plugin).or_default().insert(name, value);
    }
    file
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_json_where_they_can_be() {
        let value = |text: &str| text.parse::<PluginSetting>().unwrap().value;
        assert_eq!(value("a.b=whisper-base"), json!("whisper-base"));
        assert_eq!(value("a.b=320"), json!(320));
        assert_eq!(value(r#"a.b=["en","de"]"#), json!(["en", "de"]));
        assert_eq!(value("a.b=x=y"), json!("x=y"));
        for wrong in ["a.b", "ab=1", ".b=1", "a.=1"] {
            assert!(wrong.parse::<PluginSetting>().is_err(), "{wrong}");
        }
    }
}
