//! Form fields out of a JSON Schema: the flat objects that plugins describe their settings with.

use serde_json::{Map, Value};

/// How a field is edited.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldKind {
    /// A line of text.
    Text,
    /// A number; whole when `whole`.
    Number {
        /// Only whole numbers.
        whole: bool,
    },
    /// Yes or no.
    Switch,
    /// One of these words.
    Choice(Vec<String>),
}

/// One field of a form.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Key in the object.
    pub key: String,
    /// Name for people.
    pub label: String,
    /// One sentence of help, or nothing.
    pub help: String,
    /// How it is edited.
    pub kind: FieldKind,
    /// Value to begin with, as text.
    pub initial: String,
}

/// The fields of a schema's `properties`; members that are objects or lists have no field.
#[must_use]
pub fn fields(schema: &Value) -> Vec<Field> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    properties.iter().filter_map(|(key, property)| field(key, property)).collect()
}

fn field(key: &str, property: &Value) -> Option<Field> {
    let text = |name: &str| property.get(name).and_then(Value::as_str);
    let kind = match (property.get("enum").and_then(Value::as_array), text("type")) {
        (Some(choices), _) => {
            FieldKind::Choice(choices.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        (None, Some("boolean")) => FieldKind::Switch,
        (None, Some("integer")) => FieldKind::Number { whole: true },
        (None, Some("number")) => FieldKind::Number { whole: false },
        (None, Some("string")) => FieldKind::Text,
        _ => return None,
    };
    let initial = match property.get("default") {
        Some(Value::String(word)) => word.clone(),
        Some(value) if !value.is_null() => value.to_string(),
        _ => String::new(),
    };
    Some(Field {
        key: key.to_owned(),
        label: text("title").unwrap_or(key).to_owned(),
        help: text("description").unwrap_or_default().to_owned(),
        kind,
        initial,
    })
}

/// The filled form as JSON; empty fields are left out.
///
/// # Errors
///
/// The label of the first field whose value is not a number where one is asked for.
pub fn object(fields: &[Field], values: &[String]) -> Result<Value, String> {
    let mut object = Map::new();
    for (field, value) in fields.iter().zip(values).filter(|(_, value)| !value.trim().is_empty()) {
        object
            .insert(field.key.clone(), typed(&field.kind, value.trim()).ok_or_else(|| field.label.clone())?);
    }
    Ok(Value::Object(object))
}

fn typed(kind: &FieldKind, value: &str) -> Option<Value> {
    match kind {
        FieldKind::Text | FieldKind::Choice(_) => Some(Value::from(value)),
        FieldKind::Switch => Some(Value::from(value == "true")),
        FieldKind::Number { whole: true } => value.parse::<i64>().ok().map(Value::from),
        FieldKind::Number { whole: false } => value.parse::<f64>().ok().map(Value::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({ "type": "object", "properties": {
            "city": { "type": "string", "title": "City", "description": "Where." },
            "days": { "type": "integer", "default": 3 },
            "exact": { "type": "boolean" },
            "unit": { "enum": ["C", "F"], "default": "C" },
            "nested": { "type": "object" },
        }})
    }

    #[test]
    fn properties_become_fields() {
        let fields = fields(&schema());
        assert_eq!(fields.len(), 4);
        let days = fields.iter().find(|field| field.key == "days").unwrap();
        assert_eq!((days.kind.clone(), days.initial.as_str()), (FieldKind::Number { whole: true }, "3"));
        let city = fields.iter().find(|field| field.key == "city").unwrap();
        assert_eq!((city.label.as_str(), city.help.as_str()), ("City", "Where."));
        assert!(super::fields(&Value::Null).is_empty());
    }

    #[test]
    fn values_are_typed_and_empty_ones_left_out() {
        let fields = fields(&schema());
        let values: Vec<String> = fields
            .iter()
            .map(|field| match field.key.as_str() {
                "days" => "5".to_owned(),
                "exact" => "true".to_owned(),
                "unit" => "F".to_owned(),
                _ => String::new(),
            })
            .collect();
        assert_eq!(object(&fields, &values), Ok(json!({ "days": 5, "exact": true, "unit": "F" })));
    }

    #[test]
    fn a_wrong_number_is_named() {
        let fields = fields(&schema());
        let values = vec!["x".to_owned(); fields.len()];
        assert_eq!(object(&fields, &values), Err("days".to_owned()));
    }
}
