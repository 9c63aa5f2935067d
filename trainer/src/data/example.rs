//! Records as token ids, with a target for every token that counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use jnana_core::prompt::{Target, TrainingExample, training_example};
use jnana_core::request::{Embeddings, PromptPart};
use jnana_core::{ModelCard, Template, Turn};
use jnana_models::tokenizer::Tokenizer;
use rayon::prelude::*;

use super::faults::{Fault, Faults};
use super::record::{Content, Exchange, Record};
use crate::{Error, Result};

/// The template's slot that pictures fill.
const IMAGE: &str = "image";

/// A picture within an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its first position.
    pub position: usize,
    /// Its number in [`Features`](super::features::Features).
    pub picture: u32,
}

/// What a network is shown at once, and what it should say.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The record that it comes from.
    pub record: String,
    /// How often an epoch shows it.
    pub weight: f64,
    /// A token for each position; those of pictures have one that means nothing.
    pub ids: Vec<u32>,
    /// Its pictures, in order.
    pub slots: Vec<Slot>,
    /// Where its branches begin, see [`branches`](super::branches); none where there is but one way on.
    pub branches: Vec<usize>,
    /// What counts in the loss, in order. Nothing of a question, a picture or a marker is a target.
    pub targets: Vec<Target>,
    /// Tokens of the answers, without those that end them.
    pub answer_tokens: usize,
}

