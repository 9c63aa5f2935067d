//! Fields made from a plugin's schema; the filled form is sent as JSON.

use jnana_api::plugins::PluginInfo;
use leptos::prelude::*;
use serde_json::Value;

use crate::browser;
use crate::logic::schema::{self, Field, FieldKind};
use crate::tray::Tray;

/// The form's panel.
#[component]
pub(super) fn Form(plugin: StoredValue<PluginInfo>, tray: Tray) -> impl IntoView {
    let fields = plugin.with_value(|plugin| {
        plugin.manifest.as_ref().map(|manifest| schema::fields(&manifest.settings_schema)).unwrap_or_default()
    });
    let values = initial(&fields);
    let problem = RwSignal::new(String::new());
    let rows = rows(&fields, values, |_| true);
    let fields = StoredValue::new(fields);
    let add = move |_| match fields.with_value(|fields| schema::object(fields, &values.get_untracked())) {
        Ok(object) => {
            let json = Value::Object(object).to_string();
            if let Ok(blob) = browser::blob(json.as_bytes(), "application/json") {
                plugin.with_value(|plugin| tray.add(plugin, blob));
                tray.close();
            }
        }
        Err(words) => problem.set(words.to_string()),
    };
    view! {
        <div class="form">{rows}</div>
        <p class="trouble" role="alert" hidden=move || problem.with(String::is_empty)>{problem}</p>
        <div class="panel-row">
            <button type="button" class="primary" on:click=add>"Use"</button>
        </div>
    }
}

/// What the fields begin with, in their order.
pub(crate) fn initial(fields: &[Field]) -> RwSignal<Vec<String>> {
    RwSignal::new(fields.iter().map(|field| field.initial.clone()).collect())
}

/// The fields that are `wanted`, each with its value of `values`.
pub(crate) fn rows(
    fields: &[Field],
    values: RwSignal<Vec<String>>,
    wanted: impl Fn(&Field) -> bool,
) -> Vec<AnyView> {
    let numbered = fields.iter().enumerate().filter(|(_, field)| wanted(field));
    numbered.map(|(index, field)| row(index, field.clone(), values).into_any()).collect()
}

fn row(index: usize, field: Field, values: RwSignal<Vec<String>>) -> impl IntoView {
    let value = move || values.with(|values| values[index].clone());
    let set = move |value: String| values.update(|values| values[index] = value);
    let input = match field.kind.clone() {
        FieldKind::Switch => view! {
            <input type="checkbox" prop:checked=move || value() == "true"
                on:change=move |event| set(event_target_checked(&event).to_string())/>
        }
        .into_any(),
        FieldKind::Choice(choices) => view! {
            <select required=field.required prop:value=value on:change=move |event| set(event_target_value(&event))>
                <option value=""></option>
                {choices.into_iter().map(|choice| {
                    let is_chosen = values.with_untracked(|values| values[index] == choice);
                    view! { <option value=choice.clone() selected=is_chosen>{choice.clone()}</option> }
                }).collect_view()}
            </select>
        }
        .into_any(),
        FieldKind::Number { .. } => view! {
            <input class="field" type="number" step="any" min=field.minimum required=field.required prop:value=value
                on:input=move |event| set(event_target_value(&event))/>
        }
        .into_any(),
        FieldKind::Text => {
            let (list, choices) = suggestions(&field);
            view! {
                <input class="field" type="text" list=list required=field.required prop:value=value
                    on:input=move |event| set(event_target_value(&event))/>
                {choices}
            }
            .into_any()
        }
    };
    view! {
        <label class="form-row">
            <span>{field.label}</span>
            {input}
            <span class="hint">{field.help}</span>
        </label>
    }
}

/// Values to choose from while typing: the list's id, and the list.
fn suggestions(field: &Field) -> (Option<String>, Option<impl IntoView + use<>>) {
    let id = (!field.suggestions.is_empty()).then(|| format!("suggestions-{}", field.key));
    let list = id.clone().map(|id| {
        let choices = field.suggestions.iter().map(|choice| view! { <option value=choice.clone()></option> });
        view! { <datalist id=id>{choices.collect_view()}</datalist> }
    });
    (id, list)
}
