//! Administration: a frame with a navigation, and a page for each thing to look after.

mod desk;
mod models;
mod plugins;
mod sign_in;

use leptos::prelude::*;
use web_sys::MouseEvent;

use crate::browser;
use crate::components::icons;
use crate::logic::admin_page::AdminPage;
use crate::settings::Settings;
use desk::{Desk, Gate, use_desk};

/// The whole of administration, with the page of the address shown first.
#[component]
pub(crate) fn App() -> impl IntoView {
    let desk = Desk::new(AdminPage::of(&browser::path()).unwrap_or(AdminPage::Models));
    provide_context(desk);
    Settings::load().apply();
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
                <h1 id="admin-title" tabindex="-1">{move || desk.page.get().title()}</h1>
                {move || desk.trouble.get().map(|words| view! { <p class="trouble" role="alert">{words}</p> })}
                {move || match desk.page.get() {
                    AdminPage::Models => view! { <models::Models/> }.into_any(),
                    AdminPage::Plugins => view! { <plugins::Plugins/> }.into_any(),
                }}
            </main>
        </div>
    }
}

#[component]
fn PageLink(page: AdminPage) -> impl IntoView {
    let desk = use_desk();
    let follow = move |click: MouseEvent| {
        if browser::is_plain(&click) {
            click.prevent_default();
            desk.go(page);
        }
    };
    view! {
        <a href=page.path() aria-current=move || (desk.page.get() == page).then_some("page") on:click=follow>
            {page.title()}
        </a>
    }
}

/// A figure with its name, in a `<dl class="facts">`.
fn fact(name: &'static str, value: String) -> impl IntoView {
    view! { <div><dt>{name}</dt><dd>{value}</dd></div> }
}

fn keep_title(desk: Desk) {
    Effect::new(move |_| {
        let title = desk.gate.with(|gate| match gate {
            Gate::Open(_) => format!("{} · Administration · Jñāna", desk.page.get().title()),
            Gate::Closed | Gate::Unknown => "Administration · Jñāna".to_owned(),
        });
        document().set_title(&title);
    });
}

/// Goes back and forth with the browser.
fn follow_history(desk: Desk) {
    let back = window_event_listener(leptos::ev::popstate, move |_| {
        // A jump within the page, such as by its skip link, is a step in the history too.
        let page = AdminPage::of(&browser::path());
        if let Some(page) = page.filter(|page| *page != desk.page.get_untracked()) {
            desk.show(page);
        }
    });
    on_cleanup(move || back.remove());
}
