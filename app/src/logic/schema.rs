//! Form fields out of a JSON Schema: the flat objects that plugins describe their settings with.

use std::fmt;

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
    /// Whether it has to be filled in.
    pub required: bool,
    /// The least number.
    pub minimum: Option<f64>,
    /// Values to choose from where others are allowed too.
    pub suggestions: Vec<String>,
}

/// What keeps a form from being sent. Both name the field by its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Nothing is there where something has to be.
    Missing(String),
    /// Another thing is there than the number that is asked for.
    NoNumber(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(label) => write!(f, "“{label}” has to be filled in."),
            Self::NoNumber(label) => write!(f, "“{label}” must be a number."),
        }
    }
}

/// The fields of a schema's `properties`, those first that have to be filled in; members that are objects or lists have no
/// field.
#[must_use]
pub fn fields(schema: &Value) -> Vec<Field> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let required = words(schema, "required");
    let mut fields: Vec<Field> = properties
        .iter()
        .filter_map(|(key, property)| field(key, property, required.contains(key)))
        .collect();
    fields.sort_by_key(|field| !field.required);
    fields
}

/// The strings of a list.
fn words(of: &Value, key: &str) -> Vec<String> {
    let list = of.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn field(key: &str, property: &Value, required: bool) -> Option<Field> {
    let text = |name: &str| property.get(name).and_then(Value::as_str);
    let kind = match (property.get("enum"), text("type")) {
        (Some(_), _) => FieldKind::Choice(words(property, "enum")),
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
        required,
        minimum: property.get("minimum").and_then(Value::as_f64),
        suggestions: words(property, "examples"),
    })
}

/// The filled form as JSON; empty fields are left out.
///
/// # Errors
///
/// The first field whose value is missing, or is not a number where one is asked for.
pub fn object(fields: &[Field], values: &[String]) -> Result<Map<String, Value>, Problem> {
    let mut object = Map::new();
    for (field, value) in fields.iter().zip(values) {
        let value = value.trim();
        if value.is_empty() && field.required {
            return Err(Problem::Missing(field.label.clone()));
        }
        if !value.is_empty() {
            let value = typed(&field.kind, value).ok_or_else(|| Problem::NoNumber(field.label.clone()))?;
            object.insert(field.key.clone(), value);
        }
    }
    Ok(object)
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
        let filled = object(&fields, &values).map(Value::Object);
        assert_eq!(filled, Ok(json!({ "days": 5, "exact": true, "unit": "F" })));
    }

    #[test]
    fn a_wrong_number_is_named() {
        let fields = fields(&schema());
        let values = vec!["x".to_owned(); fields.len()];
        assert_eq!(object(&fields, &values), Err(Problem::NoNumber("days".to_owned())));
    }

    #[test]
    fn what_has_to_be_filled_in_comes_first_and_is_asked_for() {
        let fields = fields(&json!({ "required": ["recipe"], "properties": {
            "base.model": { "type": "string", "examples": ["tiny", "large"] },
            "recipe": { "enum": ["a", "b"], "title": "Recipe" },
            "steps": { "type": "integer", "minimum": 1 },
        }}));
        let keys: Vec<&str> = fields.iter().map(|field| field.key.as_str()).collect();
        assert_eq!(keys, ["recipe", "base.model", "steps"]);
        assert_eq!(fields[1].suggestions, ["tiny", "large"]);
        assert_eq!((fields[1].minimum, fields[2].minimum), (None, Some(1.0)));
        let mut values = vec![String::new(); 3];
        assert_eq!(object(&fields, &values), Err(Problem::Missing("Recipe".to_owned())));
        (values[0], values[1]) = ("b".to_owned(), "tiny".to_owned());
        let filled = object(&fields, &values).map(Value::Object);
        assert_eq!(filled, Ok(json!({ "recipe": "b", "base.model": "tiny" })));
    }
}
