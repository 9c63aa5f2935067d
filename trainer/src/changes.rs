//! Recipes and evaluations as the command line changes them.

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use crate::{Error, Result, shipped};

/// Reads a TOML file, or one that comes with the program by its name, and changes it by `KEY=VALUE` pairs (dotted keys, where a
/// number counts elements of a list; a value is TOML, or else text): what it says, and the table that says so.
///
/// # Errors
/// When the file cannot be read, a key is unknown or a value is impossible.
pub(crate) fn read_changed<T: for<'de> Deserialize<'de>>(
    path: &Path,
    changes: &[String],
) -> Result<(T, Table)> {
    let text = match shipped::text(path) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(path).map_err(Error::io("read", path))?,
    };
    let mut table: Table = text.parse().map_err(wrong(path))?;
    for change in changes {
        apply(&mut table, change)?;
    }
    Ok((table.clone().try_into().map_err(wrong(path))?, table))
}

fn wrong(path: &Path) -> impl FnOnce(toml::de::Error) -> Error {
    move |error| Error::File {
        path: path.to_owned(),
        expected: "a recipe or an evaluation".to_owned(),
        got: error.to_string(),
    }
}

/// Puts a `KEY=VALUE` into a table; a number in a key counts elements of a list.
fn apply(table: &mut Table, change: &str) -> Result<()> {
    let unusable = || Error::setting("change of the recipe", "KEY=VALUE with a key of the recipe", change);
    let (key, value) = change.split_once('=').ok_or_else(unusable)?;
    let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let mut parts = key.trim().split('.').collect::<Vec<_>>();
    let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(unusable)?;
    let mut place = &mut *table;
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        let inner = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
        let inner = match (inner, parts.peek().and_then(|number| number.parse::<usize>().ok())) {
            (Value::Array(list), Some(number)) => {
                parts.next();
                list.get_mut(number).ok_or_else(unusable)?
            }
            (inner, _) => inner,
        };
        place = inner.as_table_mut().ok_or_else(unusable)?;
    }
    place.insert(last.to_owned(), value);
    Ok(())
}
