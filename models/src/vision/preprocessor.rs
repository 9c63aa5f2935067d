//! `preprocessor_config.json`: the numbers of Hugging Face's image processors that matter once a picture has its size.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::clip;
use crate::{Error, Result};

const FILE: &str = "preprocessor_config.json";

/// Mean and standard deviation of colours in 0..1, red first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Preprocessor {
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
}

#[derive(Deserialize)]
struct File {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    #[serde(default)]
    crop_size: Value,
    #[serde(default)]
    size: Value,
}

impl Preprocessor {
    /// Reads the folder's file; without one, or for numbers that it leaves out, CLIP's own. The size it names has to be
    /// the network's.
    pub(super) fn read(folder: &Path, image_size: usize) -> Result<Self> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(Self { mean: clip::MEAN, std: clip::STD });
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let file: File = serde_json::from_str(&text).map_err(Error::json(&path))?;
        let std = file.image_std.unwrap_or(clip::STD);
        for side in side(&file.crop_size).or_else(|| side(&file.size)).into_iter().flatten() {
            if side != image_size as u64 {
                return Err(field(
                    &path,
                    "crop_size",
                    &format!("the network's {image_size}"),
                    &side.to_string(),
                ));
            }
        }
        if std.iter().any(|s| *s <= 0.0) {
            return Err(field(&path, "image_std", "numbers above 0", &format!("{std:?}")));
        }
        Ok(Self { mean: file.image_mean.unwrap_or(clip::MEAN), std })
    }
}

fn field(path: &Path, key: &str, expected: &str, got: &str) -> Error {
    Error::Field { path: path.to_owned(), key: key.into(), expected: expected.into(), got: got.into() }
}

/// The sides that `224`, `{"height": 224, "width": 224}` or `{"shortest_edge": 224}` name.
fn side(size: &Value) -> Option<Vec<u64>> {
    match size {
        Value::Number(side) => Some(vec![side.as_u64()?]),
        Value::Object(sides) => Some(sides.values().filter_map(Value::as_u64).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Preprocessor> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), json).unwrap();
        Preprocessor::read(folder.path(), 224)
    }

    #[test]
    fn every_spelling_of_the_size_is_read() {
        for size in ["224", r#"{"height":224,"width":224}"#, r#"{"shortest_edge":224}"#] {
            let json =
                format!(r#"{{"crop_size":{size},"image_mean":[0.5,0.5,0.5],"image_std":[0.25,0.5,1]}}"#);
            let expected = Preprocessor { mean: [0.5; 3], std: [0.25, 0.5, 1.0] };
            assert_eq!(read(&json).unwrap(), expected);
            assert!(read(&json.replace("224", "336")).is_err());
        }
    }

    #[test]
    fn what_the_file_leaves_out_is_clips() {
        assert_eq!(read("{}").unwrap(), Preprocessor { mean: clip::MEAN, std: clip::STD });
        assert!(read(r#"{"image_std":[0,1,1]}"#).is_err());
    }
}
