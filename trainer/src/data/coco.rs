//! COCO captions: one JSON file and a folder of pictures.
//!
//! Format: <https://cocodataset.org/#format-data>, "Image Captioning".

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::faults::{Fault, Faults};
use super::record::{Content, Record, filled, picture};
use crate::{Error, Result};

/// Which of a picture's captions become records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Captions {
    /// The one that stands first in the file, as in the recipe.
    #[default]
    First,
    /// Each of them.
    All,
}

/// A picture with all that was said of it, as evaluation compares answers with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptionedImage {
    /// The picture's file.
    pub image: PathBuf,
    /// Its captions in the file's order; at least one.
    pub captions: Vec<String>,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
    #[serde(borrow)]
    annotations: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    caption: String,
}

/// Reads the pictures that have captions, in the order of the first caption of each.
///
/// # Errors
/// When the file cannot be read, or more than a share of `allowed` of its entries is broken.
pub fn read(file: &Path, images: &Path, allowed: f64) -> Result<(Vec<CaptionedImage>, Vec<Fault>)> {
    let bytes = std::fs::read(file).map_err(Error::io("read", file))?;
    let parsed: File = serde_json::from_slice(&bytes).map_err(Error::json(file))?;
    let total = parsed.images.len() + parsed.annotations.len();
    let mut faults = Faults::new(format!("entries of {}", file.display()), total, allowed);

    let paths = parsed.images.iter().enumerate().map(|(index, raw)| {
        let entry = parse::<Image>(raw).and_then(|i| Ok((i.id, picture(images, &i.file_name)?)));
        (format!("images[{index}]"), entry)
    });
    let paths: HashMap<i64, PathBuf> = faults.sift(paths)?.into_iter().collect();

    let captions = parsed.annotations.iter().enumerate().map(|(index, raw)| {
        (format!("annotations[{index}]"), parse::<Annotation>(raw).and_then(|a| caption(a, &paths)))
    });
    let captions = faults.sift(captions)?;
    Ok((by_image(captions, &paths), faults.into_list()))
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|error| error.to_string())
}

fn caption(annotation: Annotation, paths: &HashMap<i64, PathBuf>) -> Result<(i64, String), String> {
    let Annotation { image_id, caption } = annotation;
    if !paths.contains_key(&image_id) {
        return Err(format!("there is no image {image_id}"));
    }
    Ok((image_id, filled(&caption, "the caption")?))
}

fn by_image(captions: Vec<(i64, String)>, paths: &HashMap<i64, PathBuf>) -> Vec<CaptionedImage> {
    let mut places: HashMap<i64, usize> = HashMap::new();
    let mut list: Vec<CaptionedImage> = Vec::new();
    for (id, caption) in captions {
        let place = *places.entry(id).or_insert(list.len());
        match list.get_mut(place) {
            Some(entry) => entry.captions.push(caption),
            None => list.extend(
                paths.get(&id).map(|path| CaptionedImage { image: path.clone(), captions: vec![caption] }),
            ),
        }
    }
    list
}

/// The captions as records; their ids are `<file name>#<number of the caption>`.
#[must_use]
pub fn records(images: Vec<CaptionedImage>, which: Captions) -> Vec<Record> {
    let most = if which == Captions::First { 1 } else { usize::MAX };
    let of_image = |CaptionedImage { image, captions }: CaptionedImage| {
        let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        captions.into_iter().take(most).enumerate().map(move |(number, caption)| {
            let content = Content::Caption { image: image.clone(), caption };
            Record::new(format!("{name}#{number}"), content)
        })
    };
    images.into_iter().flat_map(of_image).collect()
}
