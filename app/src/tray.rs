//! Inputs on their way into a question: stored, read by their plugin, edited by the person, then sent.

use std::collections::BTreeMap;

use jnana_api::conversations::{BlobRef, Part};
use jnana_api::plugins::{Control, Interpretation, PluginInfo, PluginState};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::{Deserialize, Serialize};
use web_sys::Blob;

use crate::failure::Failure;
use crate::logic::words;
use crate::store::Store;
use crate::{api, browser, controls};

/// Where an input stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its bytes are on their way to the server.
    Storing,
    /// Its plugin makes text of it.
    Reading,
    /// It can be sent; a note says what is known of it.
    Ready(String),
    /// It cannot be sent.
    Failed(String),
}

/// One input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// Number within the tray.
    pub(crate) key: u32,
    /// Plugin that it is for.
    pub(crate) plugin: String,
    /// Whether the plugin's text is shown for editing.
    pub(crate) is_text: bool,
    /// Address of the bytes in this page.
    pub(crate) url: Option<String>,
    /// MIME type of the bytes.
    pub(crate) mime: String,
    /// Where it stands.
    pub(crate) stage: Stage,
    /// The stored bytes, once they are.
    pub(crate) blob: Option<BlobRef>,
    /// The text as the person left it.
    pub(crate) text: String,
}

/// What the browser keeps of an input while the page is away: the server has its bytes.
#[derive(Serialize, Deserialize)]
struct Kept {
    plugin: String,
    is_text: bool,
    blob: BlobRef,
    note: String,
    text: String,
}

impl Kept {
    /// Only what is whole is kept.
    fn of(item: &Item) -> Option<Self> {
        let Stage::Ready(note) = &item.stage else { return None };
        let (plugin, text) = (item.plugin.clone(), item.text.clone());
        Some(Self { plugin, is_text: item.is_text, blob: item.blob.clone()?, note: note.clone(), text })
    }

    fn into_item(self, key: u32) -> Item {
        Item {
            key,
            plugin: self.plugin,
            is_text: self.is_text,
            url: Some(self.blob.url()),
            mime: self.blob.mime.clone(),
            stage: Stage::Ready(self.note),
            blob: Some(self.blob),
            text: self.text,
        }
    }
}

/// The inputs of the question that is being composed; a handle that is copied around.
#[derive(Clone, Copy)]
pub(crate) struct Tray {
    /// The inputs in order.
    pub(crate) items: RwSignal<Vec<Item>>,
    /// Counts the inputs whose text is there and may be sent at once.
    pub(crate) arrived: RwSignal<u32>,
    /// The plugin whose control is open.
    pub(crate) open: RwSignal<Option<String>>,
    next: StoredValue<u32>,
    /// The bytes by key, for another try.
    blobs: StoredValue<BTreeMap<u32, Blob>, LocalStorage>,
    store: Store,
}

impl Tray {
    /// A tray with what an earlier visit of the page had left unsent; the browser keeps it under `key`.
    pub(crate) fn new(store: Store, key: &'static str) -> Self {
        let kept = browser::stored(key).and_then(|json| serde_json::from_str::<Vec<Kept>>(&json).ok());
        let items: Vec<Item> =
            (1..).zip(kept.unwrap_or_default()).map(|(key, kept)| kept.into_item(key)).collect();
        let tray = Self {
            arrived: RwSignal::new(0),
            open: RwSignal::new(None),
            next: StoredValue::new(items.last().map_or(0, |item| item.key)),
            items: RwSignal::new(items),
            blobs: StoredValue::new_local(BTreeMap::new()),
            store,
        };
        Effect::new(move |_| {
            let kept = tray.items.with(|items| items.iter().filter_map(Kept::of).collect::<Vec<_>>());
            if let Ok(json) = serde_json::to_string(&kept) {
                browser::store(key, &json);
            }
        });
        tray
    }

    /// Takes bytes for a plugin, stores them, and asks the plugin what it makes of them.
    pub(crate) fn add(self, plugin: &PluginInfo, blob: Blob) {
        self.next.update_value(|next| *next += 1);
        let key = self.next.get_value();
        let ui = plugin.manifest.as_ref().map(|manifest| &manifest.ui);
        let item = Item {
            key,
            plugin: plugin.id.clone(),
            is_text: ui.is_some_and(|ui| ui.editable_text),
            url: browser::object_url(&blob),
            mime: blob.type_(),
            stage: Stage::Storing,
            blob: None,
            text: String::new(),
        };
        self.store.announce(format!("{} added.", ui.map_or("Input", |ui| ui.noun.as_str())));
        self.items.update(|items| items.push(item));
        self.blobs.update_value(|blobs| drop(blobs.insert(key, blob)));
        self.work(key);
    }

