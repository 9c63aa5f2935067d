//! An answer of the app: it belongs to its stored message, not to whoever listens.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jnana_api::conversations::{Details, GenerationEventKind, Message, MessageState, Part, Posted, Role};
use jnana_core::request::{Event, FinishReason, Sampling, Usage};

use super::inputs::{InputPiece, Target};
use super::{Answering, Ask, AskTurn, Assistant, Live, Note, Piece, Timing, details};
use crate::error::ApiError;
use crate::state::App;
use crate::storage::{self, Finished, Store};

/// The text so far reaches the database at most this often.
const SAVE_EVERY: Duration = Duration::from_millis(250);

/// Starts making the answer of `posted` in a task of its own.
pub fn start(app: &App, assistant: &Arc<Assistant>, conversation: &str, posted: &Posted) {
    let task = Task {
        record: Record::begin(app, conversation, &posted.answer),
        assistant: assistant.clone(),
        question: posted.question.clone(),
        started: Instant::now(),
    };
    tokio::spawn(task.run());
}

struct Task {
    record: Record,
    assistant: Arc<Assistant>,
    question: Message,
    started: Instant,
}

/// Where an answer is kept and heard.
struct Record {
    app: App,
    conversation: String,
    answer: String,
    live: Arc<Live>,
}

/// What an answer has become so far.
#[derive(Default)]
struct Draft {
    text: String,
    first_token: Option<Duration>,
}

/// The outcome of `work`; a panic in it is one, too. Otherwise the stored answer would stay unfinished, and nothing could
/// follow it until the program is started again.
async fn caught<T>(work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        tracing::error!(panic = words, "the making of an answer panicked");
        Err(ApiError::unavailable("the server failed while it made this answer; regenerate to try again"))
    })
}

impl Record {
    fn begin(app: &App, conversation: &str, answer: &Message) -> Self {
        Self {
            app: app.clone(),
            conversation: conversation.to_owned(),
            answer: answer.id.clone(),
            live: app.generations.begin(conversation, &answer.id),
        }
    }

    /// Stores how the answer ended and tells its readers.
    async fn end(self, text: String, outcome: Result<(MessageState, Details), ApiError>) {
        let (state, details) = match outcome {
            Ok((state, details)) => (state, Some(details)),
            Err(_) if self.live.was_interrupted() => (interrupted(), None),
            Err(_) if self.live.was_stopped() => (MessageState::Stopped, None),
            Err(error) => (MessageState::Failed { error: error.message }, None),
        };
        let finished = Finished { text, state, details };
        match self.app.store.finish(&self.conversation, &self.answer, finished).await {
            Ok(message) => self.live.push(GenerationEventKind::End { message: Box::new(message) }),
            Err(storage::Error::NotFound { .. }) => {}
            Err(error) => tracing::error!(%error, message = self.answer, "an answer could not be stored"),
        }
    }
}

impl Drop for Record {
    /// However its task ends, the readers are let go.
    fn drop(&mut self) {
        self.app.generations.end(&self.answer);
    }
}

impl Task {
    async fn run(self) {
        let mut draft = Draft::default();
        let outcome = caught(self.generate(&mut draft)).await;
        self.record.end(draft.text, outcome).await;
    }

    async fn generate(&self, draft: &mut Draft) -> Result<(MessageState, Details), ApiError> {
        let turns = self.turns().await?;
        let ask = Ask { system: None, turns, max_tokens: self.assistant.model.max_tokens() };
        let prepared = self.prepare(ask).await?;
        let (sampling, stop) = (Sampling::default(), self.assistant.model.stop(None, Vec::new()));
        let mut answer = self.assistant.submit(&prepared, sampling, stop)?;
        let (reason, usage) = self.listen(&mut answer, draft).await?;
        let timing = Timing { first_token: draft.first_token, total: self.started.elapsed() };
        let details = details(&self.assistant, &prepared, reason, usage, timing);
        let state = match reason {
            FinishReason::Cancelled if self.record.live.was_interrupted() => interrupted(),
            FinishReason::Cancelled => MessageState::Stopped,
            FinishReason::Stop | FinishReason::Length => MessageState::Done,
        };
        Ok((state, details))
    }

    async fn prepare(&self, ask: Ask) -> Result<super::Prepared, ApiError> {
        let (texts, mut given) = tokio::sync::mpsc::unbounded_channel();
        let live = self.record.live.clone();
        let prepared = self.assistant.prepare(ask, self.record.live.stop_flag(), move |note| match note {
            Note::Reading(noun) => {
                live.push(GenerationEventKind::Progress { text: format!("{noun}: reading…") });
            }
            Note::Text { piece, text } => {
                let part = u32::try_from(piece).unwrap_or(u32::MAX);
                live.push(GenerationEventKind::InputText { part, text: text.clone() });
                // Fails only when the receiver below is gone, and the task with it.
                let _ = texts.send((piece, text));
            }
        });
        let prepared = prepared.await;
        while let Some((piece, text)) = given.recv().await {
            self.record
                .app
                .store
                .save_input_text(&self.record.conversation, &self.question.id, piece, text)
                .await?;
        }
        prepared
    }

