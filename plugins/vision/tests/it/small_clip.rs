//! A CLIP vision folder with a 224×224 input and few weights, written by the test.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use tempfile::TempDir;

/// The folder; gone when dropped.
pub struct SmallClip(TempDir);

impl SmallClip {
    pub const WIDTH: usize = 16;
    pub const ID: &str = "clip-vit-16x1-patch32-224";
    const INNER: usize = 20;

    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = r#"{"model_type":"clip_vision_model","hidden_size":16,"intermediate_size":20,
            "num_hidden_layers":1,"num_attention_heads":2}"#;
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let (d, inner, layer) = (Self::WIDTH, Self::INNER, "encoder.layers.0");
        let mut tensors = HashMap::new();
        let mut add = |name: String, shape: &[usize]| {
            // Any numbers do, as long as they differ and are the same in every run.
            let count: usize = shape.iter().product();
            let seed = name.len();
            let values: Vec<f32> = (0..count).map(|i| ((i * 7 + seed) as f32).sin() * 0.3).collect();
            tensors.insert(
                format!("vision_model.{name}"),
                Tensor::from_vec(values, shape, &Device::Cpu).unwrap(),
            );
        };
        add("embeddings.class_embedding".into(), &[d]);
        add("embeddings.patch_embedding.weight".into(), &[d, 3, 32, 32]);
        add("embeddings.position_embedding.weight".into(), &[50, d]);
        for norm in
            ["pre_layrnorm".to_owned(), format!("{layer}.layer_norm1"), format!("{layer}.layer_norm2")]
        {
            add(format!("{norm}.weight"), &[d]);
            add(format!("{norm}.bias"), &[d]);
        }
        for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            add(format!("{layer}.self_attn.{projection}.weight"), &[d, d]);
            add(format!("{layer}.self_attn.{projection}.bias"), &[d]);
        }
        for (name, outputs, inputs) in [("fc1", inner, d), ("fc2", d, inner)] {
            add(format!("{layer}.mlp.{name}.weight"), &[outputs, inputs]);
            add(format!("{layer}.mlp.{name}.bias"), &[outputs]);
        }
        candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
