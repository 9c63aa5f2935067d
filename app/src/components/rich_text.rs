//! Markdown on the page: each block is drawn by itself, so that a growing text redraws only its end.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, MouseEvent};

use crate::actions;
use crate::logic::markdown;
use crate::store::use_store;

/// Markdown, safe to show (see [`markdown`]).
#[component]
pub(crate) fn RichText(text: Memo<String>) -> impl IntoView {
    let store = use_store();
    let blocks = Memo::new(move |_| text.with(|text| markdown::blocks(text)));
    let copy_code = move |event: MouseEvent| {
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let button = target.and_then(|target| target.closest(".code-copy").ok().flatten());
        let code = button.and_then(|button| button.closest(".code").ok().flatten());
        let code = code.and_then(|block| block.query_selector("code").ok().flatten());
        if let Some(text) = code.and_then(|code| code.text_content()) {
            actions::copy(store, text);
        }
    };
    view! {
        <div class="rich" dir="auto" on:click=copy_code>
            <For each=move || 0..blocks.with(Vec::len) key=|index| *index children=move |index| {
                let block = Memo::new(move |_| blocks.with(|blocks| blocks.get(index).cloned()).unwrap_or_default());
                view! { <div class="block" inner_html=move || block.get()></div> }
            }/>
        </div>
    }
}