    /// Stores an input and has it read; again after a failure.
    pub(crate) fn work(self, key: u32) {
        let Some(blob) = self.blobs.with_value(|blobs| blobs.get(&key).cloned()) else { return };
        let item = self.items.with_untracked(|items| items.iter().find(|item| item.key == key).cloned());
        let Some(item) = item else { return };
        self.change(key, |item| item.stage = Stage::Storing);
        spawn_local(async move {
            if let Err(failure) = self.store_and_read(&item, &blob).await {
                if matches!(failure, Failure::Gone | Failure::Token) {
                    self.store.fail(&failure);
                }
                self.change(key, |item| item.stage = Stage::Failed(failure.to_string()));
            }
        });
    }

    async fn store_and_read(self, item: &Item, blob: &Blob) -> Result<(), Failure> {
        let (key, is_text) = (item.key, item.is_text);
        let stored = api::store_blob(blob).await?;
        let stage = if is_text { Stage::Reading } else { Stage::Ready(words::size(stored.bytes)) };
        self.change(key, |item| {
            item.blob = Some(stored.clone());
            item.stage = stage;
        });
        match api::interpret(&item.plugin, &stored).await? {
            Interpretation::Text { text, .. } => {
                let text = text.trim().to_owned();
                let is_empty = text.is_empty();
                let note = if is_empty {
                    controls::nothing_found(self.control_of(&item.plugin)).to_owned()
                } else {
                    String::new()
                };
                self.store.announce(if is_empty { note.clone() } else { text.clone() });
                self.change(key, |item| {
                    item.text = text;
                    item.stage = Stage::Ready(note);
                });
                if !is_empty && is_text {
                    self.arrived.update(|arrived| *arrived += 1);
                }
            }
            Interpretation::Positions { positions } => {
                self.change(key, |item| item.stage = Stage::Ready(words::count(positions, "position")));
            }
        }
        Ok(())
    }

    fn control_of(self, plugin: &str) -> Control {
        untrack(|| self.store.descriptor(plugin)).map_or(Control::Unknown, |ui| ui.control)
    }

    fn change(self, key: u32, change: impl FnOnce(&mut Item)) {
        self.items.update(|items| {
            if let Some(item) = items.iter_mut().find(|item| item.key == key) {
                change(item);
            }
        });
    }

    /// Takes the person's wording of an input's text.
    pub(crate) fn set_text(self, key: u32, text: String) {
        self.change(key, |item| item.text = text);
    }

    /// Takes an input out.
    pub(crate) fn remove(self, key: u32) {
        self.items.update(|items| {
            for item in items.iter().filter(|item| item.key == key) {
                free(item);
            }
            items.retain(|item| item.key != key);
        });
        self.blobs.update_value(|blobs| drop(blobs.remove(&key)));
        browser::focus_soon("#message");
    }

    /// Takes everything out.
    pub(crate) fn clear(self) {
        self.items.update(|items| {
            items.iter().for_each(free);
            items.clear();
        });
        self.blobs.update_value(BTreeMap::clear);
    }

    /// Whether an input is still on its way.
    pub(crate) fn is_busy(self) -> bool {
        self.items
            .with(|items| items.iter().any(|item| matches!(item.stage, Stage::Storing | Stage::Reading)))
    }

    /// The parts of a question that the inputs make.
    pub(crate) fn parts(self) -> Vec<Part> {
        self.items.with(|items| items.iter().filter_map(part).collect())
    }

    /// Takes a file for the first working plugin that accepts it; says so when there is none.
    pub(crate) fn add_file(self, file: Blob) {
        let plugins = self.store.plugins.get_untracked();
        spawn_local(async move {
            match controls::file::prepare_for_any(&plugins, file).await {
                Ok((plugin, blob)) => self.add(&plugin, blob),
                Err(words) => self.store.say(words),
            }
        });
    }

    /// Opens a plugin's control, or closes it when it is the open one.
    pub(crate) fn toggle(self, plugin: &str) {
        self.open.update(|open| {
            *open = if open.as_deref() == Some(plugin) { None } else { Some(plugin.to_owned()) };
        });
    }

    /// Closes the open control and goes back to the message.
    pub(crate) fn close(self) {
        if self.open.get_untracked().is_some() {
            self.open.set(None);
            browser::focus_soon("#message");
        }
    }
}

fn free(item: &Item) {
    if let Some(url) = &item.url {
        browser::free(url);
    }
}

/// An input that is stored is a part; one whose text is empty has nothing to say.
fn part(item: &Item) -> Option<Part> {
    let blob = item.blob.clone()?;
    if matches!(item.stage, Stage::Failed(_)) {
        return None;
    }
    let text = item.is_text.then(|| item.text.trim().to_owned());
    if text.as_ref().is_some_and(String::is_empty) {
        return None;
    }
    Some(Part::Input { plugin: item.plugin.clone(), blob, text })
}

/// Plugins that have an input to offer: those that are not switched off and say how they are used.
pub(crate) fn offered(plugins: &[PluginInfo]) -> Vec<PluginInfo> {
    plugins
        .iter()
        .filter(|info| info.manifest.is_some() && info.state != PluginState::Disabled)
        .cloned()
        .collect()
}
