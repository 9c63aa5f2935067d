//! A recipe's sources, read into one list of records.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::coco::{self, Captions};
use super::easy_vqa;
use super::faults::Fault;
use super::llava::{self, Conversations};
use super::record::Record;
use super::text::{self, Documents};
use crate::{Error, Result};

/// A set of data as a recipe names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name in messages and before the records' ids.
    pub name: String,
    /// Its folder below the data folder that a run is given.
    pub folder: PathBuf,
    /// What lies there.
    pub format: Format,
    /// How often an epoch shows each record: 2 is twice, 0.5 every other epoch. Default: 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// Most training records, spread over the file. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Which records are for training. Default: all that are not held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splits: Option<Splits>,
    /// Share of the pictures (of the records, where there are none) that is held out, chosen by a hash of the file name; with
    /// `splits` these decide. Default: 0.
    #[serde(default)]
    pub held_out_share: f64,
    /// Most held-out records, spread over the file. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_limit: Option<usize>,
    /// Share of records, and of their pictures, that may be broken. Default: 0.01.
    #[serde(default = "hundredth")]
    pub max_broken: f64,
}

/// The format of a source; paths are below its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Format {
    /// COCO captions.
    Coco {
        /// The captions. Default: `captions.json`.
        #[serde(default = "captions_json")]
        file: PathBuf,
        /// The pictures. Default: `images`.
        #[serde(default = "images")]
        images: PathBuf,
        /// Which captions. Default: the first of each picture.
        #[serde(default)]
        captions: Captions,
    },
    /// LLaVA conversations.
    Llava {
        /// The conversations. Default: `conversations.json`.
        #[serde(default = "conversations_json")]
        file: PathBuf,
        /// The pictures. Default: `images`.
        #[serde(default = "images")]
        images: PathBuf,
        /// Whole or in pairs. Default: pairs.
        #[serde(default)]
        conversations: Conversations,
    },
    /// easy-VQA.
    EasyVqa {
        /// The questions. Default: `questions.json`.
        #[serde(default = "questions_json")]
        file: PathBuf,
        /// The pictures. Default: `images`.
        #[serde(default = "images")]
        images: PathBuf,
    },
    /// Chat turns, JSON Lines.
    Chat {
        /// The chats.
        file: PathBuf,
    },
    /// Plain text.
    Text {
        /// The text.
        file: PathBuf,
        /// What a document is. Default: the file.
        #[serde(default)]
        documents: Documents,
    },
}

/// A file that says of each picture's file name to which split it belongs: `{"1.jpg": "train", …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    /// The file, below the source's folder. Default: `splits.json`.
    #[serde(default = "splits_json")]
    pub file: PathBuf,
    /// Splits to train on. Default: `train`.
    #[serde(default = "train")]
    pub train: Vec<String>,
    /// Splits to hold out. Default: `dev`.
    #[serde(default = "dev")]
    pub held_out: Vec<String>,
}

fn one() -> f64 {
    1.0
}

fn hundredth() -> f64 {
    0.01
}

fn captions_json() -> PathBuf {
    "captions.json".into()
}

fn conversations_json() -> PathBuf {
    "conversations.json".into()
}

fn questions_json() -> PathBuf {
    "questions.json".into()
}

fn splits_json() -> PathBuf {
    "splits.json".into()
}

fn images() -> PathBuf {
    "images".into()
}

fn train() -> Vec<String> {
    vec!["train".into()]
}

fn dev() -> Vec<String> {
    vec!["dev".into()]
}

/// What sources hold.
#[derive(Debug, Default)]
pub struct Records {
    /// To learn from; ids begin with the source's name and a slash.
    pub train: Vec<Record>,
    /// To measure by; no picture of it is in `train` of the same source.
    pub held_out: Vec<Record>,
    /// What was skipped.
    pub faults: Vec<Fault>,
}

/// Share of all records and pictures together that may be broken: the largest that one of `sources` allows.
#[must_use]
pub fn max_broken(sources: &[Source]) -> f64 {
    sources.iter().map(|source| source.max_broken).fold(0., f64::max)
}

/// Reads `sources`, whose folders are below `root`, one after the other.
///
/// # Errors
/// When a setting makes no sense, a file cannot be read, or too much of a source is broken.
pub fn read(sources: &[Source], root: &Path) -> Result<Records> {
    let mut all = Records::default();
    for source in sources {
        let one = source.read(root)?;
        all.train.extend(one.train);
        all.held_out.extend(one.held_out);
        all.faults.extend(one.faults);
    }
    Ok(all)
}

/// Where a record goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    HeldOut,
    Neither,
}

