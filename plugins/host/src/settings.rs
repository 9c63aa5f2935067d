//! Brings the settings of a plugin into the form that `create` gets: checked, with model names resolved to paths.

use jnana_api::plugins::{Fit, InputForm, Manifest};
use serde_json::{Map, Value};

use crate::registry::ModelResolver;

/// The setting that the host itself reads: how pictures are brought to size.
const FIT: &str = "fit";

/// Settings ready for use.
pub(crate) struct Resolved {
    /// For the plugin.
    pub(crate) settings: Map<String, Value>,
    /// In place of the fit that the manifest's image forms ask for.
    pub(crate) fit: Option<Fit>,
}

/// Checks settings against the manifest's schema and resolves the models. The error names the setting.
pub(crate) fn resolve(
    manifest: &Manifest,
    given: &Map<String, Value>,
    resolve_model: &ModelResolver,
) -> Result<Resolved, String> {
    let fit = fit(manifest, given)?;
    // The fit is the host's own setting, which no schema has to know.
    let theirs = given.iter().filter(|(name, _)| fit.is_none() || *name != FIT);
    check(&manifest.settings_schema, &theirs.map(|(name, value)| (name.clone(), value.clone())).collect())?;
    let mut settings = given.clone();
    for model in &manifest.models {
        let path = resolve_model(model, given.get(&model.setting))
            .map_err(|reason| format!("{}: {reason}", model.setting))?;
        let path = path
            .to_str()
            .ok_or_else(|| format!("{}: the path {} is not UTF-8", model.setting, path.display()))?;
        settings.insert(model.setting.clone(), Value::from(path));
    }
    Ok(Resolved { settings, fit })
}

fn fit(manifest: &Manifest, given: &Map<String, Value>) -> Result<Option<Fit>, String> {
    let takes_images = manifest.accepts.iter().any(|form| matches!(form, InputForm::Image { .. }));
    match given.get(FIT) {
        Some(value) if takes_images => serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|_| format!("{FIT}: expected stretch, center-crop or contain, got {value}")),
        _ => Ok(None),
    }
}

/// Checks settings against the part of JSON Schema that settings need: `properties` with `type`, `enum`, `minimum` and
/// `maximum`, `required`, `additionalProperties: false`. Other keywords are the plugin's own to check.
///
/// # Errors
/// Names the setting, in words.
pub fn check(schema: &Value, given: &Map<String, Value>) -> Result<(), String> {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    for (name, value) in given {
        match properties.get(name) {
            Some(property) => check_value(name, property, value)?,
            None if closed => {
                let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                return Err(format!("{name} is not a setting of it; known: {}", known.join(", ")));
            }
            None => {}
        }
    }
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match required.iter().filter_map(Value::as_str).find(|name| !given.contains_key(*name)) {
        Some(name) => Err(format!("{name} is missing")),
        None => Ok(()),
    }
}

fn check_value(name: &str, property: &Value, value: &Value) -> Result<(), String> {
    let types: Vec<&str> = match property.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    if !types.is_empty() && !types.iter().any(|wanted| is_of_type(wanted, value)) {
        return Err(format!("{name}: expected {}, got {value}", types.join(" or ")));
    }
    if let Some(allowed) = property.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        return Err(format!("{name}: expected one of {}, got {value}", Value::from(allowed.clone())));
    }
    if let Some(number) = value.as_f64() {
        let bound = |keyword: &str| property.get(keyword).and_then(Value::as_f64);
        if bound("minimum").is_some_and(|low| number < low)
            || bound("maximum").is_some_and(|high| number > high)
        {
            let words = |keyword| bound(keyword).map_or_else(|| "any".to_owned(), |bound| bound.to_string());
            return Err(format!(
                "{name}: expected {} to {}, got {value}",
                words("minimum"),
                words("maximum")
            ));
        }
    }
    Ok(())
}

fn is_of_type(wanted: &str, value: &Value) -> bool {
    match wanted {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "language": {"type": "string", "enum": ["en", "de"]},
                "beams": {"type": "integer", "minimum": 1, "maximum": 5},
                "quiet": {"type": ["boolean", "null"]}
            },
            "required": ["language"],
            "additionalProperties": false
        })
    }

    fn checked(given: &Value) -> Result<(), String> {
        check(&schema(), given.as_object().unwrap())
    }

    #[test]
    fn fitting_settings_pass() {
        checked(&json!({"language": "en", "beams": 5, "quiet": null})).unwrap();
        check(&Value::Null, json!({"anything": 1}).as_object().unwrap()).unwrap();
    }

    #[test]
    fn each_wrong_setting_is_named_with_what_was_expected() {
        for (given, named, expected) in [
            (json!({"language": "fr"}), "language", "de"),
            (json!({"language": "en", "beams": 9}), "beams", "1 to 5"),
            (json!({"language": "en", "beams": 1.5}), "beams", "integer"),
            (json!({"language": "en", "quiet": "yes"}), "quiet", "boolean or null"),
            (json!({"language": "en", "volume": 1}), "volume", "beams"),
            (json!({"beams": 1}), "language", "missing"),
        ] {
            let words = checked(&given).unwrap_err();
            assert!(words.contains(named) && words.contains(expected), "{given}: {words}");
        }
    }
}
