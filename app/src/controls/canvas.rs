//! A surface to draw on with a pen, a finger or a mouse; the strokes are sent as points.

use jnana_api::plugins::PluginInfo;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, PointerEvent};

use super::file::FilePicker;
use crate::browser;
use crate::logic::strokes::{self, Drawing, Point};
use crate::tray::Tray;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 400;

/// The drawing's panel.
#[component]
pub(super) fn Canvas(plugin: StoredValue<PluginInfo>, tray: Tray) -> impl IntoView {
    let surface = NodeRef::<html::Canvas>::new();
    let drawing = RwSignal::new(Drawing { width: WIDTH, height: HEIGHT, ..Drawing::default() });
    let begun = StoredValue::new(None::<f64>);
    let is_down = StoredValue::new(false);
    let is_empty = Memo::new(move |_| drawing.with(|drawing| drawing.strokes.is_empty()));
    Effect::new(move |_| {
        if let Some(surface) = surface.get() {
            drawing.with(|drawing| draw(&surface, drawing));
        }
    });
    let down = move |event: PointerEvent| {
        let Some(surface) = surface.get_untracked() else { return };
        event.prevent_default();
        // Strokes that leave the surface still end on it.
        drop(surface.set_pointer_capture(event.pointer_id()));
        is_down.set_value(true);
        let first = *begun.write_value().get_or_insert_with(browser::now);
        drawing.update(|drawing| drawing.begin(point(&surface, &event, first)));
    };
    let moved = move |event: PointerEvent| {
        if let (true, Some(surface), Some(first)) =
            (is_down.get_value(), surface.get_untracked(), begun.get_value())
        {
            drawing.update(|drawing| drawing.extend(point(&surface, &event, first)));
        }
    };
    let up = move |_| is_down.set_value(false);
    let add = move |_| {
        if let Ok(blob) = browser::blob(drawing.with_untracked(Drawing::to_json).as_bytes(), strokes::MIME) {
            plugin.with_value(|plugin| tray.add(plugin, blob));
            tray.close();
        }
    };
    view! {
        <canvas node_ref=surface class="surface" width=WIDTH height=HEIGHT role="img"
            aria-label="Drawing surface"
            on:pointerdown=down on:pointermove=moved on:pointerup=up on:pointercancel=up></canvas>
        <div class="panel-row">
            <button type="button" class="primary" on:click=add disabled=is_empty>"Use"</button>
            <button type="button" on:click=move |_| drawing.update(Drawing::undo) disabled=is_empty>
                "Undo"
            </button>
            <button type="button" on:click=move |_| drawing.update(|drawing| drawing.strokes.clear())
                disabled=is_empty>
                "Clear"
            </button>
        </div>
        <FilePicker plugin tray prominent=false/>
    }
}

/// A pointer's place in the surface's own pixels, whatever size it is shown at.
#[allow(clippy::cast_possible_truncation)] // pixels and milliseconds
fn point(surface: &HtmlCanvasElement, event: &PointerEvent, begun: f64) -> Point {
    let shown = surface.get_bounding_client_rect();
    let x = (f64::from(event.client_x()) - shown.left()) * f64::from(WIDTH) / shown.width().max(1.0);
    let y = (f64::from(event.client_y()) - shown.top()) * f64::from(HEIGHT) / shown.height().max(1.0);
    Point { x: x as f32, y: y as f32, t: (browser::now() - begun) as f32 }
}

fn draw(surface: &HtmlCanvasElement, drawing: &Drawing) {
    let Ok(Some(context)) = surface.get_context("2d") else { return };
    let context: CanvasRenderingContext2d = context.unchecked_into();
    context.clear_rect(0.0, 0.0, WIDTH.into(), HEIGHT.into());
    context.set_line_width(3.0);
    context.set_line_cap("round");
    context.set_line_join("round");
    context.set_stroke_style_str("#1f1d2b");
    for stroke in &drawing.strokes {
        context.begin_path();
        for (index, point) in stroke.iter().enumerate() {
            let (x, y) = (f64::from(point.x), f64::from(point.y));
            if index == 0 {
                context.move_to(x, y);
            }
            context.line_to(x, y);
        }
        context.stroke();
    }
}
