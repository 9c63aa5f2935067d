//! A dialog over the page; the browser keeps the focus inside and closes it on Escape.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlDialogElement;

/// A modal dialog with a heading. `closed` is called when it is closed in any way, and has to take it off the page.
#[component]
pub(crate) fn Modal(
    #[prop(into)] title: String,
    closed: impl Fn() + 'static,
    children: Children,
) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        if let Some(dialog) = dialog.get()
            && !dialog.open()
        {
            drop(dialog.show_modal());
        }
    });
    view! {
        <dialog class="dialog" node_ref=dialog aria-labelledby="dialog-title" on:close=move |_| closed()>
            <h2 id="dialog-title">{title}</h2>
            {children()}
        </dialog>
    }
}

/// Closes the open dialog as Escape would, so that the focus goes back to where it was.
pub(crate) fn close() {
    let open = document().query_selector("dialog[open]").ok().flatten();
    if let Some(dialog) = open.and_then(|dialog| dialog.dyn_into::<HtmlDialogElement>().ok()) {
        dialog.close();
    }
}
