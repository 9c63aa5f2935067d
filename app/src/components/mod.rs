//! The page, a file a part.

mod answer;
pub(crate) mod chips;
mod composer;
mod details;
mod dialogs;
pub(crate) mod icons;
pub(crate) mod input_buttons;
mod input_part;
pub(crate) mod modal;
pub(crate) mod notices;
mod question;
pub(crate) mod rich_text;
mod settings_dialog;
mod sidebar;
mod thread;
mod versions;
mod welcome;

use leptos::prelude::*;
use web_sys::{DragEvent, KeyboardEvent};

use crate::store::{Route, Store, use_store};
use crate::tray::Tray;
use crate::{actions, browser, follow, link};

/// Where the browser keeps what a question has attached and was not sent yet.
const TRAY_KEY: &str = "jnana.tray";

/// The whole page.
#[component]
pub(crate) fn App() -> impl IntoView {
    let store = Store::new();
    let tray = Tray::new(store, TRAY_KEY);
    provide_context(store);
    provide_context(tray);
    store.settings.with_untracked(crate::settings::Settings::apply);
    actions::load_all(store);
    link::watch(store);
    follow::start(store);
    keep_route(store);
    keep_title(store);
    listen_to_keys(store, tray);
    let is_over = RwSignal::new(false);
    view! {
        <div class="app" class:is-over=is_over class:has-drawer=store.drawer
            on:dragover=move |event| drag_over(&event, is_over)
            on:dragleave=move |event: DragEvent| if event.related_target().is_none() { is_over.set(false) }
            on:drop=move |event| dropped(&event, is_over, tray)>
            <a class="skip" href="#message">"Skip to the message"</a>
            <sidebar::Sidebar/>
            <main class="main">
                <TopBar/>
                <notices::LinkBanner/>
                <thread::Thread/>
                <composer::Composer/>
            </main>
            <notices::Toast/>
            <notices::LiveRegion/>
            <dialogs::Dialogs/>
        </div>
    }
}

#[component]
fn TopBar() -> impl IntoView {
    let store = use_store();
    let heading = move || {
        let title = store.conversation.with(|shown| shown.as_ref().map(|shown| shown.summary.title.clone()));
        title.filter(|title| !title.is_empty()).unwrap_or_else(|| "New conversation".to_owned())
    };
    let model = move || store.status.with(|status| status.as_ref().map(|status| status.model.id.clone()));
    view! {
        <header class="topbar">
            <button type="button" class="icon-button drawer-button" aria-label="Conversations"
                aria-expanded=move || store.drawer.get().to_string()
                on:click=move |_| store.drawer.update(|open| *open = !*open)>
                {icons::menu()}
            </button>
            <h1>{heading}</h1>
            {move || model().map(|model| view! { <span class="badge model" title="Model">{model}</span> })}
        </header>
    }
}

/// Follows the address: shows what it names.
fn keep_route(store: Store) {
    Effect::new(move |_| actions::open(store, store.route.get()));
    let back = window_event_listener(leptos::ev::popstate, move |_| {
        store.route.set(Route::of(&browser::path()));
    });
    on_cleanup(move || back.remove());
}

fn keep_title(store: Store) {
    Effect::new(move |_| {
        let title = store.conversation.with(|shown| shown.as_ref().map(|shown| shown.summary.title.clone()));
        let title = title.filter(|title| !title.is_empty());
        document().set_title(&title.map_or_else(|| "Jñāna".to_owned(), |title| format!("{title} · Jñāna")));
    });
}

fn listen_to_keys(store: Store, tray: Tray) {
    let keys = window_event_listener(leptos::ev::keydown, move |event: KeyboardEvent| {
        if event.key() == "Escape" && store.dialog.with_untracked(Option::is_none) {
            tray.close();
            store.drawer.set(false);
        } else if event.key() == "k" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            store.drawer.set(true);
            browser::focus_soon("#search");
        }
    });
    on_cleanup(move || keys.remove());
}

fn drag_over(event: &DragEvent, is_over: RwSignal<bool>) {
    let types = event.data_transfer().map(|transfer| transfer.types());
    if types.is_some_and(|types| types.includes(&"Files".into(), 0)) {
        event.prevent_default();
        if !is_over.get_untracked() {
            is_over.set(true);
        }
    }
}

fn dropped(event: &DragEvent, is_over: RwSignal<bool>, tray: Tray) {
    is_over.set(false);
    let files = event.data_transfer().and_then(|transfer| transfer.files());
    if let Some(files) = files.filter(|files| files.length() > 0) {
        event.prevent_default();
        add_files(&files, tray);
    }
}

/// Takes files that were dropped or pasted.
fn add_files(files: &web_sys::FileList, tray: Tray) {
    for file in (0..files.length()).filter_map(|index| files.get(index)) {
        tray.add_file(file.into());
    }
}
