//! An empty conversation: what can be done here, in the plugins' own words.

use jnana_api::plugins::PluginState;
use leptos::prelude::*;

use super::icons;
use super::input_part::badge;
use crate::store::use_store;
use crate::tray::{Tray, offered};

/// The start of a conversation.
#[component]
pub(super) fn Welcome() -> impl IntoView {
    let store = use_store();
    let tray = expect_context::<Tray>();
    let cards = move || {
        let plugins = store.plugins.with(|plugins| offered(plugins));
        plugins
            .into_iter()
            .filter_map(|plugin| {
                plugin.manifest.map(|manifest| (plugin.id, plugin.state, plugin.status, manifest.ui))
            })
            .map(|(id, state, status, ui)| {
                let help = match state {
                    PluginState::Failed { reason } => reason,
                    _ => ui.help,
                };
                view! {
                    <li>
                        <button type="button" class="card" on:click=move |_| tray.toggle(&id)>
                            <span class="emoji" aria-hidden="true">{ui.icon}</span>
                            <span class="card-title">{ui.label}</span>
                            {badge(status)}
                            <span class="hint">{help}</span>
                        </button>
                    </li>
                }
            })
            .collect_view()
    };
    let notices = move || {
        store.status.with(|status| {
            let notices = status.as_ref().map(|status| status.notices.clone()).unwrap_or_default();
            notices.into_iter().map(|notice| view! { <p class="warning">{notice}</p> }).collect_view()
        })
    };
    view! {
        <section class="welcome" aria-label="Welcome">
            {icons::mark()}
            <p class="welcome-title">"What would you like to know?"</p>
            <ul class="cards">{cards}</ul>
            {notices}
        </section>
    }
}
