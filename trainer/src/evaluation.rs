//! An evaluation: which model answers which questions, and how well.

mod one_pass;
mod sight;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jnana_core::ModelCard;
use jnana_models::adapter::Adapter;
use jnana_models::tokenizer::Tokenizer;
use jnana_models::{LoadOptions, Loaded, Mode, load_decoder};
use serde::{Deserialize, Serialize};

use self::sight::{Shown, Sight};
use crate::assemble::{Places, below};
use crate::changes::read_changed;
use crate::data::batch::Collator;
use crate::data::example::Renderer;
use crate::data::features::Features;
use crate::data::plan::{Buckets, Plan};
use crate::data::record::{Content, Record, pictures};
use crate::data::source::{self, Records, Source};
use crate::eval::generate::{Generator, Question, Said};
use crate::eval::report::HeldOutLoss;
use crate::eval::{AnswerScores, Answered, CaptionScores, Captioned, Compared, Report};
use crate::learner::Learner;
use crate::recipe::{DecoderRecipe, VisionRecipe};
use crate::session::{Examples, measure};
use crate::train::interrupt::Interrupt;
use crate::{Error, Result};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// The loss on the answers.
    Loss,
    /// Captions that the model makes, beside those of people.
    Captions,
    /// Answers to questions, beside the references.
    Answers,
}

/// A range of the pictures, sorted by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Pictures before the first.
    #[serde(default)]
    pub skip: usize,
    /// Most pictures.
    pub take: usize,
}

/// An evaluation as a file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Name of the data in the report.
    pub name: String,
    /// What is measured, in this order.
    pub measure: Vec<Measure>,
    /// The decoder.
    pub decoder: DecoderRecipe,
    /// An adapter's folder, below the runs' folder unless it is a path of its own; empty for none, so that the command
    /// line can leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// Encoder and projector, where the data has pictures; the projector has to be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision: Option<VisionRecipe>,
    /// On what: the records that a run would learn from.
    pub data: Vec<Source>,
    /// Which of its pictures. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<Part>,
    /// System message; absent for the template's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// What is asked for a caption.
    #[serde(default = "question")]
    pub question: String,
    /// Reads along with the reference answers in place of writing, many times faster: for answers of a word or two, where what
    /// comes out is the same. Default: false.
    #[serde(default)]
    pub one_pass: bool,
    /// Most tokens of an answer. Default: 64.
    #[serde(default = "max_tokens")]
    pub max_tokens: usize,
}

fn question() -> String {
    "Describe this image briefly.".to_owned()
}

fn max_tokens() -> usize {
    64
}

/// A question with what was said to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transcript {
    /// File name of the picture that belongs to it.
    pub picture: Option<String>,
    /// What was asked.
    pub question: String,
    /// What the model said.
    pub answer: String,
    /// What people said.
    pub references: Vec<String>,
}

/// Something to ask.
struct Asked {
    picture: Option<PathBuf>,
    question: String,
    references: Vec<String>,
}

impl Asked {
    fn with(self, answer: String) -> Transcript {
        let name = self.picture.as_deref().and_then(Path::file_name);
        Transcript {
            picture: name.map(|name| name.to_string_lossy().into()),
            question: self.question,
            answer,
            references: self.references,
        }
    }
}

impl Evaluation {
    /// Reads an evaluation and changes it by `KEY=VALUE` pairs, as a recipe.
    ///
    /// # Errors
    /// When the file cannot be read, a key is unknown or a value is impossible.
    pub fn read(path: &Path, changes: &[String]) -> Result<Self> {
        Ok(read_changed(path, changes)?.0)
    }

