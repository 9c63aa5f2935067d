//! Fields made from a plugin's settings schema; the filled form is sent as JSON.

use jnana_api::plugins::PluginInfo;
use leptos::prelude::*;

use crate::browser;
use crate::logic::schema::{self, Field, FieldKind};
use crate::tray::Tray;

/// The form's panel.
#[component]
pub(super) fn Form(plugin: StoredValue<PluginInfo>, tray: Tray) -> impl IntoView {
    let fields = plugin.with_value(|plugin| {
        plugin.manifest.as_ref().map(|manifest| schema::fields(&manifest.settings_schema)).unwrap_or_default()
    });
    let values = RwSignal::new(fields.iter().map(|field| field.initial.clone()).collect::<Vec<_>>());
    let problem = RwSignal::new(String::new());
    let rows =
        fields.iter().cloned().enumerate().map(|(index, field)| row(index, field, values)).collect_view();
    let fields = StoredValue::new(fields);
    let add = move |_| match fields.with_value(|fields| schema::object(fields, &values.get_untracked())) {
        Ok(object) => {
            if let Ok(blob) = browser::blob(object.to_string().as_bytes(), "application/json") {
                plugin.with_value(|plugin| tray.add(plugin, blob));
                tray.close();
            }
        }
        Err(label) => problem.set(format!("“{label}” must be a number.")),
    };
    view! {
        <div class="form">{rows}</div>
        <p class="trouble" role="alert" hidden=move || problem.with(String::is_empty)>{problem}</p>
        <div class="panel-row">
            <button type="button" class="primary" on:click=add>"Use"</button>
        </div>
    }
}

fn row(index: usize, field: Field, values: RwSignal<Vec<String>>) -> impl IntoView {
    let value = move || values.with(|values| values[index].clone());
    let set = move |value: String| values.update(|values| values[index] = value);
    let input = match field.kind {
        FieldKind::Switch => view! {
            <input type="checkbox" prop:checked=move || value() == "true"
                on:change=move |event| set(event_target_checked(&event).to_string())/>
        }
        .into_any(),
        FieldKind::Choice(choices) => view! {
            <select prop:value=value on:change=move |event| set(event_target_value(&event))>
                <option value=""></option>
                {choices.into_iter().map(|choice| {
                    let is_chosen = values.with_untracked(|values| values[index] == choice);
                    view! { <option value=choice.clone() selected=is_chosen>{choice.clone()}</option> }
                }).collect_view()}
            </select>
        }
        .into_any(),
        FieldKind::Number { .. } => view! {
            <input class="field" type="number" step="any" prop:value=value
                on:input=move |event| set(event_target_value(&event))/>
        }
        .into_any(),
        FieldKind::Text => view! {
            <input class="field" type="text" prop:value=value
                on:input=move |event| set(event_target_value(&event))/>
        }
        .into_any(),
    };
    view! {
        <label class="form-row">
            <span>{field.label}</span>
            {input}
            <span class="hint">{field.help}</span>
        </label>
    }
}
