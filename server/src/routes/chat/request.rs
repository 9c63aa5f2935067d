//! From a chat request to what the assistant is asked, every limit checked.

use jnana_api::openai::{ChatMessage, ChatRequest, Content, ContentPart, StopStrings};
use jnana_core::prompt::Role;
use jnana_core::request::{Sampling, Stop};

use super::data_url;
use crate::assistant::{Ask, AskTurn, InputPiece, Piece, ServingModel, Target};
use crate::error::ApiError;

/// Most strings in `stop`.
const MAX_STOPS: usize = 16;

/// A checked request.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) ask: Ask,
    pub(super) sampling: Sampling,
    pub(super) stop: Stop,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

pub(super) fn wanted(request: ChatRequest, model: &ServingModel) -> Result<Wanted, ApiError> {
    if request.n.is_some_and(|n| n != 1) {
        return Err(ApiError::invalid("n", "only one answer is made for a request"));
    }
    let max_tokens = max_tokens(&request)?;
    let sampling = sampling(&request)?;
    let stream = request.stream.unwrap_or(false);
    let include_usage = request.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
    let strings = stop_strings(request.stop.map(StopStrings::into_vec).unwrap_or_default())?;
    let stop = model.stop(max_tokens, strings);
    let (system, turns) = turns(request.messages)?;
    let ask = Ask { system, turns, max_tokens: stop.max_tokens };
    Ok(Wanted { ask, sampling, stop, stream, include_usage })
}

fn max_tokens(request: &ChatRequest) -> Result<Option<usize>, ApiError> {
    let (name, given) = match request.max_completion_tokens {
        Some(given) => ("max_completion_tokens", Some(given)),
        None => ("max_tokens", request.max_tokens),
    };
    if given == Some(0) {
        return Err(ApiError::invalid(name, format!("{name} must be at least 1")));
    }
    Ok(given.map(|given| given as usize))
}

fn sampling(request: &ChatRequest) -> Result<Sampling, ApiError> {
    let default = Sampling::default();
    let within = |name, value: Option<f32>, default: f32, low: f32, high: f32, open: bool| {
        let value = value.unwrap_or(default);
        let fits = (value > low || (!open && value == low)) && value <= high;
        let range = if open { "above" } else { "from" };
        let words = || format!("{name} must be {range} {low} up to {high}, found {value}");
        if fits { Ok(value) } else { Err(ApiError::invalid(name, words())) }
    };
    Ok(Sampling {
        temperature: within("temperature", request.temperature, default.temperature, 0.0, 2.0, false)?,
        top_k: request.top_k.map_or(default.top_k, |k| k as usize),
        top_p: within("top_p", request.top_p, default.top_p, 0.0, 1.0, true)?,
        min_p: within("min_p", request.min_p, default.min_p, 0.0, 1.0, false)?,
        repetition_penalty: within(
            "repetition_penalty",
            request.repetition_penalty,
            default.repetition_penalty,
            0.0,
            2.0,
            true,
        )?,
        // Any 64 bits will do as a seed.
        seed: request.seed.map_or_else(rand::random, i64::cast_unsigned),
    })
}

fn stop_strings(strings: Vec<String>) -> Result<Vec<String>, ApiError> {
    if strings.len() > MAX_STOPS {
        return Err(ApiError::invalid("stop", format!("at most {MAX_STOPS} stop strings")));
    }
    if strings.iter().any(String::is_empty) {
        return Err(ApiError::invalid("stop", "a stop string may not be empty"));
    }
    Ok(strings)
}

fn turns(messages: Vec<ChatMessage>) -> Result<(Option<String>, Vec<AskTurn>), ApiError> {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for (index, message) in messages.into_iter().enumerate() {
        let at = |field: &str| format!("messages[{index}].{field}");
        let pieces = pieces(message.content, &at("content"))?;
        let role = match message.role.as_str() {
            "system" | "developer" => {
                system.push(only_text(pieces).map_err(|error| error.at(at("content")))?);
                continue;
            }
            "user" => Role::User,
            "assistant" => {
                let text = only_text(pieces).map_err(|error| error.at(at("content")))?;
                turns.push(AskTurn { role: Role::Assistant, pieces: vec![Piece::Text(text)] });
                continue;
            }
            other => {
                let words =
                    format!("role {other:?} is not known; known are system, developer, user, assistant");
                return Err(ApiError::invalid(None, words).at(at("role")));
            }
        };
        turns.push(AskTurn { role, pieces });
    }
    Ok(((!system.is_empty()).then(|| system.join("\n")), turns))
}

fn only_text(pieces: Vec<Piece>) -> Result<String, ApiError> {
    let texts = pieces.into_iter().map(|piece| match piece {
        Piece::Text(text) => Ok(text),
        Piece::Input(_) => Err(ApiError::invalid(None, "only a user's message may hold inputs")),
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn pieces(content: Option<Content>, at: &str) -> Result<Vec<Piece>, ApiError> {
    match content {
        None => Ok(Vec::new()),
        Some(Content::Text(text)) => Ok(vec![Piece::Text(text)]),
        Some(Content::Parts(parts)) => {
            let piece =
                |(index, part)| piece(part).map_err(|error: ApiError| error.at(format!("{at}[{index}]")));
            parts.into_iter().enumerate().map(piece).collect()
        }
    }
}

fn piece(part: ContentPart) -> Result<Piece, ApiError> {
    let input = |target, mime, bytes| Piece::Input(InputPiece { target, mime, bytes, text: None });
    let by_url = |modality, url: &str| {
        let (mime, bytes) = data_url::parse(url)?;
        Ok(input(Target::Modality(modality), mime, bytes))
    };
    match part {
        ContentPart::Text { text } => Ok(Piece::Text(text)),
        ContentPart::ImageUrl { image_url } => by_url("image", &image_url.url),
        ContentPart::AudioUrl { audio_url } => by_url("audio", &audio_url.url),
        ContentPart::InputAudio { input_audio } => {
            let mime = input_audio.format.map_or_else(String::new, |format| format!("audio/{format}"));
            Ok(input(Target::Modality("audio"), mime, data_url::decode(&input_audio.data)?))
        }
        ContentPart::JnanaInput { plugin, mime, data } => {
            Ok(input(Target::Plugin(plugin), mime, data_url::decode(&data)?))
        }
    }
}
