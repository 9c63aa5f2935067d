//! Asks before something is done that cannot be taken back, or that everybody will notice.

use leptos::prelude::*;

use super::desk::{Question, use_desk};
use crate::components::modal::{Modal, close};

/// The open question.
#[component]
pub(super) fn Asked() -> impl IntoView {
    let desk = use_desk();
    move || {
        desk.question.get().map(|Question { title, words, action, run }| {
            let act = move |_| {
                close();
                run.run(());
            };
            view! {
                <Modal title=title closed=move || desk.question.set(None)>
                    <p>{words}</p>
                    <div class="panel-row end">
                        <button type="button" on:click=|_| close()>"Cancel"</button>
                        <button type="button" class="primary" on:click=act>{action}</button>
                    </div>
                </Modal>
            }
        })
    }
}
