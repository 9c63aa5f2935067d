use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use image::{Rgb, RgbImage};
use jnana_core::{ModelCard, Template};
use jnana_models::tokenizer::Tokenizer;
use jnana_models::vision::{VisionEncoder, VisionOptions};
use serde_json::{Map, Value, json};

pub const END_OF_TEXT: u32 = 0;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A picture of 40 × 30 pixels that `seed` decides.
pub fn write_picture(path: &Path, seed: u32) {
    let pixel =
        |x: u32, y: u32| Rgb([x * 6 + seed * 31, y * 8 + seed * 7, x * y + seed].map(|c| (c % 256) as u8));
    RgbImage::from_fn(40, 30, pixel).save(path).unwrap();
}

/// A folder with `images/0.png` and so on.
pub fn folder_of_pictures(count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("images")).unwrap();
    (0..count).for_each(|i| write_picture(&folder.path().join(format!("images/{i}.png")), i));
    folder
}

pub fn write_json(path: &Path, value: &Value) {
    std::fs::write(path, value.to_string()).unwrap();
}

/// Lays a tokenizer's files into a model's folder: it cuts the recipe's markers into as many tokens as GPT-2 does, and
/// everything else into words and single characters.
pub fn write_tokenizer(folder: &Path) {
    let words = [
        "capt",
        "ion",
        " image",
        ":",
        "end",
        " of",
        " question",
        "a",
        " a",
        "the",
        " the",
        "cat",
        " cat",
        "dog",
        ".",
    ];
    let mut vocabulary =
        Map::from_iter([("<|endoftext|>".to_owned(), json!(END_OF_TEXT)), ("?".to_owned(), json!(1))]);
    vocabulary.extend((2..).zip(words).map(|(id, word)| (word.to_owned(), json!(id))));
    let end = json!({"id": END_OF_TEXT, "content": "<|endoftext|>", "single_word": false, "lstrip": false,
                     "rstrip": false, "normalized": false, "special": true});
    let split = json!({"type": "Split", "pattern": {"Regex": "capt|ion| ?[a-zA-Z]+|[^a-zA-Z]"},
                       "behavior": "Isolated", "invert": false});
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "decoder": null, "added_tokens": [end], "pre_tokenizer": split,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "?"}
    });
    write_json(&folder.join("tokenizer.json"), &json);
    write_json(&folder.join("tokenizer_config.json"), &json!({"eos_token": "<|endoftext|>"}));
}

pub fn tokenizer() -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    write_tokenizer(folder.path());
    Tokenizer::from_folder(folder.path()).unwrap().unwrap()
}

/// A model with the recipe's template.
pub fn card(context: usize) -> ModelCard {
    ModelCard {
        name: "test".into(),
        space: "test".into(),
        template: Template::recipe(),
        context,
        stop_ids: vec![END_OF_TEXT],
        projectors: BTreeMap::new(),
    }
}

/// A small random CLIP, made of the fixture of `jnana-models`, for pictures of `8·grid` pixels: `grid²` positions 32 wide.
/// Another `change` is an encoder with other weights.
pub fn encoder(grid: usize, change: f64) -> VisionEncoder {
    let folder = tempfile::tempdir().unwrap();
    write_encoder(folder.path(), grid, change);
    VisionEncoder::load(folder.path(), &VisionOptions::default()).unwrap()
}

/// The folder of an [`encoder`].
pub fn write_encoder(folder: &Path, grid: usize, change: f64) {
    const POSITIONS: &str = "vision_model.embeddings.position_embedding.weight";
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/vision/clip");
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(fixture.join("config.json")).unwrap()).unwrap();
    config["vision_config"]["image_size"] = json!(8 * grid);
    write_json(&folder.join("config.json"), &config);
    let mut tensors =
        candle_core::safetensors::load(fixture.join("model.safetensors"), &Device::Cpu).unwrap();
    let rows = grid * grid + 1;
    let waves: Vec<f32> = (0..rows * 32).map(|i| (i as f32 * 0.37).sin()).collect();
    let waves = Tensor::from_vec(waves, (rows, 32), &Device::Cpu).unwrap();
    tensors.insert(POSITIONS.to_owned(), (waves * change).unwrap());
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
}
