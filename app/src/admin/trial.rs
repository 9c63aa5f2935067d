//! One question to what serves and to a candidate: both answers grow side by side.

use jnana_api::conversations::{Details, Part};
use jnana_api::generations::{Side, Trial as Request};
use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::{AbortController, SubmitEvent};

use super::desk::{Desk, use_desk};
use super::fact;
use crate::api;
use crate::browser;
use crate::components::chips::Chips;
use crate::components::input_buttons::InputButtons;
use crate::components::rich_text::RichText;
use crate::controls::ControlPanel;
use crate::failure::Failure;
use crate::logic::trial::Answers;
use crate::logic::words;
use crate::store::{Store, use_store};
use crate::tray::Tray;

/// Where the browser keeps what a trial has attached.
const TRAY_KEY: &str = "jnana.trial";

/// An open trial; a handle that is copied around.
#[derive(Clone, Copy)]
struct Session {
    desk: Desk,
    store: Store,
    candidate: StoredValue<String>,
    tray: Tray,
    text: RwSignal<String>,
    answers: RwSignal<Answers>,
    is_asking: RwSignal<bool>,
    connection: StoredValue<Option<AbortController>, LocalStorage>,
}

impl Session {
    fn new(candidate: String) -> Self {
        let store = use_store();
        let session = Self {
            desk: use_desk(),
            store,
            candidate: StoredValue::new(candidate),
            tray: Tray::new(store, TRAY_KEY),
            text: RwSignal::new(String::new()),
            answers: RwSignal::new(Answers::default()),
            is_asking: RwSignal::new(false),
            connection: StoredValue::new_local(None),
        };
        on_cleanup(move || session.stop());
        spawn_local(async move {
            match api::plugins().await {
                Ok(plugins) => store.plugins.set(plugins),
                Err(failure) => session.desk.refuse(&failure),
            }
        });
        session
    }

    fn parts(self) -> Vec<Part> {
        let mut parts = self.tray.parts();
        let text = self.text.with(|text| text.trim().to_owned());
        if !text.is_empty() {
            parts.push(Part::Text { text });
        }
        parts
    }

    fn ask(self) {
        if untrack(|| self.tray.is_busy()) {
            return self.store.say("What is attached is not there yet. Wait a moment, and ask again.");
        }
        let parts = untrack(|| self.parts());
        if self.is_asking.get_untracked() || parts.is_empty() {
            return;
        }
        self.tray.open.set(None);
        self.answers.set(Answers::default());
        self.is_asking.set(true);
        spawn_local(async move {
            let outcome = self.read(Request { parts }).await;
            if self.answers.is_disposed() {
                return;
            }
            self.answers.update(|answers| answers.end("The answer broke off."));
            self.is_asking.set(false);
            match outcome {
                // Whoever stopped both knows it.
                Err(_) if self.connection.with_value(Option::is_none) => {}
                Ok(()) => self.store.announce("Both answers have ended."),
                Err(failure) => self.desk.refuse(&failure),
            }
        });
    }

    /// Reads both answers to their ends.
    async fn read(self, request: Request) -> Result<(), Failure> {
        let controller = AbortController::new()
            .map_err(|error| Failure::Browser { task: "open a stream", reason: browser::message(&error) })?;
        let signal = controller.signal();
        self.connection.try_set_value(Some(controller));
        let session = self.desk.session().ok_or(Failure::SignIn)?;
        let candidate = self.candidate.get_value();
        let mut stream = api::admin::try_candidate(&session, &candidate, &request, &signal).await?;
        while let Some(events) = stream.next().await? {
            let is_here = self
                .answers
                .try_update(|answers| events.into_iter().for_each(|event| answers.take(event)))
                .is_some();
            if !is_here {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ends both answers; the server notices that nobody reads them.
    fn stop(self) {
        self.answers.try_update(|answers| answers.end("Stopped."));
        if let Some(connection) = self.connection.try_update_value(Option::take).flatten() {
            connection.abort();
        }
    }
}

/// The trial of a candidate.
#[component]
pub(super) fn Trial(candidate: String) -> impl IntoView {
    let session = Session::new(candidate);
    let Session { tray, text, store, .. } = session;
    let open = Memo::new(move |_| {
        let id = tray.open.get()?;
        store.plugins.with(|plugins| plugins.iter().find(|info| info.id == id).cloned())
    });
    let ask = move |event: SubmitEvent| {
        event.prevent_default();
        session.ask();
    };
    let is_off = move || session.is_asking.get() || session.parts().is_empty();
    view! {
        <div class="trial">
            {move || open.get().map(|plugin| view! { <ControlPanel plugin tray/> })}
            <form class="form" aria-label="Ask both" on:submit=ask>
                <Chips tray/>
                <label class="form-row">
                    <span>"Question"</span>
                    <textarea id="message" class="field" rows="2" dir="auto" prop:value=text
                        on:input=move |event| text.set(event_target_value(&event))></textarea>
                </label>
                <InputButtons tray/>
                <div class="panel-row">
                    <button type="submit" class="primary" disabled=is_off>"Ask both"</button>
                    <Show when=move || session.is_asking.get()>
                        <button type="button" on:click=move |_| session.stop()>"Stop"</button>
                    </Show>
                </div>
            </form>
            <div class="sides">
                <Answer side=Side::Serving title="Serving" answers=session.answers/>
                <Answer side=Side::Candidate title="Candidate" answers=session.answers/>
            </div>
        </div>
    }
}

#[component]
fn Answer(side: Side, title: &'static str, answers: RwSignal<Answers>) -> impl IntoView {
    let text = Memo::new(move |_| answers.with(|answers| answers.of(side).text.clone()));
    let progress = Memo::new(move |_| {
        answers.with(|answers| {
            let answer = answers.of(side);
            let is_waiting = answer.text.is_empty() && !answer.is_over() && !answer.progress.is_empty();
            is_waiting.then(|| answer.progress.clone())
        })
    });
    let error = Memo::new(move |_| answers.with(|answers| answers.of(side).error.clone()));
    let details = Memo::new(move |_| answers.with(|answers| answers.of(side).details.clone()));
    view! {
        <section class="side" aria-label=title>
            <h4>{title}</h4>
            <RichText text/>
            {move || progress.get().map(|words| view! { <p class="progress">{words}</p> })}
            {move || error.get().map(|words| view! { <p class="trouble" role="alert">{words}</p> })}
            {move || details.get().map(making)}
        </section>
    }
}

/// How an answer was made, in figures.
fn making(details: Details) -> impl IntoView {
    view! {
        <dl class="facts">
            {fact("First token after", words::duration(details.first_token_ms))}
            {fact("Whole answer after", words::duration(details.total_ms))}
            {fact("Positions of the prompt", details.prompt_positions.to_string())}
            {fact("Tokens of the answer", details.answer_tokens.to_string())}
            {fact("Generation", details.generation)}
        </dl>
    }
}
