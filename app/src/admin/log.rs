//! The end of what a job's process wrote.

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::admin as api;
use crate::browser;

/// Pause between two looks.
const PAUSE_MS: i32 = 3_000;
/// Pixels from the end within which a person still reads along.
const NEAR: i32 = 40;

/// The log, folded away until somebody opens it. Whoever reads its end stays there while it grows.
#[component]
pub(super) fn Log(id: String) -> impl IntoView {
    let is_open = RwSignal::new(false);
    let id = StoredValue::new(id);
    view! {
        <details class="more" on:toggle=move |_| is_open.update(|open| *open = !*open)>
            <summary>"Log"</summary>
            {move || is_open.get().then(|| view! { <Tail id=id.get_value()/> })}
        </details>
    }
}

#[component]
fn Tail(id: String) -> impl IntoView {
    let log = RwSignal::new(String::new());
    let place = NodeRef::<html::Pre>::new();
    spawn_local(async move {
        while !log.is_disposed() {
            if browser::is_visible()
                && let Ok(text) = api::job_log(&id).await
            {
                show(log, place, text);
            }
            browser::sleep(PAUSE_MS).await;
        }
    });
    view! {
        <pre class="log" node_ref=place tabindex="0" role="region" aria-label="End of the log">
            {move || log.with(|log| if log.is_empty() { "Nothing yet.".to_owned() } else { log.clone() })}
        </pre>
    }
}

fn show(log: RwSignal<String>, place: NodeRef<html::Pre>, text: String) {
    let Some(is_news) = log.try_with_untracked(|shown| *shown != text) else { return };
    let Some(place) = place.get_untracked().filter(|_| is_news) else { return };
    let is_at_end = place.scroll_height() - place.client_height() - place.scroll_top() < NEAR;
    log.set(text);
    if is_at_end {
        request_animation_frame(move || place.set_scroll_top(place.scroll_height()));
    }
}