impl Source {
    fn read(&self, root: &Path) -> Result<Records> {
        self.check()?;
        let folder = root.join(&self.folder);
        let (mut records, faults) = self.format.read(&folder, self.max_broken)?;
        for record in &mut records {
            record.weight = self.weight;
        }
        let names = self.splits.as_ref().map(|splits| splits.read(&folder)).transpose()?.unwrap_or_default();
        let (mut train, mut held_out) = (Vec::new(), Vec::new());
        for mut record in records {
            let part = self.part(&record.group(), &names);
            record.id = format!("{}/{}", self.name, record.id);
            match part {
                Part::Train => train.push(record),
                Part::HeldOut => held_out.push(record),
                Part::Neither => {}
            }
        }
        let train = spread(train, self.limit);
        Ok(Records { train, held_out: spread(held_out, self.held_out_limit), faults })
    }

    fn check(&self) -> Result<()> {
        let setting =
            |key: &str, expected, got| Error::setting(format!("{}: {key}", self.name), expected, got);
        if !(self.weight > 0.0 && self.weight.is_finite()) {
            return Err(setting("weight", "a number above 0", self.weight));
        }
        for (key, share) in [("held_out_share", self.held_out_share), ("max_broken", self.max_broken)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(setting(key, "a share from 0 to 1", share));
            }
        }
        Ok(())
    }

    /// Says where a group of records goes; `names` are those of the splits' file.
    fn part(&self, group: &str, names: &HashMap<String, String>) -> Part {
        let Some(splits) = &self.splits else {
            return if unit(group) < self.held_out_share { Part::HeldOut } else { Part::Train };
        };
        match names.get(group) {
            Some(split) if splits.train.contains(split) => Part::Train,
            Some(split) if splits.held_out.contains(split) => Part::HeldOut,
            _ => Part::Neither,
        }
    }
}

impl Splits {
    /// The split of each file name.
    fn read(&self, folder: &Path) -> Result<HashMap<String, String>> {
        let path = folder.join(&self.file);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        serde_json::from_slice(&bytes).map_err(Error::json(&path))
    }
}

impl Format {
    fn read(&self, folder: &Path, allowed: f64) -> Result<(Vec<Record>, Vec<Fault>)> {
        let at = |path: &PathBuf| folder.join(path);
        match self {
            Self::Coco { file, images, captions } => {
                let (captioned, faults) = coco::read(&at(file), &at(images), allowed)?;
                Ok((coco::records(captioned, *captions), faults))
            }
            Self::Llava { file, images, conversations } => {
                llava::read(&at(file), &at(images), *conversations, allowed)
            }
            Self::EasyVqa { file, images } => easy_vqa::read(&at(file), &at(images), allowed),
            Self::Chat { file } => text::read_chats(&at(file), allowed),
            Self::Text { file, documents } => Ok((text::read_plain(&at(file), *documents)?, Vec::new())),
        }
    }
}

/// At most `limit` records in their order, chosen by the hash of their ids.
fn spread(records: Vec<Record>, limit: Option<usize>) -> Vec<Record> {
    let Some(limit) = limit.filter(|&limit| limit < records.len()) else { return records };
    let mut hashes: Vec<f64> = records.iter().map(|record| unit(&record.id)).collect();
    let of_record = hashes.clone();
    hashes.sort_unstable_by(f64::total_cmp);
    let bound = hashes.get(limit).copied().unwrap_or(1.0);
    records.into_iter().zip(of_record).filter(|(_, hash)| *hash < bound).map(|(record, _)| record).collect()
}

/// A number in 0..1 that depends on nothing but `key`.
fn unit(key: &str) -> f64 {
    let digest = Sha256::digest(key.as_bytes());
    let bits = digest.iter().take(8).fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::record::Content;

    #[test]
    fn a_source_is_a_few_lines_of_toml() {
        let toml = r#"
            name = "flickr8k"
            folder = "flickr8k"
            format = { kind = "llava", file = "conversations_qa_derived.json", conversations = "whole" }
            weight = 0.5
            splits = { held_out = ["dev", "extra"] }
        "#;
        let source: Source = toml::from_str(toml).unwrap();
        let expected = Format::Llava {
            file: "conversations_qa_derived.json".into(),
            images: "images".into(),
            conversations: Conversations::Whole,
        };
        assert_eq!(source.format, expected);
        let splits = source.splits.clone().unwrap();
        assert_eq!((splits.train, splits.held_out), (train(), vec!["dev".to_owned(), "extra".to_owned()]));
        assert_eq!(toml::from_str::<Source>(&toml::to_string(&source).unwrap()).unwrap(), source);
        for wrong in [toml.replace("weight", "wight"), toml.replace("file", "fil")] {
            assert!(toml::from_str::<Source>(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_spreads_over_the_file_and_is_always_the_same() {
        let record = |i: usize| Record::new(format!("s/{i}"), Content::Text { text: "x".into(), ends: true });
        let limited = || spread((0..1000).map(record).collect(), Some(100));
        let ids: Vec<usize> =
            limited().iter().map(|record| record.id.trim_start_matches("s/").parse().unwrap()).collect();
        assert_eq!(limited(), limited());
        assert_eq!(ids.len(), 100);
        assert!(ids.is_sorted());
        assert!(ids.iter().filter(|&&id| id < 500).count() > 30 && ids[99] > 900);
        assert_eq!(spread((0..3).map(record).collect(), Some(9)).len(), 3);
    }
}