/// Why a record gives no example.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// Longer than the context. Not a fault of the record.
    #[error("it takes {positions} positions, the context has {context}")]
    TooLong {
        /// Positions that it takes.
        positions: usize,
        /// Positions that there are.
        context: usize,
    },
    /// Its picture was skipped; the fault is the picture's.
    #[error("its picture {} was skipped", .0.display())]
    WithoutPicture(PathBuf),
    /// It cannot be rendered.
    #[error(transparent)]
    Prompt(#[from] jnana_core::PromptError),
    /// Its text cannot be tokenised.
    #[error(transparent)]
    Model(#[from] jnana_models::Error),
}

/// Examples, and what became none.
#[derive(Debug, Default)]
pub struct Examples {
    /// In the records' order.
    pub list: Vec<Example>,
    /// Records that are too long or lost their picture, with the reason.
    pub left_out: Vec<Fault>,
    /// Records that are broken.
    pub faults: Vec<Fault>,
}

/// Turns records into examples by a model's template.
#[derive(Debug, Clone)]
pub struct Renderer {
    template: Template,
    captions: Template,
    tokenizer: Tokenizer,
    system: Option<String>,
    context: usize,
    picture: Arc<Embeddings>,
}

impl Renderer {
    /// For a model with its `card`. A picture takes `positions`; `system` replaces the template's own system message.
    ///
    /// # Errors
    /// When memory is out.
    pub fn new(
        card: &ModelCard,
        tokenizer: Tokenizer,
        system: Option<String>,
        positions: usize,
    ) -> Result<Self> {
        // Only the number of rows is looked at; the features come later, batch by batch.
        let rows = Tensor::zeros((positions, 1), DType::F32, &Device::Cpu)
            .map_err(Error::compute("make room for a picture"))?;
        let picture = Arc::new(Embeddings { rows, key: [0; 32], source: String::new() });
        let (template, captions) = (card.template.clone(), card.template.for_captions());
        Ok(Self { template, captions, tokenizer, system, context: card.context, picture })
    }

    /// A token for positions whose token does not matter.
    #[must_use]
    pub fn filler(&self) -> u32 {
        self.tokenizer.eos_ids().first().copied().unwrap_or(0)
    }

    /// Renders all records on all cores. `picture` gives the number of a picture's features, `None` for one that was skipped.
    ///
    /// # Errors
    /// When more than a share of `allowed` of the records is broken.
    pub fn render_all(
        &self,
        records: &[Record],
        picture: impl Fn(&Path) -> Option<u32> + Sync,
        allowed: f64,
    ) -> Result<Examples> {
        let rendered: Vec<_> =
            records.par_iter().map(|record| (record, self.render(record, &picture))).collect();
        let mut faults = Faults::new("records", records.len(), allowed);
        let mut examples = Examples::default();
        for (record, result) in rendered {
            match result {
                Ok(list) => examples.list.extend(list),
                Err(reason @ (Unusable::TooLong { .. } | Unusable::WithoutPicture(_))) => {
                    examples.left_out.push(Fault { what: record.id.clone(), reason: reason.to_string() });
                }
                Err(reason) => faults.skip(&record.id, reason)?,
            }
        }
        examples.faults = faults.into_list();
        Ok(examples)
    }

    /// One example, or several for a long text.
    ///
    /// # Errors
    /// When the record is too long, lost its picture or is broken.
    pub fn render(
        &self,
        record: &Record,
        picture: impl Fn(&Path) -> Option<u32>,
    ) -> Result<Vec<Example>, Unusable> {
        let turns = match &record.content {
            Content::Text { text, ends } => return self.text(record, text, *ends),
            Content::Caption { image, caption } => {
                let exchange =
                    Exchange { images: vec![image.clone()], answer: caption.clone(), ..Exchange::default() };
                self.turns(&exchange).to_vec()
            }
            Content::Conversation(exchanges) => {
                exchanges.iter().flat_map(|exchange| self.turns(exchange)).collect()
            }
        };
        let template =
            if matches!(record.content, Content::Caption { .. }) { &self.captions } else { &self.template };
        let pictures = record
            .images()
            .into_iter()
            .map(|path| picture(path).ok_or_else(|| Unusable::WithoutPicture(path.to_owned())))
            .collect::<Result<Vec<_>, _>>()?;
        let rendered = training_example(template, &self.tokenizer, self.system.as_deref(), &turns)?;
        let example = self.flatten(record, rendered, &pictures);
        if example.ids.len() > self.context {
            return Err(Unusable::TooLong { positions: example.ids.len(), context: self.context });
        }
        Ok(vec![example])
    }

    fn turns(&self, exchange: &Exchange) -> [Turn; 2] {
        let picture = || (IMAGE.to_owned(), Arc::clone(&self.picture));
        let embeddings = exchange.images.iter().map(|_| picture()).collect();
        [Turn { embeddings, ..Turn::user(&exchange.question) }, Turn::assistant(&exchange.answer)]
    }

    fn flatten(&self, record: &Record, rendered: TrainingExample, pictures: &[u32]) -> Example {
        let (mut ids, mut slots) = (Vec::new(), Vec::new());
        let mut pictures = pictures.iter();
        for part in rendered.parts {
            match part {
                PromptPart::Tokens(tokens) => ids.extend(tokens),
                PromptPart::Embeddings(rows) => {
                    let place = |&picture| Slot { position: ids.len(), picture };
                    slots.extend(pictures.next().map(place));
                    ids.resize(ids.len() + PromptPart::Embeddings(rows).positions(), self.filler());
                }
            }
        }
        let ends = answers(&record.content) * usize::from(!self.template.assistant_close.is_empty());
        Example {
            record: record.id.clone(),
            weight: record.weight,
            answer_tokens: rendered.targets.len().saturating_sub(ends),
            ids,
            slots,
            branches: Vec::new(),
            targets: rendered.targets,
        }
    }

    /// A text in examples of at most the context; each token but the first is predicted once.
    fn text(&self, record: &Record, text: &str, ends: bool) -> Result<Vec<Example>, Unusable> {
        let bos = self.tokenizer.adds_bos().then(|| self.tokenizer.bos_id()).flatten();
        let eos = ends.then(|| self.tokenizer.eos_ids().first().copied()).flatten();
        let words = self.tokenizer.encode_text(text)?;
        let tokens: Vec<u32> = bos.into_iter().chain(words).chain(eos).collect();
        // A window's last token is the next one's first: predicted here, read there.
        let starts = (0..tokens.len().saturating_sub(1)).step_by(self.context);
        let windows = starts.filter_map(|start| {
            let end = (start + self.context).min(tokens.len() - 1);
            let (ids, next) = (tokens.get(start..end)?, tokens.get(start + 1..=end)?);
            let target = |(position, &token)| Target { position, token };
            Some(Example {
                record: record.id.clone(),
                weight: record.weight,
                ids: ids.to_vec(),
                slots: Vec::new(),
                branches: Vec::new(),
                targets: next.iter().enumerate().map(target).collect(),
                answer_tokens: next.len(),
            })
        });
        Ok(windows.collect())
    }
}

fn answers(content: &Content) -> usize {
    match content {
        Content::Caption { .. } => 1,
        Content::Conversation(exchanges) => exchanges.len(),
        Content::Text { .. } => 0,
    }
}
