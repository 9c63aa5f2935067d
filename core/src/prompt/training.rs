//! Conversations with their answers, as teacher forcing feeds them.

use std::slice;

use jnana_models::tokenizer::Tokenizer;

use super::{PromptError, Renderer, Role, Segments, Turn};
use crate::request::PromptPart;
use crate::template::Template;

/// What the network should say at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The position whose logits predict the token.
    pub position: usize,
    /// The token.
    pub token: u32,
}

/// A conversation with its answers, for training: one forward of `parts` predicts all `targets`.
#[derive(Debug, Clone)]
pub struct TrainingExample {
    /// The conversation; the token that ends the last answer is not part of it, only a target.
    pub parts: Vec<PromptPart>,
    /// Every answer's tokens and the one that ends it, where the template has one, in order; nothing else.
    pub targets: Vec<Target>,
}

/// Renders a conversation as serving would, answers included. It begins with a question and ends with an answer.
///
/// # Errors
/// When the conversation is none, a question is empty, or the tokenizer fails.
pub fn training_example(
    template: &Template,
    tokenizer: &Tokenizer,
    system: Option<&str>,
    turns: &[Turn],
) -> Result<TrainingExample, PromptError> {
    let [first, rest @ .., last] = turns else { return Err(PromptError::NoAnswer) };
    if first.role != Role::User || last.role != Role::Assistant {
        return Err(PromptError::NoAnswer);
    }
    if turns.iter().any(|turn| turn.role == Role::User && turn.is_empty()) {
        return Err(PromptError::EmptyQuestion);
    }
    let renderer = Renderer::new(template, tokenizer, system);
    let mut segments = renderer.beginning(slice::from_ref(first))?;
    let mut targets = Vec::new();
    for turn in rest {
        match turn.role {
            Role::User => renderer.question(&mut segments, turn, "")?,
            Role::Assistant => {
                let close = learn(&renderer, &mut segments, &mut targets, turn)?;
                segments.tokens(close);
            }
        }
    }
    learn(&renderer, &mut segments, &mut targets, last)?;
    Ok(TrainingExample { parts: segments.parts, targets })
}

/// Appends an answer and its targets; returns the tokens that close it.
fn learn(
    renderer: &Renderer<'_>,
    segments: &mut Segments,
    targets: &mut Vec<Target>,
    turn: &Turn,
) -> Result<Vec<u32>, PromptError> {
    segments.append(&renderer.answer_open()?);
    let answer = renderer.tokenizer.encode_text(&turn.text)?;
    let close = renderer.tokenizer.encode_markup(&renderer.template.assistant_close)?;
    let places = segments.positions()..;
    // What stands at a place is predicted one position before; nothing predicts the very first.
    let learned = places
        .zip(answer.iter().chain(close.first()))
        .filter_map(|(place, &token)| Some(Target { position: place.checked_sub(1)?, token }));
    targets.extend(learned);
    segments.tokens(answer);
    Ok(close)
}
