//! Follows an answer while it is made: reads its events, and takes them up again where a connection broke off.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use jnana_api::conversations::{GenerationEvent, GenerationEventKind, Part};
use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::AbortController;

use crate::failure::Failure;
use crate::logic::sentences::Sentences;
use crate::store::{Link, Live, Store};
use crate::{actions, api, browser};

/// A stream that says nothing for this long, keep-alives included, is dead though nobody has said so.
const SILENCE_MS: f64 = 40_000.0;
/// How often that is looked at.
const CHECK_MS: u64 = 2_000;
/// Back in sight (a phone was unlocked), a stream that has said nothing for this long is taken up anew at once.
const SILENCE_ON_RETURN_MS: f64 = 3_000.0;
/// First and longest pause before a broken stream is taken up again.
const PAUSES_MS: (i32, i32) = (250, 3_000);

/// Follows whichever answer of the shown branch is being made.
pub(crate) fn start(store: Store) {
    let generating = Memo::new(move |_| store.generating());
    Effect::new(move |before: Option<Option<Follower>>| {
        drop(before);
        generating.get().map(|(conversation, message)| Follower::new(store, conversation, message))
    });
}

/// One answer that is being followed, until this is dropped.
struct Follower {
    alive: Rc<Cell<bool>>,
    connection: Rc<RefCell<Option<AbortController>>>,
    watchdog: Option<IntervalHandle>,
    on_return: Option<WindowListenerHandle>,
}

impl Follower {
    fn new(store: Store, conversation: String, message: String) -> Self {
        let alive = Rc::new(Cell::new(true));
        let connection: Rc<RefCell<Option<AbortController>>> = Rc::default();
        let last_sign = Rc::new(Cell::new(browser::now()));
        let end_if_silent = {
            let (connection, last_sign) = (connection.clone(), last_sign.clone());
            move |longest: f64| {
                if browser::now() - last_sign.get() > longest
                    && let Some(connection) = connection.borrow().as_ref()
                {
                    connection.abort();
                }
            }
        };
        let check = end_if_silent.clone();
        let watchdog =
            set_interval_with_handle(move || check(SILENCE_MS), Duration::from_millis(CHECK_MS)).ok();
        let on_return = window_event_listener(leptos::ev::visibilitychange, move |_| {
            if browser::is_visible() {
                end_if_silent(SILENCE_ON_RETURN_MS);
            }
        });
        store.live.set(Live { message: message.clone(), ..Live::default() });
        let follow = Follow {
            store,
            conversation,
            message,
            alive: alive.clone(),
            connection: connection.clone(),
            last_sign,
            after: 0,
            sentences: Sentences::default(),
        };
        spawn_local(follow.run());
        Self { alive, connection, watchdog, on_return: Some(on_return) }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.alive.set(false);
        if let Some(connection) = self.connection.borrow_mut().take() {
            connection.abort();
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.clear();
        }
        if let Some(on_return) = self.on_return.take() {
            on_return.remove();
        }
    }
}

struct Follow {
    store: Store,
    conversation: String,
    message: String,
    alive: Rc<Cell<bool>>,
    connection: Rc<RefCell<Option<AbortController>>>,
    last_sign: Rc<Cell<f64>>,
    after: u64,
    sentences: Sentences,
}

impl Follow {
    async fn run(mut self) {
        let mut pause = PAUSES_MS.0;
        while self.alive.get() {
            let seen = self.after;
            match self.read().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(failure) if failure.is_missing() => return self.reload().await,
                Err(failure) if failure.is_passing() => {
                    if failure == Failure::Gone && self.alive.get() {
                        self.check_link().await;
                    }
                }
                Err(failure) => {
                    if self.alive.get() {
                        self.store.fail(&failure);
                    }
                    return;
                }
            }
            pause = if self.after > seen { PAUSES_MS.0 } else { (pause * 2).min(PAUSES_MS.1) };
            browser::sleep(pause).await;
        }
    }

    /// Reads until the answer ends (`true`) or the stream does (`false`).
    async fn read(&mut self) -> Result<bool, Failure> {
        let controller = AbortController::new()
            .map_err(|error| Failure::Browser { task: "open a stream", reason: browser::message(&error) })?;
        let signal = controller.signal();
        *self.connection.borrow_mut() = Some(controller);
        self.last_sign.set(browser::now());
        let mut stream = api::events(&self.conversation, &self.message, self.after, &signal).await?;
        if self.alive.get() && self.store.link.get_untracked() == Link::Gone {
            crate::link::welcome_back(self.store);
        }
        while let Some(events) = stream.next().await? {
            self.last_sign.set(browser::now());
            for event in events {
                if !self.alive.get() || self.take(event) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Takes one event; `true` when it was the last.
    fn take(&mut self, event: GenerationEvent) -> bool {
        if event.seq <= self.after {
            return false;
        }
        self.after = event.seq;
        match event.kind {
            GenerationEventKind::Progress { text } => {
                self.store.announce(text.clone());
                self.store.live.update(|live| live.progress = text);
            }
            GenerationEventKind::InputText { part, text } => self.set_input_text(part, text),
            GenerationEventKind::Text { text } => {
                if let Some(sentences) = self.sentences.push(&text) {
                    self.store.announce(sentences);
                }
                self.store.live.update(|live| live.text.push_str(&text));
            }
            GenerationEventKind::End { message } => {
                if let Some(rest) = self.sentences.finish() {
                    self.store.announce(rest);
                }
                self.store.edit(&self.conversation, |conversation| actions::put(conversation, *message));
                actions::load_list(self.store);
                return true;
            }
        }
        false
    }

    fn set_input_text(&self, part: u32, text: String) {
        let answer = self.message.clone();
        self.store.edit(&self.conversation, |conversation| {
            let question = conversation
                .messages
                .iter()
                .find(|message| message.id == answer)
                .and_then(|a| a.parent.clone());
            let question =
                conversation.messages.iter_mut().find(|message| Some(&message.id) == question.as_ref());
            let part = question.and_then(|question| question.parts.get_mut(part as usize));
            if let Some(Part::Input { text: slot, .. }) = part {
                *slot = Some(text);
            }
        });
    }

    /// A stream that broke may be one connection's trouble or the server's.
    async fn check_link(&self) {
        if let Err(failure @ (Failure::Gone | Failure::Token)) = api::status().await {
            self.store.fail(&failure);
        }
    }

    /// The server knows no such stream any more: the stored conversation says how the answer ended.
    async fn reload(&self) {
        if self.alive.get() {
            actions::reload_conversation(self.store, &self.conversation).await;
        }
    }
}
