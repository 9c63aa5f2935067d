//! What is loaded: the model, its memory, its work; what served before, and what could serve next.

use jnana_api::admin::{MemoryFigures, ModelsOverview, RequestFigures};
use leptos::prelude::*;

use super::candidates::Candidates;
use super::desk::use_desk;
use super::fact;
use super::generations::Serving;
use crate::logic::words;

/// The page.
#[component]
pub(super) fn Models() -> impl IntoView {
    let desk = use_desk();
    view! {
        {move || desk.models.get().map(|overview| view! { <Overview overview/> })}
        <Serving/>
        <Candidates/>
    }
}

#[component]
fn Overview(overview: ModelsOverview) -> impl IntoView {
    let ModelsOverview { model, files, parameters, memory, requests } = overview;
    let projectors = files.projectors.into_iter();
    let projectors = projectors.map(|(plugin, file)| format!("{file} (for {plugin})")).collect::<Vec<_>>();
    let none = || "none".to_owned();
    let projectors = if projectors.is_empty() { none() } else { projectors.join(", ") };
    view! {
        <section class="admin-card" aria-labelledby="admin-model">
            <h2 id="admin-model">{model.id}</h2>
            <dl class="facts">
                {fact("Family", model.family)}
                {fact("Quantisation", model.dtype)}
                {fact("Parameters", words::large(parameters))}
                {fact("Runs on", model.device)}
                {fact("Context", words::count(model.context, "position"))}
                {fact("Embedding width", model.width.to_string())}
                {fact("Embedding space", model.space)}
                {fact("Weights", files.weights)}
                {fact("Adapter", files.adapter.unwrap_or_else(none))}
                {fact("Projectors", projectors)}
            </dl>
        </section>
        <Memory memory/>
        <Requests requests/>
    }
}

#[component]
fn Memory(memory: MemoryFigures) -> impl IntoView {
    let process = memory.process.map_or_else(|| "not known here".to_owned(), words::size);
    view! {
        <section class="admin-card" aria-labelledby="admin-memory">
            <h2 id="admin-memory">"Memory"</h2>
            <dl class="facts">
                {fact("Weights", words::size(memory.weights))}
                {fact("Caches in use", words::size(memory.live_caches))}
                {fact("Caches kept for reuse", words::size(memory.kept_caches))}
                {fact("Limit of all caches", words::size(memory.cache_limit))}
                {fact("Whole process", process)}
            </dl>
        </section>
    }
}

#[component]
fn Requests(requests: RequestFigures) -> impl IntoView {
    let of = |number: u64, limit: u64| format!("{number} of {limit}");
    view! {
        <section class="admin-card" aria-labelledby="admin-requests">
            <h2 id="admin-requests">"Requests"</h2>
            <dl class="facts">
                {fact("Being answered", of(requests.live, requests.live_limit))}
                {fact("Waiting", of(requests.queued, requests.queue_limit))}
                {fact("Finished", requests.finished.to_string())}
                {fact("Cancelled", requests.cancelled.to_string())}
                {fact("Failed", requests.failed.to_string())}
                {fact("Turned away", requests.refused.to_string())}
                {fact("Mean time", words::duration(requests.mean_ms))}
                {fact("Tokens of answers", requests.answer_tokens.to_string())}
                {fact("Positions of prompts", requests.prompt_positions.to_string())}
                {fact("Of them reused", requests.reused_positions.to_string())}
            </dl>
        </section>
    }
}
