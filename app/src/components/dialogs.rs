//! The dialogs of the conversations.

use jnana_api::conversations::Summary;
use leptos::prelude::*;

use super::modal::{Modal, close};
use super::settings_dialog::SettingsDialog;
use crate::actions;
use crate::store::{Dialog, use_store};

/// The open dialog.
#[component]
pub(super) fn Dialogs() -> impl IntoView {
    let store = use_store();
    move || {
        store.dialog.get().map(|dialog| match dialog {
            Dialog::Settings => view! { <SettingsDialog/> }.into_any(),
            Dialog::Rename(summary) => view! { <RenameDialog summary/> }.into_any(),
            Dialog::Delete(summary) => view! { <DeleteDialog summary/> }.into_any(),
        })
    }
}

#[component]
fn RenameDialog(summary: Summary) -> impl IntoView {
    let store = use_store();
    let title = RwSignal::new(summary.title);
    let id = StoredValue::new(summary.id);
    let save = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        let title = title.get_untracked().trim().to_owned();
        if !title.is_empty() {
            actions::rename(store, id.get_value(), title);
            close();
        }
    };
    view! {
        <Modal title="Rename the conversation" closed=move || store.dialog.set(None)>
            <form on:submit=save>
                <label class="form-row">
                    <span>"Title"</span>
                    <input class="field" type="text" maxlength="200" required prop:value=title
                        on:input=move |event| title.set(event_target_value(&event))/>
                </label>
                <div class="panel-row end">
                    <button type="button" on:click=|_| close()>"Cancel"</button>
                    <button type="submit" class="primary">"Save"</button>
                </div>
            </form>
        </Modal>
    }
}

#[component]
fn DeleteDialog(summary: Summary) -> impl IntoView {
    let store = use_store();
    let id = StoredValue::new(summary.id);
    let delete = move |_| {
        actions::delete(store, id.get_value());
        close();
    };
    view! {
        <Modal title="Delete the conversation?" closed=move || store.dialog.set(None)>
            <p>"“"{summary.title}"” and everything in it will be gone for good."</p>
            <div class="panel-row end">
                <button type="button" on:click=|_| close()>"Keep"</button>
                <button type="button" class="primary danger" on:click=delete>"Delete"</button>
            </div>
        </Modal>
    }
}
