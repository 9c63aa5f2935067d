//! What the page says at its edges: the server's state, short notices, and the live region.

use leptos::prelude::*;

use crate::actions;
use crate::store::{Link, use_store};

/// Says that the server is gone, or asks for its token.
#[component]
pub(super) fn LinkBanner() -> impl IntoView {
    let store = use_store();
    view! {
        <div role="status" class="banner-place">
            {move || match store.link.get() {
                Link::Up => ().into_any(),
                Link::Gone => view! {
                    <p class="banner">
                        <span class="pulse" aria-hidden="true"></span>"The server is gone. Trying again…"
                    </p>
                }.into_any(),
                Link::Locked => view! { <TokenForm/> }.into_any(),
            }}
        </div>
    }
}

#[component]
fn TokenForm() -> impl IntoView {
    let store = use_store();
    let token = RwSignal::new(String::new());
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        actions::unlock(store, token.get_untracked().trim().to_owned());
    };
    view! {
        <form class="banner" on:submit=send>
            <label>
                "This server asks for its token; it was printed where the server was started. "
                <input class="field" type="password" required autocomplete="current-password" aria-label="Token"
                    prop:value=token on:input=move |event| token.set(event_target_value(&event))/>
            </label>
            <button type="submit" class="primary">"Open"</button>
        </form>
    }
}

/// A notice that goes away by itself.
#[component]
pub(crate) fn Toast() -> impl IntoView {
    let store = use_store();
    view! {
        <div class="toast-place" role="status">
            {move || store.notice.get().map(|notice| view! {
                <p class="toast" class:is-error=notice.is_error>
                    {notice.text}
                    <button type="button" class="icon-button" aria-label="Dismiss"
                        on:click=move |_| store.notice.set(None)>
                        {super::icons::cross()}
                    </button>
                </p>
            })}
        </div>
    }
}

/// Speaks to screen readers: answers sentence by sentence, steps and results.
#[component]
pub(crate) fn LiveRegion() -> impl IntoView {
    let store = use_store();
    view! { <div class="sr" id="announcer" aria-live="polite" aria-atomic="true">{store.announcement}</div> }
}
