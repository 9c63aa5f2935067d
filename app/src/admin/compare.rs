//! The most important value of several jobs in one chart: on what is learned from, and on what is held out.

use std::collections::BTreeSet;

use jnana_api::jobs::Series;
use leptos::prelude::*;

use super::chart::{Chart, Curve};
use super::desk::{Desk, use_desk};
use super::follow::follow;
use crate::logic::journal::{Journal, Measured};
use crate::logic::plot::Point;

/// A job that is followed.
type Followed = (String, RwSignal<Journal>);

/// The chosen jobs beside each other.
#[component]
pub(super) fn Comparison(chosen: RwSignal<BTreeSet<String>>) -> impl IntoView {
    let desk = use_desk();
    let followed = follow_chosen(desk, chosen);
    let curves = move |of: fn(&Measured) -> &Vec<Point>| {
        Memo::new(move |_| {
            let chosen = chosen.get();
            let jobs = followed.get().into_iter().filter(|(id, _)| chosen.contains(id));
            jobs.filter_map(|(id, journal)| curve(desk, &id, journal, of)).collect::<Vec<_>>()
        })
    };
    let (train, held_out) = (curves(|measured| &measured.train), curves(|measured| &measured.held_out));
    view! {
        <section class="admin-card" aria-labelledby="admin-comparison">
            <h2 id="admin-comparison">"Comparison"</h2>
            <Show when=move || chosen.with(BTreeSet::is_empty)>
                <p class="hint">"Tick jobs in the list to see their losses in one chart."</p>
            </Show>
            <Show when=move || !chosen.with(BTreeSet::is_empty)>
                <Chart title="On what is learned from" curves=train/>
                <Chart title="On what is held out" curves=held_out/>
            </Show>
        </section>
    }
}

/// Follows each job that is chosen, until the page is left: one that is chosen again is there at once.
fn follow_chosen(desk: Desk, chosen: RwSignal<BTreeSet<String>>) -> RwSignal<Vec<Followed>> {
    let followed = RwSignal::new(Vec::<Followed>::new());
    let owner = Owner::current();
    Effect::new(move |_| {
        for id in chosen.get() {
            let is_new = followed.with_untracked(|followed| followed.iter().all(|(known, _)| *known != id));
            if let Some(owner) = owner.as_ref().filter(|_| is_new) {
                let journal = owner.with(|| follow(desk, id.clone()));
                followed.update(|followed| followed.push((id, journal)));
            }
        }
    });
    followed
}

fn curve(
    desk: Desk,
    id: &str,
    journal: RwSignal<Journal>,
    of: fn(&Measured) -> &Vec<Point>,
) -> Option<Curve> {
    let job = desk.job(id)?;
    let key = leading(desk, &job.plugin, &job.kind)?;
    let points = journal.with(|journal| journal.curves.get(&key).map(|measured| of(measured).clone()));
    let name = format!("{} ({})", job.title, short(id));
    Some(Curve { name, points: points.unwrap_or_default() })
}

/// The most important value of a kind of job.
fn leading(desk: Desk, plugin: &str, kind: &str) -> Option<String> {
    desk.series(plugin, kind).into_iter().next().map(|Series { key, .. }| key)
}

/// Enough of an id to tell jobs of one title apart.
fn short(id: &str) -> &str {
    id.char_indices().nth_back(5).map_or(id, |(start, _)| &id[start..])
}
