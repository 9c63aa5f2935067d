//! What people do to conversations.

use jnana_api::conversations::{Conversation, ConversationPatch, Message, NewMessage, Part, Posted, Summary};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api;
use crate::browser;
use crate::failure::Failure;
use crate::logic::branches;
use crate::store::{Link, Route, Store};

/// Reads everything that the page shows anew.
pub(crate) fn load_all(store: Store) {
    load_list(store);
    spawn_local(async move {
        match api::status().await {
            Ok(status) => store.status.set(Some(status)),
            Err(failure) => store.fail(&failure),
        }
        match api::plugins().await {
            Ok(plugins) => store.plugins.set(plugins),
            Err(failure) => store.fail(&failure),
        }
    });
    if let Route::Conversation(id) = store.route.get_untracked() {
        spawn_local(async move { reload_conversation(store, &id).await });
    }
}

/// Reads the list of conversations anew.
pub(crate) fn load_list(store: Store) {
    spawn_local(async move {
        let query = store.query.get_untracked();
        match api::conversations(&query).await {
            // An answer to an older question must not replace a newer one's.
            Ok(list) if store.query.get_untracked() == query => show_list(store, list),
            Ok(_) => {}
            Err(failure) => store.fail(&failure),
        }
    });
}

fn show_list(store: Store, list: Vec<Summary>) {
    // The server titles a conversation after its first question.
    for summary in &list {
        let is_news = store.conversation.with_untracked(|shown| {
            shown.as_ref().is_some_and(|shown| shown.summary.id == summary.id && shown.summary != *summary)
        });
        if is_news {
            store.edit(&summary.id, |conversation| conversation.summary = summary.clone());
        }
    }
    store.list.set(Some(list));
}

/// Shows the conversation of the route.
pub(crate) fn open(store: Store, route: Route) {
    store.missing.set(None);
    let Route::Conversation(id) = route else {
        store.conversation.set(None);
        return;
    };
    if store.conversation.with_untracked(|shown| shown.as_ref().is_some_and(|shown| shown.summary.id == id)) {
        return;
    }
    store.conversation.set(None);
    spawn_local(async move { reload_conversation(store, &id).await });
}

/// Reads a conversation anew, if it is still the one to show.
pub(crate) async fn reload_conversation(store: Store, id: &str) {
    let answer = api::conversation(id).await;
    if store.route.get_untracked() != Route::Conversation(id.to_owned()) {
        return;
    }
    match answer {
        Ok(conversation) => store.conversation.set(Some(conversation)),
        Err(failure) if failure.is_missing() => {
            store.conversation.set(None);
            store.missing.set(Some("This conversation does not exist, or no longer does.".to_owned()));
        }
        Err(failure) => store.fail(&failure),
    }
}

/// Asks a question after `parent`; the shown conversation is begun when there is none. `false` when it did not work.
pub(crate) async fn ask(store: Store, parent: Option<String>, parts: Vec<Part>) -> bool {
    match try_ask(store, parent, parts).await {
        Ok(()) => true,
        Err(failure) => {
            store.fail(&failure);
            false
        }
    }
}

async fn try_ask(store: Store, parent: Option<String>, parts: Vec<Part>) -> Result<(), Failure> {
    let shown =
        store.conversation.with_untracked(|shown| shown.as_ref().map(|shown| shown.summary.id.clone()));
    let id = match shown {
        Some(id) => id,
        None => begin(store).await?,
    };
    let posted = api::post(&id, &NewMessage { parent, parts }).await?;
    show_posted(store, &id, posted);
    Ok(())
}

async fn begin(store: Store) -> Result<String, Failure> {
    let conversation = api::create().await?;
    let id = conversation.summary.id.clone();
    store.conversation.set(Some(conversation));
    store.go(Route::Conversation(id.clone()));
    Ok(id)
}

/// Asks for another answer.
pub(crate) fn regenerate(store: Store, answer: String) {
    let Some(id) = shown_id(store) else { return };
    spawn_local(async move {
        match api::regenerate(&id, &answer).await {
            Ok(posted) => show_posted(store, &id, posted),
            Err(failure) => store.fail(&failure),
        }
    });
}

