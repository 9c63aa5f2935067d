//! `jnana.jobs/1`: what a plugin offers to administrators, and what it plans to be run.

use std::path::{Component, Path};

use jnana_api::jobs::{Folders, JobKind, Plan, Request};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::call::{CallError, CallErrorKind, CancelFlag};
use crate::collect::{Accepts, Collected};
use crate::input::Prepared;
use crate::instance::{Failure, Instance};
use crate::native::Function;
use crate::strings::c_string;

impl Instance {
    /// The kinds of work that the plugin offers.
    ///
    /// # Errors
    /// [`CallErrorKind`] says who is to blame.
    pub fn job_kinds(&self, folders: &Folders, cancel: &CancelFlag) -> Result<Vec<JobKind>, CallError> {
        let asked = json!({ "folders": folders }).to_string();
        self.json(&Function::JobKinds, &asked, cancel, read_kinds).map_err(|failure| self.error(failure))
    }

    /// What is to be run for a filled form.
    ///
    /// # Errors
    /// [`CallErrorKind`] says who is to blame.
    pub fn prepare_job(&self, request: &Request, cancel: &CancelFlag) -> Result<Plan, CallError> {
        let asked = json!(request).to_string();
        self.json(&Function::PrepareJob, &asked, cancel, read_plan).map_err(|failure| self.error(failure))
    }

    fn json<T>(
        &self,
        function: &Function<'_>,
        asked: &str,
        cancel: &CancelFlag,
        read: fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let input = Prepared::Raw { mime: c_string("application/json"), bytes: asked.as_bytes() };
        let accepts = Accepts::Text(Box::new(|_| true));
        self.run(&input, function, accepts, cancel, |collected: Collected| {
            let answer = match collected.segments.as_slice() {
                [answer] => read(&answer.text),
                several => Err(format!("it gave {} answers", several.len())),
            };
            answer.map_err(|words| (CallErrorKind::Plugin, format!("expected one answer as JSON: {words}")))
        })
    }
}

/// Reads and checks what `kinds` pushed.
///
/// # Errors
/// In words: what is wrong with it.
pub(crate) fn read_kinds(text: &str) -> Result<Vec<JobKind>, String> {
    let kinds: Vec<JobKind> = read(text)?;
    for (at, kind) in kinds.iter().enumerate() {
        if kind.kind.is_empty() || kind.label.trim().is_empty() {
            return Err("a kind has no id or no label".to_owned());
        }
        if kinds[..at].iter().any(|other| other.kind == kind.kind) {
            return Err(format!("the kind {} is listed twice", kind.kind));
        }
        if !kind.schema.is_object() {
            return Err(format!("the kind {} has no schema", kind.kind));
        }
    }
    Ok(kinds)
}

/// Reads and checks what `prepare` pushed.
///
/// # Errors
/// In words: what is wrong with it.
pub(crate) fn read_plan(text: &str) -> Result<Plan, String> {
    let plan: Plan = read(text)?;
    match (&plan.command, &plan.refusal) {
        (Some(command), None) if Path::new(&command.program).is_absolute() => {}
        (Some(command), None) => return Err(format!("the program {} has no absolute path", command.program)),
        (None, Some(refusal)) if !refusal.trim().is_empty() => {}
        _ => return Err("it has to have a command, or a refusal in words".to_owned()),
    }
    let inside = |path: &str| {
        !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
    };
    match plan.products.iter().find(|product| !inside(&product.path)) {
        Some(product) => Err(format!("the product {} leads out of the job's folder", product.path)),
        None => Ok(plan),
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_a_command_or_a_refusal() {
        let command = json!({ "program": "/bin/true" });
        assert!(read_plan(&json!({ "command": command }).to_string()).is_ok());
        assert!(read_plan(&json!({ "refusal": "there is no data" }).to_string()).is_ok());
        for (plan, word) in [
            (json!({}), "refusal"),
            (json!({ "refusal": " " }), "refusal"),
            (json!({ "refusal": "no", "command": command }), "refusal"),
            (json!({ "command": { "program": "true" } }), "absolute"),
            (json!({ "command": command, "products": [{ "kind": "a", "path": "../a" }] }), "folder"),
            (json!({ "command": command, "products": [{ "kind": "a", "path": "/a" }] }), "folder"),
            (json!("no object"), "invalid"),
        ] {
            let words = read_plan(&plan.to_string()).unwrap_err();
            assert!(words.contains(word), "{plan}: {words}");
        }
    }

    #[test]
    fn kinds_are_named_once_and_have_a_form() {
        let kind = json!({ "kind": "align", "label": "Align", "schema": {} });
        assert_eq!(read_kinds(&json!([kind]).to_string()).unwrap().len(), 1);
        assert!(read_kinds(&json!([kind, kind]).to_string()).unwrap_err().contains("twice"));
        for (field, value) in [("kind", json!("")), ("label", json!(" ")), ("schema", json!(null))] {
            let mut broken = kind.clone();
            broken[field] = value;
            assert!(read_kinds(&json!([broken]).to_string()).is_err(), "{field}");
        }
    }
}
