//! ‹ 2/3 ›: moves between the versions of a message.

use jnana_api::conversations::Message;
use leptos::prelude::*;

use super::icons;
use crate::actions;
use crate::logic::branches;
use crate::store::use_store;

/// The switch between versions; nothing when there is only one.
#[component]
pub(super) fn Versions(message: Memo<Option<Message>>) -> impl IntoView {
    let store = use_store();
    let place = Memo::new(move |_| {
        let id = message.with(|message| message.as_ref().map(|message| message.id.clone()))?;
        store.conversation.with(|shown| {
            let versions = branches::versions(&shown.as_ref()?.messages, &id);
            let at = versions.iter().position(|version| *version == id)?;
            (versions.len() > 1).then_some((at + 1, versions.len()))
        })
    });
    let switch = move |steps| {
        if let Some(message) = message.get_untracked() {
            actions::switch(store, &message.id, steps);
        }
    };
    move || {
        place.get().map(|(at, of)| {
            view! {
                <div class="versions" role="group" aria-label="Versions">
                    <button type="button" class="icon-button" aria-label="Previous version"
                        disabled=at == 1 on:click=move |_| switch(-1)>
                        {icons::left()}
                    </button>
                    <span aria-label=format!("Version {at} of {of}") role="img">{format!("{at}/{of}")}</span>
                    <button type="button" class="icon-button" aria-label="Next version"
                        disabled=at == of on:click=move |_| switch(1)>
                        {icons::right()}
                    </button>
                </div>
            }
        })
    }
}
