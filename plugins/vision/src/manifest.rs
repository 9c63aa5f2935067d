//! The static self-description.

use jnana_plugin_sdk::{Control, Emits, Fit, InputForm, Manifest, ModelSetting, UiDescriptor};
use serde_json::json;

/// Side in pixels of the pictures that the host hands over.
pub(crate) const SIDE: u32 = 224;
/// Most positions of a picture: 7 × 7.
pub(crate) const MAX_POSITIONS: u32 = 49;

pub(crate) fn manifest() -> Manifest {
    let pictures = ["image/jpeg", "image/png", "image/webp"];
    Manifest {
        id: "vision".into(),
        name: "Vision".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        description: "Lets the model see pictures.".into(),
        kinds: vec!["jnana.encoder/1".into(), "jnana.features/1".into()],
        accepts: vec![InputForm::Image { width: SIDE, height: SIDE, fit: Fit::Stretch }],
        emits: Some(Emits { dtype: "f32".into(), max_positions: MAX_POSITIONS, slot: Some("image".into()) }),
        max_concurrency: 1,
        max_input_bytes: 20 * 1024 * 1024,
        needs: vec!["filesystem".into()],
        models: vec![ModelSetting { setting: "encoder".into(), default: "efficientnet-lite0".into() }],
        settings_schema: settings_schema(),
        ui: UiDescriptor {
            control: Control::Camera,
            label: "Show a picture".into(),
            noun: "Picture".into(),
            icon: "📷".into(),
            help: "Take a picture with the camera, or paste, drop or upload one.".into(),
            accept: pictures.map(String::from).to_vec(),
            editable_text: false,
        },
    }
}

fn settings_schema() -> serde_json::Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "encoder": {
                "type": "string",
                "default": "efficientnet-lite0",
                "description": "Name or path of the encoder: EfficientNet-Lite0's .pth file, or a Hugging Face folder of a CLIP vision tower with a 224×224 input."
            },
            "projector": {
                "type": "string",
                "description": "Path of the projector (safetensors). Without one, a random projector is used."
            },
            "features": {
                "type": "integer",
                "enum": [320, 1280],
                "default": 1280,
                "description": "Which of EfficientNet-Lite0's two last maps is used, by its channels. CLIP has one map only."
            },
            "fit": {
                "type": "string",
                "enum": ["stretch", "center-crop", "contain"],
                "default": "stretch",
                "description": "How a picture becomes a square: center-crop for CLIP, stretch for EfficientNet-Lite0."
            }
        }
    })
}
