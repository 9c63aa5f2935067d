//! Settings of this device, and what is running.

use jnana_api::plugins::{PluginInfo, PluginState};
use leptos::prelude::*;

use super::input_part::badge;
use super::modal::{Modal, close};
use crate::settings::{Settings, Theme};
use crate::store::use_store;

/// The settings.
#[component]
pub(super) fn SettingsDialog() -> impl IntoView {
    let store = use_store();
    let theme = store.settings.with_untracked(|settings| settings.theme);
    let choices = [(Theme::System, "As the system"), (Theme::Light, "Light"), (Theme::Dark, "Dark")];
    view! {
        <Modal title="Settings" closed=move || store.dialog.set(None)>
            <label class="form-row">
                <span>"Colours"</span>
                <select on:change=move |event| {
                    let theme = Theme::named(&event_target_value(&event));
                    store.set(|settings| settings.theme = theme);
                }>
                    {choices.map(|(choice, label)| {
                        let is_chosen = choice == theme;
                        view! { <option value=choice.name() selected=is_chosen>{label}</option> }
                    }).collect_view()}
                </select>
            </label>
            <fieldset>
                <legend>"Recordings"</legend>
                <Switch label="Send the text at once, without a look at it"
                    get=|settings| settings.auto_send set=|settings, on| settings.auto_send = on/>
                <Switch label="Remove echo"
                    get=|settings| settings.echo_cancellation set=|settings, on| settings.echo_cancellation = on/>
                <Switch label="Remove noise"
                    get=|settings| settings.noise_suppression set=|settings, on| settings.noise_suppression = on/>
                <Switch label="Level the loudness"
                    get=|settings| settings.auto_gain set=|settings, on| settings.auto_gain = on/>
            </fieldset>
            <About/>
            <div class="panel-row end">
                <button type="button" class="primary" on:click=|_| close()>"Done"</button>
            </div>
        </Modal>
    }
}

#[component]
fn Switch(label: &'static str, get: fn(&Settings) -> bool, set: fn(&mut Settings, bool)) -> impl IntoView {
    let store = use_store();
    view! {
        <label class="switch">
            <input type="checkbox" prop:checked=move || store.settings.with(get)
                on:change=move |event| {
                    let on = event_target_checked(&event);
                    store.set(|settings| set(settings, on));
                }/>
            <span>{label}</span>
        </label>
    }
}

/// The model and the plugins.
#[component]
fn About() -> impl IntoView {
    let store = use_store();
    let running = move || {
        store.status.get().map(|status| {
            let model = status.model;
            view! {
                <p>{format!(
                    "Jñāna {}, model {} ({}, {}, {}, {} positions of context)",
                    status.version, model.id, model.family, model.dtype, model.device, model.context
                )}</p>
                {status.notices.into_iter().map(|notice| view! { <p class="warning">{notice}</p> }).collect_view()}
            }
        })
    };
    view! {
        <section class="about">
            <h3>"Running here"</h3>
            {running}
            <ul class="plugins">
                {move || store.plugins.get().into_iter().map(|info| view! { <PluginRow info/> }).collect_view()}
            </ul>
            <p><a href="/admin">"Administration"</a></p>
        </section>
    }
}

#[component]
fn PluginRow(info: PluginInfo) -> impl IntoView {
    let (name, about) = match &info.manifest {
        Some(manifest) => (format!("{} {}", manifest.name, manifest.version), manifest.description.clone()),
        None => (info.id.clone(), info.file.clone()),
    };
    let (state, reason) = match info.state {
        PluginState::Ready => ("ready", String::new()),
        PluginState::Disabled => ("switched off", String::new()),
        PluginState::Failed { reason } => ("not working", reason),
    };
    view! {
        <li>
            <strong>{name}</strong>" "<span class="badge">{state}</span>
            {badge(info.status)}
            <p class="hint">{about}</p>
            {(!reason.is_empty()).then(|| view! { <p class="trouble">{reason}</p> })}
        </li>
    }
}