    /// The branch up to the question. Inputs whose bytes are no longer kept count only in the question itself.
    async fn turns(&self) -> Result<Vec<AskTurn>, ApiError> {
        let branch = self.record.app.store.branch(&self.record.conversation, &self.question.id).await?;
        let mut turns = Vec::with_capacity(branch.len());
        for message in branch {
            let is_question = message.id == self.question.id;
            let pieces = pieces_of(&self.record.app.store, message.parts, is_question).await?;
            let role = match message.role {
                Role::User => super::ask::Role::User,
                Role::Assistant => super::ask::Role::Assistant,
            };
            turns.push(AskTurn { role, pieces });
        }
        Ok(turns)
    }

    /// Hears the engine out, tells the readers, and saves the text now and then.
    async fn listen(
        &self,
        answer: &mut Answering,
        draft: &mut Draft,
    ) -> Result<(FinishReason, Usage), ApiError> {
        let mut saved = Instant::now();
        if self.record.live.was_stopped() {
            answer.cancel.cancel();
        }
        loop {
            let event = tokio::select! {
                event = answer.events.recv() => event,
                () = self.record.live.stop_asked() => {
                    answer.cancel.cancel();
                    continue;
                }
            };
            match event {
                Some(Event::Text(text)) => {
                    if draft.first_token.is_none() {
                        draft.first_token = Some(self.started.elapsed());
                        self.record.app.metrics.first_token(self.started.elapsed());
                    }
                    draft.text.push_str(&text);
                    self.record.live.push(GenerationEventKind::Text { text });
                    if saved.elapsed() >= SAVE_EVERY {
                        self.record.app.store.save_text(&self.record.answer, draft.text.clone()).await?;
                        saved = Instant::now();
                    }
                }
                Some(Event::Finished { reason, usage }) => return Ok((reason, usage)),
                Some(Event::Failed(words)) => return Err(ApiError::unavailable(words)),
                None => return Err(ApiError::unavailable("the model ended before the answer did")),
            }
        }
    }
}

/// The parts of a message with the bytes of their inputs. Inputs whose bytes are no longer kept are left out, unless `all` are
/// needed.
///
/// # Errors
/// When there is no such blob, or its bytes are needed and gone.
pub async fn pieces_of(store: &Store, parts: Vec<Part>, all: bool) -> Result<Vec<Piece>, ApiError> {
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        match piece(store, part).await {
            Ok(piece) => pieces.push(piece),
            Err(storage::Error::Expired(_)) if !all => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(pieces)
}

async fn piece(store: &Store, part: Part) -> Result<Piece, storage::Error> {
    match part {
        Part::Text { text } => Ok(Piece::Text(text)),
        Part::Input { text: Some(text), plugin, blob } => {
            let target = Target::Plugin(plugin);
            Ok(Piece::Input(InputPiece { target, mime: blob.mime, bytes: Vec::new(), text: Some(text) }))
        }
        Part::Input { text: None, plugin, blob } => {
            let (blob, bytes) = store.blob(&blob.hash).await?;
            let target = Target::Plugin(plugin);
            Ok(Piece::Input(InputPiece { target, mime: blob.mime, bytes, text: None }))
        }
    }
}

fn interrupted() -> MessageState {
    let error = "The server was told to end while this answer was being made. The text so far was kept.";
    MessageState::Failed { error: error.to_owned() }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use jnana_api::conversations::NewMessage;

    use super::*;
    use crate::admin::Admin;
    use crate::assistant::follow;
    use crate::settings::Given;
    use crate::storage::Store;

    fn question(parent: Option<String>) -> NewMessage {
        NewMessage { parent, parts: vec![Part::Text { text: "Why?".to_owned() }] }
    }

    #[tokio::test]
    async fn a_panic_fails_the_answer_keeps_its_text_and_lets_readers_go() {
        let home = tempfile::tempdir().unwrap();
        let settings = Given { home: Some(home.path().to_owned()), ..Given::default() }.resolve().unwrap();
        let (admin, _token) = Admin::open(home.path()).unwrap();
        let app = App::new(settings, Store::open(home.path()).unwrap(), admin);
        let conversation = app.store.create_conversation().await.unwrap().summary.id;
        let posted = app.store.post(&conversation, question(None)).await.unwrap();
        let record = Record::begin(&app, &conversation, &posted.answer);
        let reader = tokio::spawn(follow(record.live.clone(), 0).collect::<Vec<_>>());

        let mut draft = Draft::default();
        let work = async {
            draft.text.push_str("Because");
            assert!(draft.text.is_empty(), "a test of panics");
            Err(ApiError::internal("it did not panic"))
        };
        let outcome = caught(work).await;
        record.end(draft.text, outcome).await;

        let events = reader.await.unwrap();
        let GenerationEventKind::End { message } = &events.last().unwrap().kind else { panic!("{events:?}") };
        assert!(matches!(&message.state, MessageState::Failed { error } if error.contains("regenerate")));
        assert_eq!(message.parts, [Part::Text { text: "Because".to_owned() }]);
        assert!(app.generations.get(&posted.answer.id).is_none());
        app.store.post(&conversation, question(Some(posted.answer.id))).await.unwrap();
    }
}
