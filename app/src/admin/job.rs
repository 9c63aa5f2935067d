//! One job: where it stands, its curves, and what it left behind.

use jnana_api::jobs::{Job, JobState, Product, Series};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Map, Value};

use super::chart::{Chart, Curve};
use super::desk::{Desk, Question, use_desk};
use super::follow::follow;
use super::log::Log;
use super::{PlaceLink, fact};
use crate::api::admin as api;
use crate::browser;
use crate::logic::admin_page::AdminPage;
use crate::logic::journal::{Checkpoint, Journal};
use crate::logic::plot::number;
use crate::logic::{jobs, words};

/// The page.
#[component]
pub(super) fn JobPage(id: String) -> impl IntoView {
    let desk = use_desk();
    desk.read_kinds();
    let journal = follow(desk, id.clone());
    let log = id.clone();
    let written = Memo::new(move |_| journal.with(|journal| journal.checkpoints.clone()));
    let job = Memo::new(move |_| desk.job(&id));
    refresh_on_news(desk, journal);
    let is_missing = move || desk.jobs.with(Option::is_some) && job.with(Option::is_none);
    view! {
        <p><PlaceLink place=AdminPage::Training>"All jobs"</PlaceLink></p>
        <Show when=is_missing><p class="hint">"This job does not exist, or no longer does."</p></Show>
        <Show when=move || job.with(Option::is_some)>
            <Standing job journal/>
        </Show>
        <Curves job journal/>
        <section class="admin-card" aria-labelledby="admin-left">
            <h2 id="admin-left">"What it leaves"</h2>
            {move || written.with(|written| checkpoints(written))}
            <Products job/>
            <Log id=log/>
        </section>
    }
}

/// What the job tells of its state comes before the next look at the list.
fn refresh_on_news(desk: Desk, journal: RwSignal<Journal>) {
    let state = Memo::new(move |_| journal.with(|journal| journal.state));
    Effect::new(move |before: Option<Option<JobState>>| {
        let now = state.get();
        if before.is_some_and(|before| before != now) {
            spawn_local(desk.refresh());
        }
        now
    });
}

#[component]
fn Standing(job: Memo<Option<Job>>, journal: RwSignal<Journal>) -> impl IntoView {
    // What does not change is not drawn again: somebody may have opened it.
    let filled =
        Memo::new(move |_| job.with(|job| job.as_ref().map(|job| job.settings.clone()).unwrap_or_default()));
    let reason = move || {
        let reason = job.with(|job| job.as_ref().map(|job| job.reason.clone()));
        reason.filter(|words| !words.is_empty()).map(|words| view! { <p class="trouble">{words}</p> })
    };
    let remarks = Memo::new(move |_| journal.with(|journal| journal.remarks.clone()));
    let remark_list = move || {
        let remarks = remarks.get();
        let remarks = remarks.into_iter().map(|remark| view! { <li>{remark}</li> }).collect_view();
        view! { <ul class="lines" aria-label="Remarks">{remarks}</ul> }
    };
    view! {
        <section class="admin-card" aria-labelledby="admin-job">
            <h2 id="admin-job">"Job"</h2>
            {move || job.get().map(|job| journal.with(|journal| facts(&job, journal)))}
            {reason}
            <Show when=move || !remarks.with(Vec::is_empty)>{remark_list}</Show>
            <Actions job/>
            {move || filled.with(settings)}
        </section>
    }
}

fn facts(job: &Job, journal: &Journal) -> impl IntoView + use<> {
    let steps = (journal.steps > 0).then(|| format!("{} of {}", journal.step, journal.steps));
    let is_running = job.state == JobState::Running;
    let left = job.started_at.filter(|_| is_running).and_then(|start| journal.left(since(start)));
    let (kind, plugin) = (job.kind.clone(), job.plugin.clone());
    view! {
        <dl class="facts">
            {fact("State", jobs::state(job.state))}
            {steps.map(|steps| fact("Step", steps))}
            {left.map(|left| fact("Time left", words::rough_duration(left)))}
            {fact("Made", browser::local_time(job.created_at))}
            {job.ended_at.map(|at| fact("Ended", browser::local_time(at)))}
            {fact("Kind", kind)}
            {fact("Plugin", plugin)}
        </dl>
    }
}

/// Milliseconds since a time of the server's.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // times of this century
fn since(start: i64) -> u64 {
    (browser::now() - start as f64).max(0.0) as u64
}

fn settings(settings: &Map<String, Value>) -> impl IntoView + use<> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let facts = settings.iter().map(|(key, value)| fact(key.clone(), plain(value))).collect_view();
    (!settings.is_empty()).then(|| {
        view! { <details class="more"><summary>"Settings"</summary><dl class="facts">{facts}</dl></details> }
    })
}

