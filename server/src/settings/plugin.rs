//! Plugins' own settings from the command line, and where plugins run.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use jnana_plugin_host::{RunPolicy, Runs, WorkerLimits};
use serde_json::{Map, Value};

use super::{Error, Given, mebibytes};

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

/// Which plugins run where, and what workers may use.
pub(super) fn policy(given: &Given) -> Result<RunPolicy, Error> {
    let mut limits = WorkerLimits::default();
    if let Some(mebibyte) = given.plugin_memory_mib {
        limits.memory = mebibytes("plugin-memory-mib", mebibyte)? as u64;
    }
    if let Some(seconds) = given.plugin_seconds {
        limits.call = Duration::from_secs(seconds.max(1));
    }
    let trusted = if given.isolate_plugins.unwrap_or(false) { Runs::Worker } else { Runs::InProcess };
    let plugins = given.plugin_runs.clone().into_iter().collect();
    Ok(RunPolicy { trusted, plugins, limits, ..RunPolicy::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_operator_says_where_plugins_run() {
        let text = "plugin-memory-mib = 64\nisolate-plugins = true\nplugin-runs = { hear = \"in-process\" }";
        let policy = policy(&toml::from_str(text).unwrap()).unwrap();
        assert_eq!((policy.trusted, policy.contained), (Runs::Worker, Runs::Worker));
        assert_eq!((policy.plugins["hear"], policy.limits.memory), (Runs::InProcess, 64 << 20));
        let policy = super::policy(&Given::default()).unwrap();
        assert_eq!((policy.trusted, policy.contained), (Runs::InProcess, Runs::Worker));
        assert!(policy.limits.memory > 0);
    }

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
