//! Jobs: what can be started, what there is, and how several of them went.

use std::collections::BTreeSet;

use leptos::prelude::*;

use super::PlaceLink;
use super::compare::Comparison;
use super::desk::use_desk;
use super::new_job::NewJob;
use crate::logic::admin_page::Place;
use crate::logic::jobs;

/// The page.
#[component]
pub(super) fn Training() -> impl IntoView {
    let desk = use_desk();
    desk.read_kinds();
    let chosen = RwSignal::new(BTreeSet::new());
    let ids = Memo::new(move |_| {
        let jobs = desk.jobs.get().unwrap_or_default();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    });
    let is_empty = move || desk.jobs.with(|jobs| jobs.as_ref().is_some_and(Vec::is_empty));
    view! {
        <NewJob/>
        <section class="admin-card" aria-labelledby="admin-jobs">
            <h2 id="admin-jobs">"Jobs"</h2>
            <Show when=is_empty><p class="hint">"No job was started yet."</p></Show>
            <ul class="job-list">
                <For each=move || ids.get() key=Clone::clone children=move |id| view! { <Row id chosen/> }/>
            </ul>
        </section>
        <Comparison chosen/>
    }
}

#[component]
fn Row(id: String, chosen: RwSignal<BTreeSet<String>>) -> impl IntoView {
    let desk = use_desk();
    let place = Place::job(id.clone());
    let id = StoredValue::new(id);
    let job = Memo::new(move |_| id.with_value(|id| desk.job(id)));
    let title =
        Memo::new(move |_| job.with(|job| job.as_ref().map(|job| job.title.clone()).unwrap_or_default()));
    let state = move || job.with(|job| job.as_ref().map(|job| jobs::state(job.state)));
    let progress = move || {
        let progress = job.with(|job| job.as_ref().and_then(|job| job.progress));
        progress.map(|progress| format!("step {} of {}", progress.step, progress.steps))
    };
    let choose = move |event| {
        let is_chosen = event_target_checked(&event);
        chosen.update(|chosen| {
            let id = id.get_value();
            let _changed = if is_chosen { chosen.insert(id) } else { chosen.remove(&id) };
        });
    };
    view! {
        <li>
            <input type="checkbox" aria-label=move || format!("Compare {}", title.get()) on:change=choose/>
            <PlaceLink place=place>{title}</PlaceLink>
            <span class="badge">{state}</span>
            <span class="hint">{progress}</span>
        </li>
    }
}
