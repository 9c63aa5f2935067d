//! One question to what serves and to a candidate, side by side. Nothing of it is stored.

use std::sync::Arc;
use std::time::Instant;

use jnana_api::conversations::Details;
use jnana_api::generations::{Side, Trial, TrialEvent, TrialEventKind};
use jnana_core::prompt::Role;
use jnana_core::request::{Event, Sampling};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::loading;
use crate::assistant::{
    Ask, AskTurn, Assistant, CancelOnDrop, InputPiece, Note, Piece, Timing, details, pieces_of,
};
use crate::error::ApiError;
use crate::state::App;

/// Asks both, each with the most probable tokens. Whoever drops the stream ends both answers.
///
/// # Errors
/// 404 for a candidate or a blob that is not there, 400 for an empty question.
pub async fn try_both(
    app: &App,
    id: &str,
    trial: Trial,
) -> Result<UnboundedReceiverStream<TrialEvent>, ApiError> {
    let candidate = app.serving.candidate(id)?.assistant.clone();
    let serving = app.serving.assistant().ok_or_else(loading)?;
    let pieces = pieces_of(&app.store, trial.parts, true).await?;
    if pieces.iter().all(is_empty) {
        return Err(ApiError::invalid("parts", "the question is empty: give it a text or an input"));
    }
    let (sender, events) = unbounded_channel();
    for (side, assistant) in [(Side::Serving, serving), (Side::Candidate, candidate)] {
        tokio::spawn(take_side(assistant, pieces.clone(), Teller { side, sender: sender.clone() }));
    }
    Ok(UnboundedReceiverStream::new(events))
}

fn is_empty(piece: &Piece) -> bool {
    match piece {
        Piece::Text(text) => text.trim().is_empty(),
        Piece::Input(InputPiece { text, bytes, .. }) => {
            text.as_ref().map_or(bytes.is_empty(), |text| text.trim().is_empty())
        }
    }
}

/// Tells whoever listens what happens on one side.
#[derive(Clone)]
struct Teller {
    side: Side,
    sender: UnboundedSender<TrialEvent>,
}

impl Teller {
    fn tell(&self, kind: TrialEventKind) {
        // Nobody listens any more when this fails, and the side ends for that.
        let _ = self.sender.send(TrialEvent { side: self.side, kind });
    }
}

async fn take_side(assistant: Arc<Assistant>, pieces: Vec<Piece>, teller: Teller) {
    let answered = tokio::select! {
        answered = answer(&assistant, pieces, &teller) => answered,
        () = teller.sender.closed() => return,
    };
    teller.tell(match answered {
        Ok(details) => TrialEventKind::End { details: Box::new(details) },
        Err(error) => TrialEventKind::Failed { error: error.message },
    });
}

async fn answer(
    assistant: &Arc<Assistant>,
    pieces: Vec<Piece>,
    teller: &Teller,
) -> Result<Details, ApiError> {
    let started = Instant::now();
    let stop = assistant.model.stop(None, Vec::new());
    let turns = vec![AskTurn { role: Role::User, pieces }];
    let ask = Ask { system: None, turns, max_tokens: stop.max_tokens };
    let gone = CancelOnDrop::default();
    let notes = teller.clone();
    let prepared = assistant.prepare(ask, gone.0.clone(), move |note| {
        if let Note::Reading(noun) = note {
            notes.tell(TrialEventKind::Progress { text: format!("{noun}: reading…") });
        }
    });
    let prepared = prepared.await?;
    let mut answer = assistant.submit(&prepared, Sampling::default(), stop)?;
    let mut first_token = None;
    loop {
        match answer.events.recv().await {
            Some(Event::Text(text)) => {
                first_token.get_or_insert_with(|| started.elapsed());
                teller.tell(TrialEventKind::Text { text });
            }
            Some(Event::Finished { reason, usage }) => {
                let timing = Timing { first_token, total: started.elapsed() };
                return Ok(details(assistant, &prepared, reason, usage, timing));
            }
            Some(Event::Failed(words)) => return Err(ApiError::unavailable(words)),
            None => return Err(ApiError::unavailable("the model ended before the answer did")),
        }
    }
}
