//! What the host sees.

use jnana_plugin_sdk::{
    Call, Code, Control, Create, Embeddings, Error, Features, Input, InputForm, Manifest, Plugin, Segment,
    Transcriber, UiDescriptor,
};
use serde_json::{Map, Value};

use crate::drawing::{Drawing, MIME};
use crate::{features, words};

/// The plugin. It keeps nothing between calls.
#[derive(Debug)]
pub struct Sketch;

impl Plugin for Sketch {
    fn manifest() -> Manifest {
        Manifest {
            id: "sketch".into(),
            name: "Sketch".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            description: "Says what was drawn.".into(),
            kinds: vec!["jnana.transcriber/1".into(), "jnana.features/1".into()],
            accepts: vec![InputForm::Raw { mime: MIME.into() }],
            emits: None,
            max_concurrency: 4,
            max_input_bytes: 20 << 20,
            needs: vec![],
            models: vec![],
            settings_schema: Value::Null,
            ui: UiDescriptor {
                control: Control::Canvas,
                label: "Draw".into(),
                noun: "Sketch".into(),
                icon: "✏️".into(),
                help: "Draw with a pen, a finger or the mouse.".into(),
                accept: vec![],
                editable_text: true,
            },
        }
    }

    fn create(_create: Create) -> Result<Self, Error> {
        Ok(Self)
    }

    fn features(&self) -> Option<&dyn Features> {
        Some(self)
    }

    fn transcriber(&self) -> Option<&dyn Transcriber> {
        Some(self)
    }
}

impl Transcriber for Sketch {
    fn transcribe(
        &self,
        input: &Input<'_>,
        _options: &Map<String, Value>,
        call: &Call<'_>,
    ) -> Result<Option<String>, Error> {
        let text = words::describe(&read(input, call)?);
        call.segment(&Segment { start: 0.0, end: 0.0, text });
        Ok(Some("en".into()))
    }
}

impl Features for Sketch {
    fn features(&self, input: &Input<'_>, call: &Call<'_>) -> Result<Embeddings, Error> {
        Ok(Embeddings { values: features::features(&read(input, call)?), width: features::WIDTH })
    }
}

/// Reading takes the longest: what follows is bounded by the limits that it checks.
fn read(input: &Input<'_>, call: &Call<'_>) -> Result<Drawing, Error> {
    let drawing = Drawing::parse(input.text()?)?;
    if call.cancelled() {
        return Err(Error::new(Code::Cancelled, "cancelled"));
    }
    Ok(drawing)
}
