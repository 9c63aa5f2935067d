//! What could serve next: loaded beside what serves, tried, promoted or let go.

use jnana_api::generations::Candidate;
use leptos::prelude::*;
use web_sys::SubmitEvent;

use super::desk::{Desk, Question, use_desk};
use super::fact;
use super::generations::hashes;
use super::trial::Trial;
use crate::api::admin as api;
use crate::browser;
use crate::logic::words;

/// All candidates, and the way to another one.
#[component]
pub(super) fn Candidates() -> impl IntoView {
    let desk = use_desk();
    // One at a time: a trial has the page's only message field.
    let tried = RwSignal::new(None::<String>);
    let list = move || desk.candidates.get().unwrap_or_default();
    let is_empty = move || desk.candidates.with(|list| list.as_ref().is_some_and(Vec::is_empty));
    view! {
        <section class="admin-card" aria-labelledby="admin-candidates">
            <h2 id="admin-candidates">"Candidates"</h2>
            <Show when=is_empty>
                <p class="hint">"Nothing is loaded beside what serves. A finished job can be loaded from its page."</p>
            </Show>
            <LoadForm/>
            <ul class="admin-cards">
                <For each=list key=|candidate| candidate.id.clone() children=move |candidate| {
                    view! { <li><Card candidate tried/></li> }
                }/>
            </ul>
        </section>
    }
}

#[component]
fn LoadForm() -> impl IntoView {
    let desk = use_desk();
    let path = RwSignal::new(String::new());
    let load = move |event: SubmitEvent| {
        event.prevent_default();
        let folder = path.get_untracked().trim().to_owned();
        desk.ask(
            move |session| api::load_candidate(session, folder),
            move |_| {
                path.try_set(String::new());
            },
        );
    };
    view! {
        <form class="form" aria-label="Load a candidate" on:submit=load>
            <label class="form-row">
                <span>"Folder on the server"</span>
                <input class="field" type="text" required prop:value=path
                    on:input=move |event| path.set(event_target_value(&event))/>
                <span class="hint">"Of a job, of a run of training, or of a model; where it may lie, the server says."</span>
            </label>
            <div class="panel-row">
                <button type="submit" disabled=desk.is_busy>
                    {move || if desk.is_busy.get() { "Working…" } else { "Load" }}
                </button>
            </div>
        </form>
    }
}

#[component]
fn Card(candidate: Candidate, tried: RwSignal<Option<String>>) -> impl IntoView {
    let desk = use_desk();
    let Candidate { id, path, since, by, space, weights, weight_bytes, merged, notices, .. } = candidate;
    let name = format!("Candidate {id}");
    let id = StoredValue::new(id);
    let is_tried = Memo::new(move |_| tried.with(|tried| id.with_value(|id| tried.as_ref() == Some(id))));
    let toggle = move |_| {
        let now = (!is_tried.get_untracked()).then(|| id.get_value());
        tried.set(now);
    };
    let remove = move |_| {
        let id = id.get_value();
        desk.ask(move |session| api::drop_candidate(session, id), |()| {});
    };
    let merged = if merged { "yes: a promotion compares it with its base and adapter first" } else { "no" };
    view! {
        <article class="admin-card" aria-label=name>
            <h3>{name.clone()}</h3>
            {notices.into_iter().map(|words| view! { <p class="trouble">{words}</p> }).collect_view()}
            <dl class="facts">
                {fact("Folder", path)}
                {fact("Loaded", browser::local_time(since))}
                {fact("By", by)}
                {fact("Memory", words::size(weight_bytes))}
                {fact("Embedding space", space)}
                {fact("Merged", merged)}
                {hashes(weights)}
            </dl>
            <div class="panel-row">
                <button type="button" aria-expanded=move || is_tried.get().to_string() on:click=toggle>"Try"</button>
                <button type="button" class="primary" disabled=desk.is_busy
                    on:click=move |_| desk.question.set(Some(promotion(desk, id.get_value())))>
                    "Promote"
                </button>
                <button type="button" class="danger" disabled=desk.is_busy on:click=remove>"Remove"</button>
            </div>
            <Show when=move || is_tried.get()><Trial candidate=id.get_value()/></Show>
        </article>
    }
}

fn promotion(desk: Desk, id: String) -> Question {
    let title = format!("Promote candidate {id}?");
    let promote = move |()| {
        let id = id.clone();
        desk.ask(move |session| api::promote(session, id), move |news| desk.generations.set(Some(news)));
    };
    Question {
        title,
        words: "It answers everybody's next questions. Answers that are being written end with the weights that they began \
            with, and one click rolls back."
            .to_owned(),
        action: "Promote",
        run: Callback::new(promote),
    }
}
