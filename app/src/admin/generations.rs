//! What serves, what served before, and the way back.

use jnana_api::conversations::WeightHashes;
use jnana_api::generations::{Generation, Generations};
use leptos::prelude::*;

use super::desk::use_desk;
use super::fact;
use crate::api::admin as api;
use crate::browser;

/// The two generations.
#[component]
pub(super) fn Serving() -> impl IntoView {
    let desk = use_desk();
    let roll_back = move |_| desk.ask(api::roll_back, move |news| desk.generations.set(Some(news)));
    let shown = move || {
        desk.generations.get().map(|Generations { current, before, notices }| {
            let way_back = before.map(|before| {
                view! {
                    <h3>"Before it"</h3>
                    {facts(before)}
                    <div class="panel-row">
                        <button type="button" disabled=desk.is_busy on:click=roll_back>"Roll back"</button>
                    </div>
                }
            });
            view! {
                {notices.into_iter().map(|words| view! { <p class="trouble">{words}</p> }).collect_view()}
                <h3>"Serving now"</h3>
                {facts(current)}
                {way_back}
            }
        })
    };
    view! {
        <section class="admin-card" aria-labelledby="admin-generations">
            <h2 id="admin-generations">"Generations"</h2>
            {shown}
        </section>
    }
}

fn facts(generation: Generation) -> impl IntoView {
    let Generation { number, id, since, by, loaded, weights, .. } = generation;
    view! {
        <dl class="facts">
            {fact("Generation", format!("{number} ({id})"))}
            {fact("First served", browser::local_time(since))}
            {fact("Promoted by", by.unwrap_or_else(|| "nobody: it is the configured model".to_owned()))}
            {(!loaded).then(|| fact("In memory", "no: it is loaded when it is gone back to"))}
            {hashes(weights)}
        </dl>
    }
}

/// Hashes of weights, as figures of a `<dl class="facts">`.
pub(super) fn hashes(weights: WeightHashes) -> impl IntoView {
    let projectors = weights.projectors.into_iter();
    let projectors = projectors.map(|(plugin, hash)| fact(format!("Projector for {plugin}, sha256"), hash));
    view! {
        {fact("Core, sha256", weights.core)}
        {weights.adapter.map(|hash| fact("Adapter, sha256", hash))}
        {projectors.collect_view()}
    }
}