    /// Evaluates. `progress` is told how many answers of how many there are.
    ///
    /// # Errors
    /// When something is missing or damaged, or somebody asked for an end.
    pub fn run(
        &self,
        places: &Places,
        interrupt: &Interrupt,
        mut say: impl FnMut(&str),
        mut progress: impl FnMut(usize, usize),
    ) -> Result<(Report, Vec<Transcript>)> {
        let mut records = self.records(&places.data, &mut say)?;
        let max_broken = source::max_broken(&self.data);
        let mut open = |vision| Sight::open(vision, &records, max_broken, places, interrupt, &mut say);
        let sight = self.vision.as_ref().map(&mut open).transpose()?;
        if let Some(sight) = &sight {
            records.retain(|record| sight.shows(record));
        }
        if records.is_empty() {
            return Err(Error::setting("data", "at least one record", "none"));
        }
        let mut report = Report {
            model: self.model(),
            data: self.name.clone(),
            loss: None,
            captions: None,
            answers: None,
        };
        let mut transcripts = Vec::new();
        for what in &self.measure {
            let asked = match what {
                Measure::Loss => {
                    say("measuring the loss");
                    report.loss = Some(self.loss(&records, sight.as_ref(), places, &mut say)?);
                    continue;
                }
                Measure::Captions => captions(&records, &self.question),
                Measure::Answers => questions(&records),
            };
            let compared = match (what, self.one_pass) {
                (Measure::Answers, true) => {
                    self.read_along(&asked, sight.as_ref(), places, interrupt, &mut progress)?
                }
                _ => self.ask(&asked, sight.as_ref(), places, interrupt, &mut progress)?,
            };
            if *what == Measure::Captions {
                let scores = |answers: &Vec<String>| CaptionScores::of(&captioned(&asked, answers));
                report.captions = Some(compared.map(scores));
            } else {
                let scores = |answers: &Vec<String>| AnswerScores::of(&answered(&asked, answers));
                report.answers = Some(compared.map(scores));
            }
            transcripts.extend(asked.into_iter().zip(compared.own).map(|(asked, answer)| asked.with(answer)));
        }
        Ok((report, transcripts))
    }

    fn adapter(&self) -> Option<&Path> {
        self.adapter.as_deref().filter(|adapter| !adapter.as_os_str().is_empty())
    }

    fn model(&self) -> String {
        let decoder = self.decoder.model.display().to_string();
        match self.adapter() {
            Some(adapter) => format!("{decoder} + {}", adapter.display()),
            None => decoder,
        }
    }

    fn records(&self, data: &Path, say: &mut impl FnMut(&str)) -> Result<Vec<Record>> {
        let Records { train: mut records, faults, .. } = source::read(&self.data, data)?;
        faults.iter().for_each(|fault| say(&format!("skipped {fault}")));
        if let Some(Part { skip, take }) = self.pictures {
            let chosen: HashSet<PathBuf> = pictures(&records).into_iter().skip(skip).take(take).collect();
            records.retain(|record| record.images().iter().all(|image| chosen.contains(*image)));
        }
        Ok(records)
    }

    fn load(&self, places: &Places, mode: Mode) -> Result<(Loaded, ModelCard)> {
        let path = below(&places.models, &self.decoder.model);
        let adapter = self.adapter().map(|adapter| below(&places.runs, adapter));
        let adapter = adapter.map(|folder| Adapter::load(&folder, &places.device)).transpose()?;
        let quantize = self.decoder.quantize.as_deref().map(str::parse).transpose();
        let options = LoadOptions {
            mode,
            quantize: quantize.map_err(|got: String| Error::setting("quantize", "a quantisation", got))?,
            vocab_rows: self.decoder.vocab_rows,
            adapter: adapter.map(Arc::new),
            ..LoadOptions::new(places.device.clone())
        };
        let loaded = load_decoder(&path, &options)?;
        let tokenizer = loaded.tokenizer.as_ref().ok_or_else(|| Error::File {
            path: path.clone(),
            expected: "a model with a tokenizer".to_owned(),
            got: "none".to_owned(),
        })?;
        let card = ModelCard::load(&path, &loaded.info.name, loaded.decoder.shape(), tokenizer)?;
        Ok((loaded, card))
    }

    /// The model as one that reads batches.
    fn reader(&self, sight: Option<&Sight>, places: &Places) -> Result<Reader> {
        let (Loaded { decoder, tokenizer, .. }, card) = self.load(places, Mode::Training)?;
        let tokenizer = tokenizer.ok_or_else(|| Error::setting("decoder", "a tokenizer", "none"))?;
        let features = sight.map(|sight| Arc::clone(&sight.features));
        let positions = features.as_ref().map_or(0, |features| features.positions());
        let renderer = Renderer::new(&card, tokenizer.clone(), self.system.clone(), positions)?;
        let projector = sight.map(|sight| sight.projector.clone());
        let learner = Learner { decoder, projector, adapter: None };
        Ok(Reader { learner, renderer, features, tokenizer })
    }