fn show_posted(store: Store, id: &str, posted: Posted) {
    store.edit(id, |conversation| {
        conversation.active_leaf = Some(posted.answer.id.clone());
        put(conversation, posted.question);
        put(conversation, posted.answer);
    });
    store.announce("Sent.");
    load_list(store);
}

/// Puts a message in place of the one with its id, or at the end.
pub(crate) fn put(conversation: &mut Conversation, message: Message) {
    match conversation.messages.iter_mut().find(|known| known.id == message.id) {
        Some(known) => *known = message,
        None => conversation.messages.push(message),
    }
}

/// Stops the answer that is being made.
pub(crate) fn stop(store: Store) {
    let Some((id, answer)) = store.generating() else { return };
    spawn_local(async move {
        match api::stop(&id, &answer).await {
            Ok(()) => store.announce("Stopped."),
            Err(failure) if failure.is_missing() => reload_conversation(store, &id).await,
            Err(failure) => store.fail(&failure),
        }
    });
}

/// Shows the version of a message that is `steps` away.
pub(crate) fn switch(store: Store, message: &str, steps: isize) {
    let Some(id) = shown_id(store) else { return };
    let leaf = store.conversation.with_untracked(|shown| {
        let messages = &shown.as_ref()?.messages;
        let version = branches::neighbour(messages, message, steps)?;
        branches::leaf_below(messages, version).map(str::to_owned)
    });
    let Some(leaf) = leaf else { return };
    store.edit(&id, |conversation| conversation.active_leaf = Some(leaf.clone()));
    spawn_local(async move {
        let patch = ConversationPatch { active_leaf: Some(leaf), ..ConversationPatch::default() };
        if let Err(failure) = api::change(&id, &patch).await {
            store.fail(&failure);
        }
    });
}

/// Gives a conversation another title.
pub(crate) fn rename(store: Store, id: String, title: String) {
    spawn_local(async move {
        let patch = ConversationPatch { title: Some(title), ..ConversationPatch::default() };
        match api::change(&id, &patch).await {
            Ok(summary) => {
                store.edit(&id, |conversation| conversation.summary = summary);
                load_list(store);
                store.say("Renamed.");
            }
            Err(failure) => store.fail(&failure),
        }
    });
}

/// Deletes a conversation; a shown one gives way to a new one.
pub(crate) fn delete(store: Store, id: String) {
    spawn_local(async move {
        match api::delete(&id).await {
            Ok(()) => {}
            Err(failure) if failure.is_missing() => {}
            Err(failure) => return store.fail(&failure),
        }
        store.list.update(|list| {
            if let Some(list) = list {
                list.retain(|summary| summary.id != id);
            }
        });
        if store.route.get_untracked() == Route::Conversation(id) {
            store.go(Route::New);
        }
        store.say("Deleted.");
    });
}

/// Saves a conversation as a file; `format` is `markdown` or `json`.
pub(crate) fn export(store: Store, id: String, format: &'static str) {
    spawn_local(async move {
        match api::export(&id, format).await {
            Ok((blob, name)) => {
                // A proxy may have taken the name away.
                browser::save(&blob, &name.unwrap_or_else(|| format!("conversation.{format}")));
            }
            Err(failure) => store.fail(&failure),
        }
    });
}

/// Copies text and says so.
pub(crate) fn copy(store: Store, text: String) {
    spawn_local(async move {
        if browser::copy(&text).await {
            store.say("Copied.");
        } else {
            store.say("The browser did not let the app copy. Select the text and copy it yourself.");
        }
    });
}

/// Gives the server the token that it asked for.
pub(crate) fn unlock(store: Store, token: String) {
    spawn_local(async move {
        match api::sign_in(&token).await {
            Ok(()) => {
                store.link.set(Link::Up);
                load_all(store);
            }
            Err(Failure::Token) => store.say("This is not the server's token."),
            Err(failure) => store.fail(&failure),
        }
    });
}

/// The id of the shown conversation.
fn shown_id(store: Store) -> Option<String> {
    store.conversation.with_untracked(|shown| shown.as_ref().map(|shown| shown.summary.id.clone()))
}

/// The text of a message without its inputs.
pub(crate) fn plain_text(message: &Message) -> String {
    let texts: Vec<&str> = message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text } => Some(text.as_str()),
            Part::Input { text, .. } => text.as_deref(),
        })
        .filter(|text| !text.trim().is_empty())
        .collect();
    texts.join("\n\n")
}
