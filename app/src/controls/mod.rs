//! The closed set of input controls. A plugin's descriptor names one; its label, noun and help come from
//! the descriptor too.
//!
//! A control gives bytes with a MIME type to the tray and closes. What holds a device lets it go
//! when the control closes.

mod camera;
mod canvas;
mod devices;
pub(crate) mod file;
pub(crate) mod form;
mod frame;
mod microphone;
mod recorder;
mod text;

use jnana_api::plugins::{Control, PluginInfo, PluginState};
use leptos::prelude::*;

use crate::components::icons;
use crate::tray::Tray;

/// What a control says when its plugin found nothing in an input.
pub(crate) fn nothing_found(control: Control) -> &'static str {
    match control {
        Control::Microphone => "Nothing was heard.",
        _ => "Nothing was found in it.",
    }
}

/// The panel of an open control.
#[component]
pub(crate) fn ControlPanel(plugin: PluginInfo, tray: Tray) -> impl IntoView {
    let Some(manifest) = plugin.manifest.clone() else { return ().into_any() };
    let ui = manifest.ui;
    let status = plugin.status.clone();
    let (name, label) = (ui.label.clone(), ui.label);
    let panel = StoredValue::new(plugin.clone());
    let body = match plugin.state {
        PluginState::Failed { reason } => view! { <p class="trouble">{reason}</p> }.into_any(),
        _ => match ui.control {
            Control::Camera => view! { <camera::Camera plugin=panel tray/> }.into_any(),
            Control::Microphone => view! { <microphone::Microphone plugin=panel tray/> }.into_any(),
            Control::Text => view! { <text::TextField plugin=panel tray/> }.into_any(),
            Control::Canvas => view! { <canvas::Canvas plugin=panel tray/> }.into_any(),
            Control::Form => view! { <form::Form plugin=panel tray/> }.into_any(),
            Control::File | Control::Unknown => {
                view! { <file::FilePicker plugin=panel tray prominent=true/> }.into_any()
            }
        },
    };
    view! {
        <section class="panel" aria-label=name>
            <header class="panel-head">
                <h2><span aria-hidden="true">{ui.icon}</span>" "{label}</h2>
                {(!status.is_empty()).then(|| view! { <span class="badge">{status}</span> })}
                <button type="button" class="icon-button" aria-label="Close" title="Close (Esc)"
                    on:click=move |_| tray.close()>
                    {icons::cross()}
                </button>
            </header>
            {(!ui.help.is_empty()).then(|| view! { <p class="help">{ui.help}</p> })}
            {body}
        </section>
    }
    .into_any()
}

/// Types that a plugin's control takes, as a file picker's `accept` wants them.
fn accept(plugin: &PluginInfo) -> String {
    plugin.manifest.as_ref().map(|manifest| manifest.ui.accept.join(",")).unwrap_or_default()
}
