//! Answers that are being made for the app: their events, numbered, for any number of readers that come and go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use jnana_api::conversations::{GenerationEvent, GenerationEventKind};
use jnana_plugin_host::CancelFlag;
use tokio::sync::{Notify, watch};

/// One answer being made.
#[derive(Debug)]
pub struct Live {
    conversation: String,
    events: Mutex<Vec<GenerationEvent>>,
    /// Number of events, and whether no more come.
    progress: watch::Sender<(usize, bool)>,
    stopped: CancelFlag,
    stop: Notify,
    interrupted: AtomicBool,
}

impl Live {
    fn new(conversation: &str) -> Self {
        Self {
            conversation: conversation.to_owned(),
            events: Mutex::default(),
            progress: watch::Sender::new((0, false)),
            stopped: CancelFlag::new(),
            stop: Notify::new(),
            interrupted: AtomicBool::new(false),
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<GenerationEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all readers.
    pub fn push(&self, kind: GenerationEventKind) {
        let ended = matches!(kind, GenerationEventKind::End { .. });
        let count = {
            let mut events = self.events();
            let seq = events.len() as u64 + 1;
            events.push(GenerationEvent { seq, kind });
            events.len()
        };
        self.progress.send_replace((count, ended));
    }

    /// Ends the readers without a last event: the message is gone.
    fn close(&self) {
        self.progress.send_modify(|(_, ended)| *ended = true);
    }

    /// Asks for the end of the answer.
    pub fn stop(&self) {
        self.stopped.cancel();
        self.stop.notify_one();
    }

    /// Asks for the end because the program ends.
    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        self.stop();
    }

    /// True when the program, not a person, asked for the end.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// True once the end was asked for.
    pub fn was_stopped(&self) -> bool {
        self.stopped.is_cancelled()
    }

    /// The same as a flag for other threads.
    pub fn stop_flag(&self) -> CancelFlag {
        self.stopped.clone()
    }

    /// Waits until the end is asked for.
    pub async fn stop_asked(&self) {
        self.stop.notified().await;
    }
}

/// The events behind number `after`, those to come included, until the last.
pub fn follow(live: Arc<Live>, after: u64) -> impl Stream<Item = GenerationEvent> + Send + use<> {
    let next = usize::try_from(after).unwrap_or(usize::MAX);
    let progress = live.progress.subscribe();
    unfold((live, progress, next), |(live, mut progress, next)| async move {
        let (count, _) = *progress.wait_for(|(count, ended)| *count > next || *ended).await.ok()?;
        let event = (count > next).then(|| live.events().get(next).cloned()).flatten()?;
        Some((event, (live, progress, next + 1)))
    })
}

/// All answers that are being made, by message id.
#[derive(Debug, Default)]
pub struct Generations {
    live: Mutex<HashMap<String, Arc<Live>>>,
    ended: Notify,
}

impl Generations {
    fn map(&self) -> MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the log of a new answer.
    pub fn begin(&self, conversation: &str, message: &str) -> Arc<Live> {
        let live = Arc::new(Live::new(conversation));
        self.map().insert(message.to_owned(), live.clone());
        live
    }

    /// Forgets an answer that is stored as ended; its readers keep what they hold.
    pub fn end(&self, message: &str) {
        if let Some(live) = self.map().remove(message) {
            live.close();
        }
        self.ended.notify_waiters();
    }

    /// The answer of a message, while it is being made.
    pub fn get(&self, message: &str) -> Option<Arc<Live>> {
        self.map().get(message).cloned()
    }

    /// Stops every answer of a conversation.
    pub fn stop_conversation(&self, conversation: &str) {
        self.map().values().filter(|live| live.conversation == conversation).for_each(|live| live.stop());
    }

    /// Waits for all answers to end, at most `limit`; then interrupts the rest and gives them a moment to be stored.
    pub async fn drain(&self, limit: Duration) {
        if tokio::time::timeout(limit, self.idle()).await.is_err() {
            self.map().values().for_each(|live| live.interrupt());
            let _stored_at_next_start = tokio::time::timeout(Duration::from_secs(5), self.idle()).await;
        }
    }

    async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.map().is_empty() {
                return;
            }
            ended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn text(text: &str) -> GenerationEventKind {
        GenerationEventKind::Text { text: text.to_owned() }
    }

    #[tokio::test]
    async fn a_reader_that_comes_back_misses_and_repeats_nothing() {
        let generations = Generations::default();
        let live = generations.begin("c", "m");
        live.push(text("a"));
        live.push(text("b"));
        let mut first = Box::pin(follow(live.clone(), 0));
        assert_eq!(first.next().await.unwrap().seq, 1);
        drop(first);
        let rest = tokio::spawn(follow(live.clone(), 1).map(|event| event.seq).collect::<Vec<_>>());
        live.push(text("c"));
        generations.end("m");
        assert_eq!(rest.await.unwrap(), [2, 3]);
        assert!(generations.get("m").is_none());
    }

    #[tokio::test]
    async fn draining_waits_then_interrupts() {
        let generations = Arc::new(Generations::default());
        let live = generations.begin("c", "m");
        let task = tokio::spawn({
            let (generations, live) = (generations.clone(), live.clone());
            async move {
                live.stop_asked().await;
                generations.end("m");
            }
        });
        generations.drain(Duration::from_millis(20)).await;
        assert!(live.was_interrupted());
        task.await.unwrap();
    }
}
