//! An answer: streamed while it is made, then with how it was made.

use jnana_api::conversations::{Details, Message, MessageState};
use leptos::prelude::*;

use super::details::DetailsView;
use super::icons;
use super::rich_text::RichText;
use super::versions::Versions;
use crate::actions;
use crate::store::use_store;

/// An answer of the thread.
#[component]
pub(super) fn Answer(message: Memo<Option<Message>>) -> impl IntoView {
    let store = use_store();
    let state =
        Memo::new(move |_| message.with(|message| message.as_ref().map(|message| message.state.clone())));
    let is_live = Memo::new(move |_| {
        let is_followed = message
            .with(|message| message.as_ref().is_some_and(|m| store.live.with(|live| live.message == m.id)));
        is_followed && state.get() == Some(MessageState::Generating)
    });
    let text = Memo::new(move |_| {
        if is_live.get() {
            store.live.with(|live| live.text.clone())
        } else {
            message.with(|message| message.as_ref().map(actions::plain_text).unwrap_or_default())
        }
    });
    let progress = Memo::new(move |_| {
        let is_waiting = state.get() == Some(MessageState::Generating) && text.with(String::is_empty);
        is_waiting.then(|| store.live.with(|live| live.progress.clone()))
    });
    view! {
        <article class="answer" aria-label="Answer" class:is-live=is_live>
            <RichText text/>
            {move || progress.get().map(|words| {
                let step = if words.is_empty() { "Thinking" } else { words.trim_end_matches('…') };
                let words = format!("{step}…");
                view! { <p class="progress"><span class="pulse" aria-hidden="true"></span>{words}</p> }
            })}
            {move || state.get().map(|state| view! { <Ending state message/> })}
            <Show when=move || state.with(|state| *state != Some(MessageState::Generating))>
                <Footer message text/>
            </Show>
        </article>
    }
}

/// What is said of an answer that did not end by itself.
#[component]
fn Ending(state: MessageState, message: Memo<Option<Message>>) -> impl IntoView {
    let store = use_store();
    let again = move |_| {
        if let Some(message) = message.get_untracked() {
            actions::regenerate(store, message.id);
        }
    };
    match state {
        MessageState::Stopped => view! { <p class="hint">"Stopped."</p> }.into_any(),
        MessageState::Failed { error } => view! {
            <div class="trouble" role="alert">
                <p>{error}</p>
                <button type="button" on:click=again>"Try again"</button>
            </div>
        }
        .into_any(),
        MessageState::Generating | MessageState::Done => ().into_any(),
    }
}

#[component]
fn Footer(message: Memo<Option<Message>>, text: Memo<String>) -> impl IntoView {
    let store = use_store();
    let again = move |_| {
        if let Some(message) = message.get_untracked() {
            actions::regenerate(store, message.id);
        }
    };
    let details = Memo::new(move |_| {
        message.with(|message| message.as_ref().and_then(|message| message.details.clone()))
    });
    let dropped = Memo::new(move |_| details.with(|details| details.as_ref().and_then(dropped_turns)));
    view! {
        {move || dropped.get().map(|words| view! { <p class="dropped">{words}</p> })}
        <div class="actions">
            <Versions message/>
            <button type="button" class="icon-button" aria-label="Copy" title="Copy"
                on:click=move |_| actions::copy(store, text.get_untracked())>{icons::copy()}</button>
            <button type="button" class="icon-button" aria-label="Regenerate" title="Regenerate"
                disabled=move || store.generating().is_some()
                on:click=again>{icons::again()}</button>
            {move || details.get().map(|details| view! { <DetailsView details/> })}
        </div>
    }
}

/// Says what did not fit into the context.
fn dropped_turns(details: &Details) -> Option<String> {
    match details.dropped_turns {
        0 => None,
        1 => Some("The oldest turn did not fit into the context and was left out.".to_owned()),
        turns => Some(format!("The {turns} oldest turns did not fit into the context and were left out.")),
    }
}
