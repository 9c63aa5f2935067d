//! What the plugin says of itself.

use jnana_plugin_sdk::{Control, Manifest, UiDescriptor};
use serde_json::json;

/// The program, where no setting names it: beside the one that runs this library.
pub(crate) const PROGRAM: &str = "jnana-trainer";

pub(crate) fn manifest() -> Manifest {
    Manifest {
        id: "trainer".into(),
        name: "Trainer".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        description: "Trains projectors and adapters, merges, exports and evaluates.".into(),
        kinds: vec!["jnana.jobs/1".into()],
        accepts: vec![],
        emits: None,
        max_concurrency: 2,
        max_input_bytes: 1 << 20,
        needs: vec!["filesystem".into(), "process".into()],
        models: vec![],
        settings_schema: json!({
            "type": "object",
            "properties": {
                "program": { "type": "string", "title": "Program",
                    "description": format!("Path of {PROGRAM}; beside the server's own when absent.") },
            },
            "additionalProperties": false,
        }),
        ui: UiDescriptor {
            control: Control::Form,
            label: "Train".into(),
            noun: "Training".into(),
            icon: "🎓".into(),
            help: "An administrator finds it under jobs.".into(),
            accept: vec![],
            editable_text: false,
        },
    }
}
