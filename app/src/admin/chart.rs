//! Curves over steps as a drawing, with a legend, a summary in words and a table of the same values.

use leptos::html;
use leptos::prelude::*;

use crate::logic::plot::{self, Mark, Plot, Point, number, plot};

/// Pixels.
const HEIGHT: f64 = 260.0;
const FIRST_WIDTH: f64 = 640.0;
/// Looks of curves that the style sheet tells apart, by colour and by dashes.
const LOOKS: usize = 6;
/// A curve of so few points shows each of them.
const MOST_DOTS: usize = 40;
const MOST_ROWS: usize = 20;

/// A curve with its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    /// For people.
    pub(super) name: String,
    /// In the order of their steps.
    pub(super) points: Vec<Point>,
}

/// A chart as wide as its place.
#[component]
pub(super) fn Chart(#[prop(into)] title: String, curves: Memo<Vec<Curve>>) -> impl IntoView {
    let width = RwSignal::new(FIRST_WIDTH);
    let figure = NodeRef::<html::Figure>::new();
    let measure = move || {
        let now = figure.get_untracked().map(|figure| figure.get_bounding_client_rect().width());
        if let Some(now) = now.filter(|now| *now > 0.0) {
            width.set(now);
        }
    };
    Effect::new(move |_| {
        figure.track();
        measure();
    });
    let resized = window_event_listener(leptos::ev::resize, move |_| measure());
    on_cleanup(move || resized.remove());
    let name = StoredValue::new(title.clone());
    let drawing = move || {
        curves.with(|curves| {
            let points: Vec<&[Point]> = curves.iter().map(|curve| curve.points.as_slice()).collect();
            let Some(plot) = plot(&points, width.get(), HEIGHT) else {
                return view! { <p class="hint">"No values yet."</p> }.into_any();
            };
            let summary = name.with_value(|name| summary(name, curves));
            view! { <Drawing plot width=width.get() summary/> }.into_any()
        })
    };
    view! {
        <figure class="chart" node_ref=figure>
            <figcaption>{title}</figcaption>
            {drawing}
            <Legend curves/>
            <Values curves name/>
        </figure>
    }
}

#[component]
fn Drawing(plot: Plot, width: f64, summary: String) -> impl IntoView {
    let [left, top, right, bottom] = plot.plane;
    let lines = plot.lines.into_iter().enumerate().map(|(index, points)| line(index, &points)).collect_view();
    view! {
        <svg class="chart-plane" viewBox=format!("0 0 {width:.0} {HEIGHT:.0}") role="img" aria-label=summary>
            <g class="chart-grid">
                {plot.y.into_iter().map(|mark| across(mark, left, right)).collect_view()}
                {plot.x.into_iter().map(|mark| upwards(mark, top, bottom)).collect_view()}
            </g>
            {lines}
        </svg>
    }
}

/// A mark of the values with its line through the plane.
fn across(Mark { at, label }: Mark, left: f64, right: f64) -> impl IntoView {
    let at = pixels(at);
    view! {
        <line x1=pixels(left) x2=pixels(right) y1=at.clone() y2=at.clone()></line>
        <text x=pixels(left - 8.0) y=at text-anchor="end" dominant-baseline="middle">{label}</text>
    }
}

/// A mark of the steps with its line through the plane.
fn upwards(Mark { at, label }: Mark, top: f64, bottom: f64) -> impl IntoView {
    let at = pixels(at);
    view! {
        <line x1=at.clone() x2=at.clone() y1=pixels(top) y2=pixels(bottom)></line>
        <text x=at y=pixels(bottom + 18.0) text-anchor="middle">{label}</text>
    }
}

fn line(index: usize, points: &[Point]) -> impl IntoView + use<> {
    let class = look(index);
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let dots = (points.len() <= MOST_DOTS).then(|| {
        let class = class.clone();
        let dot = move |(x, y): &Point| view! { <circle class=class.clone() cx=pixels(*x) cy=pixels(*y) r="3"></circle> };
        points.iter().map(dot).collect_view()
    });
    view! {
        <polyline class=class points=path.join(" ")></polyline>
        {dots}
    }
}

fn look(index: usize) -> String {
    format!("curve curve-{}", index % LOOKS)
}

fn pixels(value: f64) -> String {
    format!("{value:.1}")
}

#[component]
fn Legend(curves: Memo<Vec<Curve>>) -> impl IntoView {
    let names = Memo::new(move |_| {
        curves.with(|curves| curves.iter().map(|curve| curve.name.clone()).collect::<Vec<_>>())
    });
    let entry = |(index, name): (usize, String)| {
        view! {
            <li>
                <svg class="legend-line" viewBox="0 0 32 8" aria-hidden="true" focusable="false">
                    <line class=look(index) x1="0" x2="32" y1="4" y2="4"></line>
                </svg>
                {name}
            </li>
        }
    };
    view! { <ul class="legend">{move || names.get().into_iter().enumerate().map(entry).collect_view()}</ul> }
}

/// The drawing in words.
fn summary(title: &str, curves: &[Curve]) -> String {
    let curves = curves.iter().filter_map(|curve| {
        let (first, last) = (curve.points.first()?, curve.points.last()?);
        let [from, to] =
            [first, last].map(|point| format!("{} at step {}", number(point.1), number(point.0)));
        Some(format!("{}: {from}, {to}", curve.name))
    });
    format!("{title} over steps. {}.", curves.collect::<Vec<_>>().join("; "))
}

/// The values as a table, made when somebody opens it.
#[component]
fn Values(curves: Memo<Vec<Curve>>, name: StoredValue<String>) -> impl IntoView {
    let is_open = RwSignal::new(false);
    view! {
        <details class="chart-values" on:toggle=move |_| is_open.update(|open| *open = !*open)>
            <summary>"As a table"<span class="sr">": "{name.get_value()}</span></summary>
            <div class="table" role="region" tabindex="0" aria-label=format!("{}: table", name.get_value())>
                {move || is_open.get().then(|| curves.with(|curves| table(curves)))}
            </div>
        </details>
    }
}

fn table(curves: &[Curve]) -> impl IntoView + use<> {
    let heads = curves.iter().map(|curve| view! { <th scope="col">{curve.name.clone()}</th> }).collect_view();
    let rows = steps(curves).into_iter().map(|step| {
        let values = curves.iter().map(|curve| plot::value_at(&curve.points, step));
        let cells = values.map(|value| view! { <td>{value.map_or_else(|| "–".to_owned(), number)}</td> });
        view! { <tr><th scope="row">{number(step)}</th>{cells.collect_view()}</tr> }
    });
    let rows = rows.collect_view();
    view! {
        <table>
            <caption>"The newest value at each step"</caption>
            <thead><tr><th scope="col">"Step"</th>{heads}</tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
}

/// Some of the steps at which there are values, the last one among them.
fn steps(curves: &[Curve]) -> Vec<f64> {
    let mut steps: Vec<f64> =
        curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0)).collect();
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    let stride = steps.len().div_ceil(MOST_ROWS).max(1);
    let mut some: Vec<f64> = steps.iter().rev().step_by(stride).copied().collect();
    some.reverse();
    some
}
