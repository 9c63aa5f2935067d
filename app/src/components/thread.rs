//! The messages of the shown branch.

use jnana_api::conversations::Role;
use leptos::html;
use leptos::prelude::*;

use super::{answer::Answer, icons, question::Question, welcome::Welcome};
use crate::store::{Route, use_store};

/// Within this many pixels of the end the view follows the end.
const NEAR_END: i32 = 96;

/// The scrolling middle of the page.
#[component]
pub(super) fn Thread() -> impl IntoView {
    let store = use_store();
    let shown = Memo::new(move |_| store.shown());
    let area = NodeRef::<html::Div>::new();
    let is_at_end = RwSignal::new(true);
    let to_end = move || {
        if let Some(area) = area.get_untracked() {
            area.set_scroll_top(area.scroll_height());
        }
    };
    // A question just asked and another conversation begin at the end; a growing answer only if the person is there.
    Effect::new(move |_| {
        shown.track();
        is_at_end.set(true);
        request_animation_frame(to_end);
    });
    Effect::new(move |_| {
        store.live.track();
        store.conversation.track();
        if is_at_end.get_untracked() {
            request_animation_frame(to_end);
        }
    });
    let scrolled = move |_| {
        if let Some(area) = area.get_untracked() {
            let is_near = area.scroll_height() - area.scroll_top() - area.client_height() < NEAR_END;
            if is_near != is_at_end.get_untracked() {
                is_at_end.set(is_near);
            }
        }
    };
    let is_blank = Memo::new(move |_| shown.with(Vec::is_empty));
    let is_loading =
        move || store.route.with(|route| *route != Route::New) && store.conversation.with(Option::is_none);
    view! {
        <div class="thread" node_ref=area on:scroll=scrolled role="log" aria-label="Messages"
            aria-live="off" tabindex="0"
            aria-busy=move || store.generating().is_some().to_string()>
            <div class="column">
                {move || store.missing.get().map(|words| view! { <p class="trouble" role="alert">{words}</p> })}
                <Show when=move || is_blank.get() && !is_loading() && store.missing.with(Option::is_none)>
                    <Welcome/>
                </Show>
                <Show when=move || is_loading() && store.missing.with(Option::is_none)>
                    <p class="hint loading">"Loading…"</p>
                </Show>
                <For each=move || shown.get() key=Clone::clone children=|id| view! { <Message id/> }/>
            </div>
        </div>
        <Show when=move || !is_at_end.get() && !is_blank.get()>
            <button type="button" class="to-end icon-button" aria-label="To the end"
                on:click=move |_| to_end()>
                {icons::down()}
            </button>
        </Show>
    }
}

#[component]
fn Message(id: String) -> impl IntoView {
    let store = use_store();
    let message = Memo::new(move |_| store.message(&id));
    let role = message.with_untracked(|message| message.as_ref().map(|message| message.role));
    match role {
        Some(Role::User) => view! { <Question message/> }.into_any(),
        Some(Role::Assistant) => view! { <Answer message/> }.into_any(),
        None => ().into_any(),
    }
}
