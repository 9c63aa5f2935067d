//! Writes samples and passages into a folder, in the formats that training reads.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::ImageFormat;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

use super::language::PROMPTS;
use super::questions::QuestionKind;
use super::{Sample, passage, render, sample};

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Seed of everything; another seed gives other pictures.
    pub seed: u64,
    /// How many pictures.
    pub pictures: u64,
    /// Side of a picture in pixels.
    pub side: u32,
    /// How many lines of text.
    pub passages: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 0, pictures: 1000, side: 224, passages: 1000 }
    }
}

/// A file or folder could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Fills `folder`, which is made if need be; files of the same names are replaced:
///
/// - `images/*.png`: the pictures;
/// - `captions.json`: all captions in the format of COCO's `captions_train2017.json`;
/// - `conversations.json`: one conversation a picture in LLaVA's format, first a caption, then every question;
/// - `questions.json`: `[{image, kind, question, answer}]`;
/// - `text.txt`: a passage a line.
///
/// # Errors
/// When something cannot be written.
pub fn write(folder: &Path, plan: &Plan) -> Result<(), WriteError> {
    let images = folder.join("images");
    fs::create_dir_all(&images).map_err(failed(&images))?;
    let samples: Vec<Sample> = (0..plan.pictures).map(|index| sample(plan.seed, index)).collect();
    samples.par_iter().enumerate().try_for_each(|(index, sample)| {
        let path = images.join(file_name(index));
        let mut png = Cursor::new(Vec::new());
        let encoded = render(&sample.scene, plan.side).write_to(&mut png, ImageFormat::Png);
        encoded.map_err(io::Error::other).map_err(failed(&path))?;
        fs::write(&path, png.into_inner()).map_err(failed(&path))
    })?;
    write_json(&folder.join("captions.json"), &Captions::new(&samples, plan))?;
    write_json(&folder.join("conversations.json"), &conversations(&samples))?;
    write_json(&folder.join("questions.json"), &asked(&samples))?;
    let text = folder.join("text.txt");
    let lines: String = (0..plan.passages).map(|index| passage(plan.seed, index) + "\n").collect();
    fs::write(&text, lines).map_err(failed(&text))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), WriteError> {
    let json = serde_json::to_vec(value).map_err(io::Error::from).map_err(failed(path))?;
    fs::write(path, json).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    |source| WriteError { path: path.to_owned(), source }
}

fn file_name(index: usize) -> String {
    format!("{index:06}.png")
}

/// COCO's captions, as far as readers need them.
#[derive(Serialize)]
struct Captions {
    info: Info,
    images: Vec<Image>,
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
struct Info {
    description: String,
}

#[derive(Serialize)]
struct Image {
    id: usize,
    file_name: String,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Annotation {
    id: usize,
    image_id: usize,
    caption: String,
}

impl Captions {
    fn new(samples: &[Sample], plan: &Plan) -> Self {
        let Plan { seed, side, .. } = *plan;
        let description = format!("Shapes drawn by Jñāna's trainer from seed {seed}");
        let images = (0..samples.len())
            .map(|id| Image { id, file_name: file_name(id), width: side, height: side })
            .collect();
        let captions = samples.iter().enumerate().flat_map(|(image_id, sample)| {
            sample.captions.iter().map(move |caption| (image_id, caption.clone()))
        });
        let annotations = captions
            .enumerate()
            .map(|(id, (image_id, caption))| Annotation { id, image_id, caption })
            .collect();
        Self { info: Info { description }, images, annotations }
    }
}

/// A conversation in LLaVA's format.
#[derive(Serialize)]
struct Conversation {
    id: String,
    image: String,
    conversations: Vec<Turn>,
}

#[derive(Serialize)]
struct Turn {
    from: &'static str,
    value: String,
}

fn conversations(samples: &[Sample]) -> Vec<Conversation> {
    let conversation = |(index, sample): (usize, &Sample)| {
        let prompt = format!("<image>\n{}", PROMPTS[index % PROMPTS.len()]);
        let captioned = sample.captions.first().map(|caption| (prompt, caption.clone()));
        let asked = sample.questions.iter().map(|question| (question.text.clone(), question.answer.clone()));
        let turns = captioned.into_iter().chain(asked);
        let turns = turns.flat_map(|(question, answer)| {
            [Turn { from: "human", value: question }, Turn { from: "gpt", value: answer }]
        });
        Conversation { id: format!("{index:06}"), image: file_name(index), conversations: turns.collect() }
    };
    samples.iter().enumerate().map(conversation).collect()
}

/// A question about one picture.
#[derive(Serialize)]
struct Asked<'a> {
    image: String,
    kind: QuestionKind,
    question: &'a str,
    answer: &'a str,
}

fn asked(samples: &[Sample]) -> Vec<Asked<'_>> {
    let asked = samples.iter().enumerate().flat_map(|(index, sample)| {
        sample.questions.iter().map(move |question| Asked {
            image: file_name(index),
            kind: question.kind,
            question: &question.text,
            answer: &question.answer,
        })
    });
    asked.collect()
}
