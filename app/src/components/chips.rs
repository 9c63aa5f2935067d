//! The inputs of the question that is being made.

use leptos::prelude::*;

use super::icons;
use super::input_part::{badge, preview};
use crate::store::use_store;
use crate::tray::{Item, Stage, Tray};

/// All inputs in order.
#[component]
pub(crate) fn Chips(tray: Tray) -> impl IntoView {
    view! {
        <ul class="chips" aria-label="Attached" hidden=move || tray.items.with(Vec::is_empty)>
            <For each=move || tray.items.get() key=|item| item.key
                children=move |item| view! { <Chip item tray/> }/>
        </ul>
    }
}

#[component]
fn Chip(item: Item, tray: Tray) -> impl IntoView {
    let store = use_store();
    let key = item.key;
    let plugin = StoredValue::new(item.plugin.clone());
    let ui = untrack(|| store.descriptor(&item.plugin));
    let noun = ui.as_ref().map_or_else(|| item.plugin.clone(), |ui| ui.noun.clone());
    let icon = ui.map(|ui| ui.icon).unwrap_or_default();
    let stage = Memo::new(move |_| {
        tray.items.with(|items| items.iter().find(|item| item.key == key).map(|item| item.stage.clone()))
    });
    let status = Memo::new(move |_| plugin.with_value(|plugin| store.plugin_status(plugin)));
    let shown = item.url.clone().map(|url| preview(url, &item.mime, noun.clone()));
    let name = StoredValue::new(noun.clone());
    let is_text = item.is_text;
    view! {
        <li class="chip" class:is-text=is_text>
            <div class="chip-preview">{shown}</div>
            <div class="chip-head">
                <span aria-hidden="true">{icon}</span>
                <strong>{noun.clone()}</strong>
                <span class="size">{move || stage.get().map(|stage| note(&stage))}</span>
                {move || badge(status.get())}
            </div>
            {move || match stage.get() {
                Some(Stage::Failed(words)) => view! {
                    <div class="trouble" role="alert">
                        <p>{words}</p>
                        <button type="button" on:click=move |_| tray.work(key)>"Try again"</button>
                    </div>
                }.into_any(),
                Some(Stage::Ready(_)) if is_text => {
                    view! { <TextField item_key=key tray noun=name.get_value()/> }.into_any()
                }
                _ => ().into_any(),
            }}
            <button type="button" class="icon-button" aria-label=format!("Remove {noun}")
                title="Remove" on:click=move |_| tray.remove(key)>
                {icons::cross()}
            </button>
        </li>
    }
}

fn note(stage: &Stage) -> String {
    match stage {
        Stage::Storing => "Sending…".to_owned(),
        Stage::Reading => "Reading…".to_owned(),
        Stage::Ready(note) => note.clone(),
        Stage::Failed(_) => String::new(),
    }
}

/// What the plugin made of the input, for the person to put right.
#[component]
fn TextField(item_key: u32, tray: Tray, noun: String) -> impl IntoView {
    let initial = tray.items.with_untracked(|items| {
        items.iter().find(|item| item.key == item_key).map(|item| item.text.clone()).unwrap_or_default()
    });
    view! {
        <textarea class="field" rows="2" dir="auto" aria-label=format!("{noun}: text") prop:value=initial
            on:input=move |event| tray.set_text(item_key, event_target_value(&event))></textarea>
    }
}
