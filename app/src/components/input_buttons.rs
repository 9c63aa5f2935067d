//! A button for every plugin that has an input to offer.

use jnana_api::plugins::{PluginInfo, PluginState};
use leptos::prelude::*;

use crate::store::use_store;
use crate::tray::{Tray, offered};

/// The buttons.
#[component]
pub(crate) fn InputButtons(tray: Tray) -> impl IntoView {
    let store = use_store();
    let plugins = Memo::new(move |_| store.plugins.with(|plugins| offered(plugins)));
    view! {
        <div class="input-buttons" role="group" aria-label="Inputs">
            {move || plugins.get().into_iter().map(|plugin| view! { <InputButton plugin tray/> }).collect_view()}
        </div>
    }
}

#[component]
fn InputButton(plugin: PluginInfo, tray: Tray) -> impl IntoView {
    let Some(ui) = plugin.manifest.map(|manifest| manifest.ui) else { return ().into_any() };
    let id = StoredValue::new(plugin.id);
    let (is_failed, title) = match plugin.state {
        PluginState::Failed { reason } => (true, reason),
        _ if plugin.status.is_empty() => (false, ui.help),
        _ => (false, plugin.status),
    };
    let is_open = move || tray.open.with(|open| id.with_value(|id| open.as_ref() == Some(id)));
    view! {
        <button type="button" class="input-button" class:is-failed=is_failed
            aria-label=ui.label.clone() title=title
            aria-expanded=move || is_open().to_string() on:click=move |_| id.with_value(|id| tray.toggle(id))>
            <span class="emoji" aria-hidden="true">{ui.icon}</span>
            <span class="label">{ui.label.clone()}</span>
        </button>
    }
    .into_any()
}
