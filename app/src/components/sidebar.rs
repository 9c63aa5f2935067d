//! The conversations: search, open, rename, export, delete.

use jnana_api::conversations::Summary;
use leptos::prelude::*;
use web_sys::MouseEvent;

use super::icons;
use crate::logic::words;
use crate::store::{Dialog, Route, Store, use_store};
use crate::{actions, browser};

/// Pause after the last key before a search begins.
const TYPING_MS: i32 = 200;

/// The list of conversations; a drawer on narrow screens.
#[component]
pub(super) fn Sidebar() -> impl IntoView {
    let store = use_store();
    let expanded = RwSignal::new(None::<String>);
    view! {
        <div class="scrim" on:click=move |_| store.drawer.set(false)></div>
        <nav class="sidebar" aria-label="Conversations">
            <div class="brand">
                {icons::mark()}
                <span class="wordmark" lang="sa-Latn">"Jñāna"</span>
                <button type="button" class="icon-button" aria-label="Settings" title="Settings"
                    on:click=move |_| store.dialog.set(Some(Dialog::Settings))>{icons::sliders()}</button>
            </div>
            <a class="new" href="/" on:click=move |event| follow_link(store, &event, Route::New)>
                {icons::plus()}"New conversation"
            </a>
            <Search/>
            <div class="list" tabindex="-1">
                {move || store.list.get().map(|list| {
                    if list.is_empty() {
                        let is_search = store.query.with(|query| !query.trim().is_empty());
                        let words = if is_search { "Nothing found." } else { "No conversations yet." };
                        view! { <p class="hint">{words}</p> }.into_any()
                    } else {
                        view! { <Groups list expanded/> }.into_any()
                    }
                })}
            </div>
        </nav>
    }
}

/// Lets a link change the page instead of loading it, unless the person wants it elsewhere.
fn follow_link(store: Store, event: &MouseEvent, route: Route) {
    if !browser::is_plain(event) {
        return;
    }
    event.prevent_default();
    let is_new = route == Route::New;
    store.go(route);
    if is_new {
        browser::focus_soon("#message");
    }
}

#[component]
fn Search() -> impl IntoView {
    let store = use_store();
    let search = move |event| {
        let query = event_target_value(&event);
        store.query.set(query.clone());
        leptos::task::spawn_local(async move {
            browser::sleep(TYPING_MS).await;
            if store.query.get_untracked() == query {
                actions::load_list(store);
            }
        });
    };
    view! {
        <label class="search">
            {icons::glass()}
            <span class="sr">"Search conversations"</span>
            <input id="search" type="search" placeholder="Search" title="Search (Ctrl+K)" autocomplete="off"
                prop:value=store.query on:input=search/>
        </label>
    }
}

/// The list under headings by age.
#[component]
fn Groups(list: Vec<Summary>, expanded: RwSignal<Option<String>>) -> impl IntoView {
    let mut groups: Vec<(&'static str, Vec<Summary>)> = Vec::new();
    for summary in list {
        #[allow(clippy::cast_precision_loss)] // milliseconds since 1970 fit
        let age = words::age(browser::days_ago(summary.updated_at as f64));
        match groups.last_mut().filter(|(last, _)| *last == age) {
            Some((_, group)) => group.push(summary),
            None => groups.push((age, vec![summary])),
        }
    }
    groups
        .into_iter()
        .map(|(age, group)| {
            view! {
                <h2 class="age">{age}</h2>
                <ul>{group.into_iter().map(|summary| view! { <Entry summary expanded/> }).collect_view()}</ul>
            }
        })
        .collect_view()
}

#[component]
fn Entry(summary: Summary, expanded: RwSignal<Option<String>>) -> impl IntoView {
    let store = use_store();
    let id = StoredValue::new(summary.id.clone());
    let route = Route::Conversation(summary.id.clone());
    let path = route.path();
    let title = if summary.title.is_empty() { "Untitled".to_owned() } else { summary.title.clone() };
    let is_shown = {
        let route = route.clone();
        Memo::new(move |_| store.route.with(|shown| *shown == route))
    };
    let is_open = Memo::new(move |_| expanded.with(|open| id.with_value(|id| open.as_ref() == Some(id))));
    let toggle = move |_| expanded.set(if is_open.get_untracked() { None } else { Some(id.get_value()) });
    let more = format!("Options for {title}");
    view! {
        <li class="entry" class:is-shown=is_shown>
            <div class="entry-row">
                <a href=path aria-current=move || is_shown.get().then_some("page")
                    on:click=move |event| follow_link(store, &event, route.clone())>{title}</a>
                <button type="button" class="icon-button" aria-label=more
                    aria-expanded=move || is_open.get().to_string() on:click=toggle>
                    {icons::dots()}
                </button>
            </div>
            {move || is_open.get().then(|| view! { <Options summary=summary.clone()/> })}
        </li>
    }
}

#[component]
fn Options(summary: Summary) -> impl IntoView {
    let store = use_store();
    let summary = StoredValue::new(summary);
    view! {
        <div class="options">
            <button type="button"
                on:click=move |_| store.dialog.set(Some(Dialog::Rename(summary.get_value())))>
                "Rename"
            </button>
            <button type="button"
                on:click=move |_| actions::export(store, summary.get_value().id, "markdown")>
                "Export Markdown"
            </button>
            <button type="button"
                on:click=move |_| actions::export(store, summary.get_value().id, "json")>
                "Export JSON"
            </button>
            <button type="button" class="danger"
                on:click=move |_| store.dialog.set(Some(Dialog::Delete(summary.get_value())))>
                "Delete"
            </button>
        </div>
    }
}
