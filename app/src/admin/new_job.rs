//! A job is chosen, filled in, checked and started.

use jnana_api::jobs::{NewJob as Request, OfferedKind, Preview};
use leptos::prelude::*;
use web_sys::SubmitEvent;

use super::desk::{Desk, use_desk};
use super::fact;
use crate::api::admin as api;
use crate::controls::form;
use crate::logic::admin_page::Place;
use crate::logic::schema::{self, Field};
use crate::logic::words;

/// The way to a new job.
#[component]
pub(super) fn NewJob() -> impl IntoView {
    let desk = use_desk();
    let chosen = RwSignal::new(0usize);
    let choice = move || {
        desk.kinds.get().map(|kinds| match kinds.is_empty() {
            true => view! { <p class="hint">"No plugin that is installed offers jobs."</p> }.into_any(),
            false => view! { <KindChoice kinds chosen/> }.into_any(),
        })
    };
    let kind = move || desk.kinds.with(|kinds| kinds.as_ref()?.get(chosen.get()).cloned());
    view! {
        <section class="admin-card" aria-labelledby="admin-new-job">
            <h2 id="admin-new-job">"New job"</h2>
            {choice}
            {move || kind().map(|kind| view! { <KindForm kind/> })}
        </section>
    }
}

#[component]
fn KindChoice(kinds: Vec<OfferedKind>, chosen: RwSignal<usize>) -> impl IntoView {
    let options = kinds.into_iter().enumerate().map(|(index, offered)| {
        let is_chosen = chosen.get_untracked() == index;
        let label = format!("{} ({})", offered.kind.label, offered.plugin_name);
        view! { <option value=index.to_string() selected=is_chosen>{label}</option> }
    });
    view! {
        <label class="form-row">
            <span>"Kind of job"</span>
            <select on:change=move |event| chosen.set(event_target_value(&event).parse().unwrap_or_default())>
                {options.collect_view()}
            </select>
        </label>
    }
}

/// A form that is being filled in; a handle that is copied around.
#[derive(Clone, Copy)]
struct Draft {
    desk: Desk,
    kind: StoredValue<OfferedKind>,
    fields: StoredValue<Vec<Field>>,
    values: RwSignal<Vec<String>>,
    title: RwSignal<String>,
    /// What the server said of the form as it is now.
    preview: RwSignal<Option<Preview>>,
    problem: RwSignal<String>,
}

impl Draft {
    /// What is asked for; what keeps it from being sent is shown.
    fn request(self) -> Option<Request> {
        let filled = self.fields.with_value(|fields| schema::object(fields, &self.values.get_untracked()));
        self.problem.set(filled.as_ref().err().map(ToString::to_string).unwrap_or_default());
        let title = self.title.get_untracked().trim().to_owned();
        self.kind.with_value(|offered| {
            Some(Request {
                plugin: offered.plugin.clone(),
                kind: offered.kind.kind.clone(),
                title,
                settings: filled.ok()?,
            })
        })
    }

    fn check(self) {
        let Some(request) = self.request() else { return };
        let asked = request.clone();
        self.desk.ask(
            move |session| api::check_job(session, request),
            move |preview| {
                // The form may have been changed, or left, meanwhile.
                if !self.preview.is_disposed() && self.request() == Some(asked) {
                    self.preview.set(Some(preview));
                }
            },
        );
    }

    fn start(self) {
        let Some(request) = self.request() else { return };
        let desk = self.desk;
        desk.ask(
            move |session| api::start_job(session, request),
            move |job| {
                let place = Place::job(job.id.clone());
                desk.put_job(job);
                desk.go(place);
            },
        );
    }

    fn is_checked(self) -> bool {
        self.preview.with(|preview| preview.as_ref().is_some_and(|preview| preview.refusal.is_none()))
    }
}

#[component]
fn KindForm(kind: OfferedKind) -> impl IntoView {
    let fields = schema::fields(&kind.kind.schema);
    let values = form::initial(&fields);
    let required = form::rows(&fields, values, |field| field.required);
    let others = form::rows(&fields, values, |field| !field.required);
    let description = kind.kind.description.clone();
    let label = kind.kind.label.clone();
    let draft = Draft {
        desk: use_desk(),
        kind: StoredValue::new(kind),
        fields: StoredValue::new(fields),
        values,
        title: RwSignal::new(String::new()),
        preview: RwSignal::new(None),
        problem: RwSignal::new(String::new()),
    };
    forget_old_preview(draft);
    let check = move |event: SubmitEvent| {
        event.prevent_default();
        draft.check();
    };
    let is_off = move || draft.desk.is_busy.get();
    view! {
        <form class="form" aria-label=label on:submit=check>
            <p class="hint">{description}</p>
            {required}
            {(!others.is_empty()).then(|| view! {
                <details class="more"><summary>"More settings"</summary><div class="form">{others}</div></details>
            })}
            <label class="form-row">
                <span>"Title"</span>
                <input class="field" type="text" maxlength="200" placeholder=label.clone() prop:value=draft.title
                    on:input=move |event| draft.title.set(event_target_value(&event))/>
            </label>
            <p class="trouble" role="alert" hidden=move || draft.problem.with(String::is_empty)>{draft.problem}</p>
            <div class="panel-row">
                <button type="submit" disabled=is_off>"Check"</button>
                <button type="button" class="primary" disabled=move || is_off() || !draft.is_checked()
                    on:click=move |_| draft.start()>
                    "Start"
                </button>
                <Show when=move || !draft.is_checked()><span class="hint">"Check first: nothing is started by it."</span></Show>
            </div>
            <div role="status">
                {move || draft.preview.get().map(|preview| view! { <Findings preview/> })}
            </div>
        </form>
    }
}

/// What was said of other settings says nothing of these.
fn forget_old_preview(draft: Draft) {
    Effect::new(move |before: Option<()>| {
        draft.values.track();
        if before.is_some() {
            draft.preview.set(None);
        }
    });
}

/// What a check found.
#[component]
fn Findings(preview: Preview) -> impl IntoView {
    let Preview { refusal, estimate, findings } = preview;
    let seconds = estimate.seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rough time
    let time = seconds.map(|seconds| words::rough_duration((seconds * 1_000.0) as u64));
    let counts =
        findings.counts.into_iter().map(|(what, count)| fact(what, count.to_string())).collect_view();
    view! {
        <section class="findings" aria-label="Findings">
            {refusal.map(|words| view! { <p class="trouble">{words}</p> })}
            <dl class="facts">
                {estimate.memory.map(|bytes| fact("Memory", words::size(bytes)))}
                {time.map(|time| fact("Time", time))}
                {counts}
            </dl>
            {(!estimate.cost.is_empty()).then(|| view! { <p>{estimate.cost}</p> })}
            <Lines title="Samples" lines=findings.samples/>
            <Lines title="First errors" lines=findings.errors/>
        </section>
    }
}

/// A few lines under a heading; nothing when there are none.
#[component]
fn Lines(title: &'static str, lines: Vec<String>) -> impl IntoView {
    (!lines.is_empty()).then(|| {
        let lines = lines.into_iter().map(|line| view! { <li dir="auto">{line}</li> }).collect_view();
        view! { <h3>{title}</h3><ul class="lines" aria-label=title>{lines}</ul> }
    })
}
