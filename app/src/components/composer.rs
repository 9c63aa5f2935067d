//! Where a question is made: text, inputs, send and stop.

use jnana_api::conversations::Part;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::{ClipboardEvent, KeyboardEvent};

use super::chips::Chips;
use super::icons;
use super::input_buttons::InputButtons;
use crate::controls::ControlPanel;
use crate::store::{Link, Store, use_store};
use crate::tray::{Stage, Tray};
use crate::{actions, browser};

const DRAFT_KEY: &str = "jnana.draft";

#[derive(Clone, Copy)]
struct Draft {
    store: Store,
    tray: Tray,
    text: RwSignal<String>,
    /// The question is on its way to the server.
    sending: RwSignal<bool>,
    /// Send was pressed before all inputs were there.
    waiting: RwSignal<bool>,
}

impl Draft {
    fn set_text(self, text: String) {
        browser::store(DRAFT_KEY, &text);
        self.text.set(text);
    }

    fn is_blank(self) -> bool {
        self.text.with(|text| text.trim().is_empty()) && self.tray.items.with(Vec::is_empty)
    }

    fn submit(self) {
        if self.sending.get_untracked() || untrack(|| self.is_blank()) {
            return;
        }
        if untrack(|| self.store.generating().is_some()) {
            return self.store.say("An answer is being written. Stop it first, or wait.");
        }
        if untrack(|| self.tray.is_busy()) {
            return self.waiting.set(true);
        }
        let is_broken = self
            .tray
            .items
            .with_untracked(|items| items.iter().any(|item| matches!(item.stage, Stage::Failed(_))));
        if is_broken {
            return self.store.say("One of the inputs did not work. Try it again, or remove it.");
        }
        let parts = untrack(|| self.parts());
        if parts.is_empty() {
            return self.store.say("What is attached has no words yet. Write them, or try again.");
        }
        self.send(parts);
    }

    fn parts(self) -> Vec<Part> {
        let mut parts = self.tray.parts();
        let text = self.text.with(|text| text.trim().to_owned());
        if !text.is_empty() {
            parts.push(Part::Text { text });
        }
        parts
    }

    fn send(self, parts: Vec<Part>) {
        self.sending.set(true);
        self.tray.open.set(None);
        let parent = untrack(|| self.store.shown().pop());
        spawn_local(async move {
            if actions::ask(self.store, parent, parts).await {
                self.set_text(String::new());
                self.tray.clear();
                browser::focus_soon("#message");
            }
            self.sending.set(false);
        });
    }
}

/// The composer at the foot of the page.
#[component]
pub(super) fn Composer() -> impl IntoView {
    let store = use_store();
    let tray = expect_context::<Tray>();
    let draft = Draft {
        store,
        tray,
        text: RwSignal::new(browser::stored(DRAFT_KEY).unwrap_or_default()),
        sending: RwSignal::new(false),
        waiting: RwSignal::new(false),
    };
    send_what_waited(draft);
    send_what_arrived(draft);
    let open = Memo::new(move |_| {
        let id = tray.open.get()?;
        store.plugins.with(|plugins| plugins.iter().find(|info| info.id == id).cloned())
    });
    view! {
        <div class="composer">
            {move || open.get().map(|plugin| view! { <ControlPanel plugin tray/> })}
            <form aria-label="Ask" on:submit=move |event| { event.prevent_default(); draft.submit(); }>
                <Chips tray/>
                <MessageField draft/>
                <div class="composer-row">
                    <InputButtons tray/>
                    <SendButton draft/>
                </div>
            </form>
        </div>
    }
}

/// Sends once everything that Send waited for is there; what failed meanwhile is said.
fn send_what_waited(draft: Draft) {
    Effect::new(move |_| {
        if draft.waiting.get() && !draft.tray.is_busy() {
            draft.waiting.set(false);
            draft.submit();
        }
    });
}

/// Sends an input's text as soon as it is there, for people who have chosen so.
fn send_what_arrived(draft: Draft) {
    Effect::new(move |before: Option<u32>| {
        let arrived = draft.tray.arrived.get();
        if before.is_some_and(|before| arrived > before)
            && draft.store.settings.with_untracked(|settings| settings.auto_send)
        {
            draft.submit();
        }
        arrived
    });
}

#[component]
fn MessageField(draft: Draft) -> impl IntoView {
    let field = NodeRef::<html::Textarea>::new();
    // The field grows with its text, up to what the style sheet allows.
    Effect::new(move |_| {
        draft.text.track();
        if let Some(field) = field.get() {
            let style = web_sys::HtmlElement::style(&field);
            drop(style.set_property("height", "auto"));
            drop(style.set_property("height", &format!("{}px", field.scroll_height())));
        }
    });
    let keydown = move |event: KeyboardEvent| {
        // Enter that ends a composition (Chinese, Japanese, …) is not a send.
        if event.key() == "Enter" && !event.shift_key() && !event.is_composing() {
            event.prevent_default();
            draft.submit();
        }
    };
    let paste = move |event: ClipboardEvent| {
        let files = event.clipboard_data().and_then(|data| data.files());
        if let Some(files) = files.filter(|files| files.length() > 0) {
            event.prevent_default();
            super::add_files(&files, draft.tray);
        }
    };
    view! {
        <textarea id="message" node_ref=field rows="1" dir="auto" aria-label="Message"
            placeholder="Ask anything" autocomplete="off"
            prop:value=draft.text on:input=move |event| draft.set_text(event_target_value(&event))
            on:keydown=keydown on:paste=paste></textarea>
    }
}

#[component]
fn SendButton(draft: Draft) -> impl IntoView {
    let is_generating = Memo::new(move |_| draft.store.generating().is_some());
    let is_off = move || draft.is_blank() || draft.sending.get() || draft.store.link.get() != Link::Up;
    move || {
        if is_generating.get() {
            view! {
                <button type="button" class="send is-stop" aria-label="Stop" title="Stop"
                    on:click=move |_| actions::stop(draft.store)>
                    {icons::square()}
                </button>
            }
            .into_any()
        } else {
            view! {
                <button type="submit" class="send" class:is-waiting=draft.waiting aria-label="Send"
                    title="Send (Enter)" disabled=is_off>
                    {icons::send()}
                </button>
            }
            .into_any()
        }
    }
}
