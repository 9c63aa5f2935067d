//! Whether the server is there: asked every few seconds while the page is in sight,
//! and every second while it is gone.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::failure::Failure;
use crate::store::{Link, Store};
use crate::{actions, api, browser};

/// Seconds between two questions while the server answers.
const QUIET_SECONDS: u32 = 5;

/// Watches the server for as long as the page lives.
pub(crate) fn watch(store: Store) {
    spawn_local(async move {
        let mut second = 0u32;
        loop {
            browser::sleep(1_000).await;
            second = second.wrapping_add(1);
            let due = match store.link.get_untracked() {
                // Until the server has said what is running it is still starting.
                Link::Up if store.status.with_untracked(Option::is_none) => true,
                Link::Up => browser::is_visible() && second.is_multiple_of(QUIET_SECONDS),
                Link::Gone => true,
                Link::Locked => false,
            };
            if due {
                ask(store).await;
            }
        }
    });
}

async fn ask(store: Store) {
    match api::status().await {
        Ok(status) => {
            let started = store.status.with_untracked(|known| known.as_ref().map(|known| known.started_ms));
            let is_first = started.is_none();
            let is_another = started.is_some_and(|started| started != status.started_ms);
            if store.status.with_untracked(|known| known.as_ref() != Some(&status)) {
                store.status.set(Some(status));
            }
            if is_first && store.link.get_untracked() == Link::Up {
                actions::load_all(store);
            }
            // A start takes less time than passes between two questions.
            if is_another || store.link.get_untracked() == Link::Gone {
                welcome_back(store);
            }
        }
        Err(Failure::Gone) => {
            if store.link.get_untracked() == Link::Up {
                store.link.set(Link::Gone);
            }
        }
        Err(Failure::Token) => store.link.set(Link::Locked),
        // A server that answers, though not well, is there.
        Err(_) => {}
    }
}

/// Everything may have changed while the server was away.
pub(crate) fn welcome_back(store: Store) {
    store.link.set(Link::Up);
    store.announce("The server is back.");
    actions::load_all(store);
}