    fn loss(
        &self,
        records: &[Record],
        sight: Option<&Sight>,
        places: &Places,
        say: &mut impl FnMut(&str),
    ) -> Result<Compared<HeldOutLoss>> {
        let Reader { learner, renderer, features, .. } = self.reader(sight, places)?;
        let buckets = Buckets::plain(8);
        let measured = |shuffled: bool| -> Result<HeldOutLoss> {
            let number = |path: &Path| sight.and_then(|sight| sight.number(path, shuffled));
            let rendered = renderer.render_all(records, number, source::max_broken(&self.data))?;
            let examples = rendered.list;
            if !shuffled {
                rendered.faults.iter().for_each(|fault| say(&format!("skipped {fault}")));
                rendered.left_out.iter().for_each(|fault| say(&format!("left out {fault}")));
            }
            let plan = Arc::new(Plan::new(&examples, &buckets, 0)?);
            let tokens = examples.iter().map(|example| example.targets.len()).sum();
            let collator = Collator {
                examples: Arc::new(examples),
                features: features.clone(),
                filler: renderer.filler(),
            };
            let loss = measure(&learner, &Examples { collator, plan })?;
            Ok(HeldOutLoss { tokens, loss })
        };
        Compared::of(sight, measured)
    }

    /// What the model says to each question, and what with the pictures shuffled.
    fn ask(
        &self,
        asked: &[Asked],
        sight: Option<&Sight>,
        places: &Places,
        interrupt: &Interrupt,
        progress: &mut impl FnMut(usize, usize),
    ) -> Result<Compared<Vec<String>>> {
        let (Loaded { decoder, tokenizer, .. }, card) = self.load(places, Mode::Inference)?;
        let tokenizer = tokenizer.ok_or_else(|| Error::setting("decoder", "a tokenizer", "none"))?;
        let generator = Generator::start(decoder, tokenizer, card, self.system.clone(), self.max_tokens);
        let total = asked.len() * (1 + usize::from(sight.is_some()));
        let mut done = 0;
        let round = |shuffled: bool| -> Result<Vec<String>> {
            let mut shown = Shown::new(sight, shuffled);
            let pictures = asked.iter().map(|asked| shown.picture(asked.picture.as_deref()));
            let pictures = pictures.collect::<Result<Vec<_>>>()?;
            let questions = asked.iter().zip(pictures);
            let questions =
                questions.map(|(asked, picture)| Question { picture, words: asked.question.clone() });
            let mut answers = Vec::with_capacity(asked.len());
            generator.answer(questions, |Said { text, .. }| -> Result<()> {
                answers.push(text);
                done += 1;
                progress(done, total);
                if interrupt.requested() {
                    Err(Error::Stopped { while_doing: "answering questions" })
                } else {
                    Ok(())
                }
            })?;
            Ok(answers)
        };
        Compared::of(sight, round)
    }
}

/// A model that reads questions with their answers.
struct Reader {
    learner: Learner,
    renderer: Renderer,
    features: Option<Arc<Features>>,
    tokenizer: Tokenizer,
}

impl<T> Compared<T> {
    /// A round with the right pictures, and one with shuffled ones where there are pictures.
    fn of(sight: Option<&Sight>, mut round: impl FnMut(bool) -> Result<T>) -> Result<Self> {
        Ok(Self { own: round(false)?, shuffled: sight.map(|_| round(true)).transpose()? })
    }

    fn map<U>(&self, mut change: impl FnMut(&T) -> U) -> Compared<U> {
        Compared { own: change(&self.own), shuffled: self.shuffled.as_ref().map(change) }
    }
}

/// One question a picture, with all captions of it.
fn captions(records: &[Record], question: &str) -> Vec<Asked> {
    let mut references: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
    for record in records {
        if let Content::Caption { image, caption } = &record.content {
            references.entry(image).or_default().push(caption.clone());
        }
    }
    let asked = |(picture, references): (&Path, Vec<String>)| Asked {
        picture: Some(picture.to_owned()),
        question: question.to_owned(),
        references,
    };
    references.into_iter().map(asked).collect()
}

/// The first question of each conversation.
fn questions(records: &[Record]) -> Vec<Asked> {
    let asked = |record: &Record| match &record.content {
        Content::Conversation(exchanges) => exchanges.first().map(|exchange| Asked {
            picture: exchange.images.first().cloned(),
            question: exchange.question.clone(),
            references: vec![exchange.answer.clone()],
        }),
        _ => None,
    };
    records.iter().filter_map(asked).collect()
}

fn captioned(asked: &[Asked], answers: &[String]) -> Vec<Captioned> {
    let pairs = asked.iter().zip(answers);
    // Every picture was found by a caption of it.
    pairs.filter_map(|(asked, answer)| Captioned::new(answer, &asked.references).ok()).collect()
}

fn answered(asked: &[Asked], answers: &[String]) -> Vec<Answered> {
    let pair = |(asked, answer): (&Asked, &String)| Answered {
        question: asked.question.clone(),
        answer: answer.clone(),
        reference: asked.references.first().cloned().unwrap_or_default(),
    };
    asked.iter().zip(answers).map(pair).collect()
}
