//! An input of a question as the thread shows it: by its MIME type, named by its plugin.

use jnana_api::conversations::BlobRef;
use leptos::prelude::*;

use crate::logic::words;
use crate::store::use_store;

/// An input that was sent.
#[component]
pub(super) fn InputPart(plugin: String, blob: BlobRef, text: Option<String>) -> impl IntoView {
    let store = use_store();
    let plugin = StoredValue::new(plugin);
    let name = Memo::new(move |_| {
        plugin.with_value(|plugin| {
            let ui = store.descriptor(plugin);
            ui.map_or_else(|| (String::new(), plugin.clone()), |ui| (ui.icon, ui.noun))
        })
    });
    let status = Memo::new(move |_| plugin.with_value(|plugin| store.plugin_status(plugin)));
    let size = words::size(blob.bytes);
    view! {
        <figure class="input">
            {move || preview(blob.url(), &blob.mime, name.get().1)}
            <figcaption>
                <span aria-hidden="true">{move || name.get().0}</span>" "{move || name.get().1}
                <span class="size">{size}</span>
                {move || badge(status.get())}
            </figcaption>
            {text.map(|text| view! { <blockquote class="said" dir="auto">{text}</blockquote> })}
        </figure>
    }
}

/// A plugin's status in a few words; nothing when there is nothing to say.
pub(super) fn badge(status: String) -> Option<impl IntoView> {
    (!status.is_empty()).then(|| view! { <span class="badge">{status}</span> })
}

/// Bytes as the browser can show them.
pub(super) fn preview(url: String, mime: &str, noun: String) -> AnyView {
    if mime.starts_with("image/") {
        view! { <img src=url alt=noun loading="lazy"/> }.into_any()
    } else if mime.starts_with("audio/") {
        view! { <audio src=url controls preload="metadata" aria-label=noun></audio> }.into_any()
    } else {
        view! { <a class="file" href=url download="">{format!("{noun} ({mime})")}</a> }.into_any()
    }
}
