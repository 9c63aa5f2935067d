//! A question: what was typed and shown. Editing it makes a branch.

use jnana_api::conversations::{Message, Part};
use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::KeyboardEvent;

use super::icons;
use super::input_part::InputPart;
use super::versions::Versions;
use crate::store::{Store, use_store};
use crate::{actions, browser};

/// A question of the thread.
#[component]
pub(super) fn Question(message: Memo<Option<Message>>) -> impl IntoView {
    let store = use_store();
    let editing = RwSignal::new(false);
    let copy = move |_| {
        if let Some(message) = message.get_untracked() {
            actions::copy(store, actions::plain_text(&message));
        }
    };
    let edit = move |_| {
        editing.set(true);
        browser::focus_soon(".editor textarea");
    };
    view! {
        <article class="question" aria-label="Question">
            <Show when=move || !editing.get() fallback=move || view! { <Editor message editing/> }>
                <div class="bubble">{move || message.get().map(|message| parts(&message))}</div>
                <div class="actions">
                    <Versions message/>
                    <button type="button" class="icon-button" aria-label="Copy" title="Copy"
                        on:click=copy>
                        {icons::copy()}
                    </button>
                    <button type="button" class="icon-button" aria-label="Edit" title="Edit"
                        on:click=edit>
                        {icons::pencil()}
                    </button>
                </div>
            </Show>
        </article>
    }
}

fn parts(message: &Message) -> impl IntoView + use<> {
    let inputs = message.parts.iter().filter_map(|part| match part {
        Part::Input { plugin, blob, text } => {
            Some(view! { <InputPart plugin=plugin.clone() blob=blob.clone() text=text.clone()/> })
        }
        Part::Text { .. } => None,
    });
    let inputs = inputs.collect_view();
    let texts = message.parts.iter().filter_map(|part| match part {
        Part::Text { text } => Some(view! { <p class="typed" dir="auto">{text.clone()}</p> }),
        Part::Input { .. } => None,
    });
    let texts = texts.collect_view();
    view! { <div class="inputs">{inputs}</div>{texts} }
}

/// The question's texts for editing; its inputs stay as they are.
#[component]
fn Editor(message: Memo<Option<Message>>, editing: RwSignal<bool>) -> impl IntoView {
    let store = use_store();
    let Some(original) = message.get_untracked() else { return ().into_any() };
    let parts = RwSignal::new(with_text_field(original.parts));
    let parent = StoredValue::new(original.parent);
    let busy = RwSignal::new(false);
    let save = move || {
        let edited = without_blanks(parts.get_untracked());
        if edited.is_empty() || busy.get_untracked() || store.generating().is_some() {
            return;
        }
        busy.set(true);
        spawn_local(async move {
            let worked = actions::ask(store, parent.get_value(), edited).await;
            busy.try_set(false);
            if worked {
                editing.try_set(false);
            }
        });
    };
    let cancel = move || {
        editing.set(false);
        browser::focus_soon("#message");
    };
    let keydown = move |event: KeyboardEvent| match event.key().as_str() {
        "Escape" => {
            event.stop_propagation();
            cancel();
        }
        "Enter" if !event.shift_key() && !event.is_composing() => {
            event.prevent_default();
            save();
        }
        _ => {}
    };
    let count = parts.with_untracked(Vec::len);
    let fields = (0..count).map(|index| view! { <EditorField store parts index/> }).collect_view();
    view! {
        <form class="editor" on:keydown=keydown on:submit=move |event| { event.prevent_default(); save(); }>
            {fields}
            <div class="panel-row">
                <button type="submit" class="primary"
                    disabled=move || busy.get() || store.generating().is_some()>
                    "Ask again"
                </button>
                <button type="button" on:click=move |_| cancel()>"Cancel"</button>
            </div>
        </form>
    }
    .into_any()
}

#[component]
fn EditorField(store: Store, parts: RwSignal<Vec<Part>>, index: usize) -> impl IntoView {
    let part = parts.with_untracked(|parts| parts[index].clone());
    let (label, initial, input) = match part {
        Part::Text { text } => ("Edit the question".to_owned(), Some(text), None),
        Part::Input { plugin, blob, text } => {
            let noun = untrack(|| store.descriptor(&plugin)).map_or_else(|| plugin.clone(), |ui| ui.noun);
            (noun, text, Some(view! { <InputPart plugin blob text=None/> }))
        }
    };
    let set = move |event| {
        let new = event_target_value(&event);
        parts.update(|parts| match &mut parts[index] {
            Part::Text { text } => *text = new,
            Part::Input { text, .. } => *text = Some(new),
        });
    };
    view! {
        {input}
        {initial.map(|initial| view! {
            <textarea class="field" rows="3" dir="auto" aria-label=label prop:value=initial
                on:input=set>
            </textarea>
        })}
    }
}

/// There is always a field to type into.
fn with_text_field(mut parts: Vec<Part>) -> Vec<Part> {
    if !parts.iter().any(|part| matches!(part, Part::Text { .. })) {
        parts.push(Part::Text { text: String::new() });
    }
    parts
}

fn without_blanks(parts: Vec<Part>) -> Vec<Part> {
    let is_blank = |text: &str| text.trim().is_empty();
    parts
        .into_iter()
        .filter(|part| match part {
            Part::Text { text } => !is_blank(text),
            Part::Input { text, .. } => text.as_deref().is_none_or(|text| !is_blank(text)),
        })
        .collect()
}
