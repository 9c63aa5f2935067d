//! What is installed: where each plugin stands and what it has done.

use jnana_api::admin::{PluginActivity, PluginReport};
use jnana_api::plugins::{Manifest, PluginInfo, PluginState};
use leptos::prelude::*;

use super::desk::use_desk;
use super::fact;
use crate::logic::words;

/// The page.
#[component]
pub(super) fn Plugins() -> impl IntoView {
    let desk = use_desk();
    move || {
        desk.plugins.get().map(|reports| {
            if reports.is_empty() {
                return view! { <p class="hint">"No plugins are installed."</p> }.into_any();
            }
            let cards = reports.into_iter().map(|report| view! { <li><Card report/></li> }).collect_view();
            view! { <ul class="admin-cards">{cards}</ul> }.into_any()
        })
    }
}

#[component]
fn Card(report: PluginReport) -> impl IntoView {
    let PluginReport { plugin, activity } = report;
    let PluginInfo { id, manifest, state, status, file, sha256, .. } = plugin;
    let title = manifest.as_ref().map_or_else(|| id.clone(), |manifest| manifest.name.clone());
    let about = manifest.as_ref().map(|manifest| manifest.description.clone()).unwrap_or_default();
    let (state, reason) = match state {
        PluginState::Ready => ("ready", None),
        PluginState::Disabled => ("switched off", None),
        PluginState::Failed { reason } => ("not working", Some(reason)),
    };
    view! {
        <article class="admin-card" aria-label=title>
            <h2>{title.clone()}" "<span class="badge">{state}</span></h2>
            <p class="hint">{about}</p>
            {reason.map(|reason| view! { <p class="trouble">{reason}</p> })}
            {(!status.is_empty()).then(|| view! { <p>{status}</p> })}
            <dl class="facts">
                {activity.map(|activity| view! { <Activity activity/> })}
                {manifest.map(|manifest| view! { <Abilities manifest/> })}
                {fact("Id", id)}
                {fact("Library", file)}
                {fact("sha256", sha256)}
            </dl>
        </article>
    }
}

#[component]
fn Activity(activity: PluginActivity) -> impl IntoView {
    let mean = activity.mean_ms().map_or_else(|| "no call yet".to_owned(), words::duration);
    let PluginActivity { calls, errors, panics, faults, .. } = activity;
    let faults = faults.join("; ");
    view! {
        {fact("Calls", calls.to_string())}
        {fact("Errors", errors.to_string())}
        {fact("Panics", panics.to_string())}
        {fact("Mean time of a call", mean)}
        {(!faults.is_empty()).then(|| fact("Breaches of the contract", faults))}
    }
}

#[component]
fn Abilities(manifest: Manifest) -> impl IntoView {
    let listed = |words: &[String]| if words.is_empty() { "nothing".to_owned() } else { words.join(", ") };
    view! {
        {fact("Version", manifest.version)}
        {fact("Kinds", listed(&manifest.kinds))}
        {fact("Needs", listed(&manifest.needs))}
        {fact("Calls at once", manifest.max_concurrency.to_string())}
        {fact("Largest input", words::size(manifest.max_input_bytes))}
    }
}
