//! Administration: a frame with a navigation, and a page for each thing to look after.

mod candidates;
mod chart;
mod compare;
mod desk;
mod follow;
mod generations;
mod job;
mod log;
mod models;
mod new_job;
mod plugins;
mod question;
mod sign_in;
mod training;
mod trial;

use leptos::prelude::*;
use web_sys::MouseEvent;

use crate::browser;
use crate::components::{icons, notices};
use crate::logic::admin_page::{AdminPage, Place};
use crate::settings::Settings;
use crate::store::Store;
use desk::{Desk, Gate, use_desk};

/// The whole of administration, with the place of the address shown first.
#[component]
pub(crate) fn App() -> impl IntoView {
    let desk = Desk::new(Place::of(&browser::path()));
    // What the shared controls need: plugins, settings of this device, notices.
    let store = Store::new();
    provide_context(desk);
    provide_context(store);
    store.settings.with_untracked(Settings::apply);
    keep_title(desk);
    follow_history(desk);
    desk.start();
    // A session that is known again must not draw the frame again.
    let is_open = Memo::new(move |_| desk.gate.with(|gate| matches!(gate, Gate::Open(_))));
    let is_closed = Memo::new(move |_| desk.gate.with(|gate| *gate == Gate::Closed));
    move || match (is_open.get(), is_closed.get()) {
        (true, _) => view! { <Frame/> }.into_any(),
        (_, true) => view! { <sign_in::SignIn/> }.into_any(),
        _ => view! { <Waiting/> }.into_any(),
    }
}

/// Until the server has said whether there is a session.
#[component]
fn Waiting() -> impl IntoView {
    let desk = use_desk();
    view! {
        <main class="admin-door">
            {icons::mark()}
            <h1>"Administration"</h1>
            <p role="status">{move || desk.trouble.get().unwrap_or_else(|| "Loading…".to_owned())}</p>
        </main>
    }
}

#[component]
fn Frame() -> impl IntoView {
    let desk = use_desk();
    view! {
        <div class="admin">
            <a class="skip" href="#admin-page">"Skip to the page"</a>
            <header class="admin-head">
                <a class="admin-home" href="/" title="Back to the conversations">
                    {icons::mark()}<span class="wordmark" lang="sa-Latn">"Jñāna"</span>
                </a>
                <nav class="admin-nav" aria-label="Administration">
                    <ul>{AdminPage::ALL.map(|page| view! { <li><PageLink page/></li> }).collect_view()}</ul>
                </nav>
                <button type="button" on:click=move |_| desk.sign_out()>"Sign out"</button>
            </header>
            <main class="admin-page" id="admin-page" tabindex="-1">
                <h1 id="admin-title" tabindex="-1">{move || title(desk)}</h1>
                {move || desk.trouble.get().map(|words| view! { <p class="trouble" role="alert">{words}</p> })}
                {move || desk.refusal.get().map(|words| view! { <Refusal words/> })}
                {move || {
                    let Place { page, item } = desk.place.get();
                    match (page, item) {
                        (AdminPage::Models, _) => view! { <models::Models/> }.into_any(),
                        (AdminPage::Training, None) => view! { <training::Training/> }.into_any(),
                        (AdminPage::Training, Some(id)) => view! { <job::JobPage id/> }.into_any(),
                        (AdminPage::Plugins, _) => view! { <plugins::Plugins/> }.into_any(),
                    }
                }}
            </main>
            <notices::Toast/>
            <notices::LiveRegion/>
            <question::Asked/>
        </div>
    }
}

/// Why something that was asked for was not done, until it was read.
#[component]
fn Refusal(words: String) -> impl IntoView {
    let desk = use_desk();
    view! {
        <div class="trouble" role="alert">
            <p>{words}</p>
            <button type="button" on:click=move |_| desk.refusal.set(None)>"Dismiss"</button>
        </div>
    }
}

#[component]
fn PageLink(page: AdminPage) -> impl IntoView {
    let desk = use_desk();
    let is_shown = move || desk.place.with(|place| place.page == page).then_some("page");
    view! {
        <a href=Place::from(page).path() aria-current=is_shown on:click=move |click| follow_link(desk, &click, page)>
            {page.title()}
        </a>
    }
}

/// A link to another place of administration.
#[component]
fn PlaceLink(#[prop(into)] place: Place, children: Children) -> impl IntoView {
    let desk = use_desk();
    let path = place.path();
    view! { <a href=path on:click=move |click| follow_link(desk, &click, place.clone())>{children()}</a> }
}

/// Goes there without loading the page anew, unless the click wants it elsewhere.
fn follow_link(desk: Desk, click: &MouseEvent, place: impl Into<Place>) {
    if browser::is_plain(click) {
        click.prevent_default();
        desk.go(place);
    }
}

/// The heading of the shown place: a job's own title, once it is known.
fn title(desk: Desk) -> String {
    let Place { page, item } = desk.place.get();
    let job = item.and_then(|id| desk.job(&id));
    job.map_or_else(|| page.title().to_owned(), |job| job.title)
}

/// A figure with its name, in a `<dl class="facts">`.
fn fact(name: impl Into<String>, value: impl Into<String>) -> impl IntoView {
    view! { <div><dt>{name.into()}</dt><dd>{value.into()}</dd></div> }
}

fn keep_title(desk: Desk) {
    Effect::new(move |_| {
        let title = desk.gate.with(|gate| match gate {
            Gate::Open(_) => format!("{} · Administration · Jñāna", title(desk)),
            Gate::Closed | Gate::Unknown => "Administration · Jñāna".to_owned(),
        });
        document().set_title(&title);
    });
}

/// Goes back and forth with the browser.
fn follow_history(desk: Desk) {
    let back = window_event_listener(leptos::ev::popstate, move |_| {
        // A jump within the page, such as by its skip link, is a step in the history too.
        let place = Place::of(&browser::path());
        if desk.place.with_untracked(|shown| *shown != place) {
            desk.show(place);
        }
    });
    on_cleanup(move || back.remove());
}