/// What can be done with a job in its state.
#[component]
fn Actions(job: Memo<Option<Job>>) -> impl IntoView {
    let desk = use_desk();
    let known = Memo::new(move |_| {
        job.with(|job| job.as_ref().map(|job| (job.id.clone(), job.state, job.resumable)))
    });
    let stop =
        move |id: String| desk.ask(move |session| api::stop_job(session, id), move |job| desk.put_job(job));
    let resume =
        move |id: String| desk.ask(move |session| api::resume_job(session, id), move |job| desk.put_job(job));
    let buttons = move || {
        let (id, state, resumable) = known.get()?;
        let (to_stop, to_resume, to_delete) = (id.clone(), id.clone(), id);
        let again = if resumable { "Resume" } else { "Begin anew" };
        Some(view! {
            {matches!(state, JobState::Queued | JobState::Running).then(|| view! {
                <button type="button" disabled=desk.is_busy on:click=move |_| stop(to_stop.clone())>"Stop"</button>
            })}
            {state.can_resume().then(|| view! {
                <button type="button" class="primary" disabled=desk.is_busy on:click=move |_| resume(to_resume.clone())>
                    {again}
                </button>
            })}
            {(!state.is_active()).then(|| view! {
                <button type="button" class="danger" disabled=desk.is_busy
                    on:click=move |_| desk.question.set(Some(deletion(desk, to_delete.clone())))>
                    "Delete"
                </button>
            })}
        })
    };
    view! { <div class="panel-row">{buttons}</div> }
}

fn deletion(desk: Desk, id: String) -> Question {
    let delete = move |()| {
        let id = id.clone();
        desk.ask(move |session| api::delete_job(session, id), move |()| desk.go(AdminPage::Training));
    };
    Question {
        title: "Delete the job?".to_owned(),
        words: "Its log, its checkpoints and everything else in its folder will be gone for good.".to_owned(),
        action: "Delete",
        run: Callback::new(delete),
    }
}

/// A chart for each value that is worth one.
#[component]
fn Curves(job: Memo<Option<Job>>, journal: RwSignal<Journal>) -> impl IntoView {
    let desk = use_desk();
    let series = Memo::new(move |_| {
        let kind = job.with(|job| job.as_ref().map(|job| (job.plugin.clone(), job.kind.clone())));
        let offered = kind.map(|(plugin, kind)| desk.series(&plugin, &kind)).unwrap_or_default();
        journal.with(|journal| journal.series(&offered))
    });
    let newest = move || {
        let series = series.get();
        journal.with(|journal| {
            let newest = series.into_iter().filter_map(|Series { key, label, unit }| {
                let value = journal.curves.get(&key)?.last()?;
                Some(fact(label, format!("{} {unit}", number(value)).trim_end().to_owned()))
            });
            newest.collect_view()
        })
    };
    view! {
        <Show when=move || !series.with(Vec::is_empty)>
            <section class="admin-card" aria-labelledby="admin-curves">
                <h2 id="admin-curves">"Curves"</h2>
                <dl class="facts" aria-label="Newest values">{newest}</dl>
                <div class="charts">
                    <For each=move || series.get() key=|series| series.key.clone() children=move |series| {
                        let Series { key, label, unit } = series;
                        let curves = Memo::new(move |_| journal.with(|journal| both(journal, &key)));
                        let title = if unit.is_empty() { label } else { format!("{label} ({unit})") };
                        view! { <Chart title curves/> }
                    }/>
                </div>
            </section>
        </Show>
    }
}

/// The curves of a value: those of the two that there are.
fn both(journal: &Journal, key: &str) -> Vec<Curve> {
    let Some(measured) = journal.curves.get(key) else { return Vec::new() };
    let curves = [("Learned from", &measured.train), ("Held out", &measured.held_out)];
    let there = curves.into_iter().filter(|(_, points)| !points.is_empty());
    there.map(|(name, points)| Curve { name: name.to_owned(), points: points.clone() }).collect()
}

fn checkpoints(checkpoints: &[Checkpoint]) -> impl IntoView + use<> {
    if checkpoints.is_empty() {
        return view! { <p class="hint">"No checkpoint was written yet."</p> }.into_any();
    }
    let rows = checkpoints.iter().rev().map(|Checkpoint { step, folder, best }| {
        let (step, folder) = (step.to_string(), folder.clone());
        view! { <tr><th scope="row">{step}</th><td>{if *best { "yes" } else { "" }}</td><td>{folder}</td></tr> }
    });
    view! {
        <div class="table" role="region" tabindex="0" aria-label="Checkpoints">
            <table>
                <caption>"Checkpoints, the newest first"</caption>
                <thead><tr><th scope="col">"Step"</th><th scope="col">"Best"</th><th scope="col">"Folder"</th></tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// What a finished job left behind, and the way to try it.
#[component]
fn Products(job: Memo<Option<Job>>) -> impl IntoView {
    let desk = use_desk();
    let products =
        Memo::new(move |_| job.with(|job| job.as_ref().map(|job| job.products.clone()).unwrap_or_default()));
    let load = move |path: String| {
        desk.ask(move |session| api::load_candidate(session, path), move |_| desk.go(AdminPage::Models));
    };
    let row = |product: Product| {
        let name = product
            .plugin
            .map_or_else(|| product.kind.clone(), |plugin| format!("{} for {plugin}", product.kind));
        view! {
            <li>
                <strong>{name}</strong>" "{product.path}" "<span class="hint">{words::size(product.bytes)}</span>
                <br/><span class="hint">"sha256 "{product.sha256}</span>
            </li>
        }
    };
    move || {
        let products = products.get();
        let folder = jobs::candidate_folder(&products).map(str::to_owned);
        let candidate = folder.map(|folder| {
            view! {
                <p class="panel-row">
                    <button type="button" class="primary" disabled=desk.is_busy on:click=move |_| load(folder.clone())>
                        "Load beside the serving model"
                    </button>
                </p>
            }
        });
        (!products.is_empty()).then(|| {
            view! {
                <ul class="lines" aria-label="Products">{products.into_iter().map(row).collect_view()}</ul>
                {candidate}
            }
        })
    }
}
