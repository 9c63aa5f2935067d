//! A text field whose text goes to a plugin.

use jnana_api::plugins::PluginInfo;
use leptos::prelude::*;

use crate::browser;
use crate::tray::Tray;

/// The text's panel.
#[component]
pub(super) fn TextField(plugin: StoredValue<PluginInfo>, tray: Tray) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let noun =
        plugin.with_value(|plugin| plugin.manifest.as_ref().map_or_else(String::new, |m| m.ui.noun.clone()));
    let add = move |_| {
        let mime = plugin.with_value(|plugin| {
            let accept =
                plugin.manifest.as_ref().map(|manifest| manifest.ui.accept.as_slice()).unwrap_or_default();
            accept.iter().find(|mime| !mime.contains('*')).cloned().unwrap_or_else(|| "text/plain".to_owned())
        });
        if let Ok(blob) = browser::blob(text.get_untracked().as_bytes(), &mime) {
            plugin.with_value(|plugin| tray.add(plugin, blob));
            tray.close();
        }
    };
    view! {
        <textarea class="field" rows="5" aria-label=noun prop:value=text
            on:input=move |event| text.set(event_target_value(&event))>
        </textarea>
        <div class="panel-row">
            <button type="button" class="primary" on:click=add
                disabled=move || text.with(|text| text.trim().is_empty())>
                "Use"
            </button>
        </div>
    }
}
