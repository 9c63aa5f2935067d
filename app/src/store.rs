//! What the page shows.

use jnana_api::conversations::{Conversation, Message, MessageState, Role, Status, Summary};
use jnana_api::plugins::{PluginInfo, PluginState, UiDescriptor};
use leptos::prelude::*;

use crate::browser;
use crate::failure::Failure;
use crate::logic::branches;
use crate::settings::Settings;

/// Where the page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// A conversation that has not begun.
    New,
    /// A conversation.
    Conversation(String),
}

impl Route {
    /// The route of a path; paths that the app does not know lead to a new conversation.
    pub(crate) fn of(path: &str) -> Self {
        match path.strip_prefix("/c/").map(|id| id.trim_end_matches('/')) {
            Some(id) if !id.is_empty() => Self::Conversation(id.to_owned()),
            _ => Self::New,
        }
    }

    /// The path of the route.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::New => "/".to_owned(),
            Self::Conversation(id) => format!("/c/{id}"),
        }
    }
}

/// Whether the server is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// It answers.
    Up,
    /// It does not; the app keeps trying.
    Gone,
    /// It wants its token.
    Locked,
}

/// An answer while it is being made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Live {
    /// The answer.
    pub(crate) message: String,
    /// Its text so far.
    pub(crate) text: String,
    /// The step before the first token, in the server's words.
    pub(crate) progress: String,
}

/// A short notice at the edge of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The words.
    pub(crate) text: String,
    /// Whether something went wrong.
    pub(crate) is_error: bool,
}

/// A dialog over the page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Dialog {
    /// Settings, and what is running.
    Settings,
    /// A new title for a conversation.
    Rename(Summary),
    /// Asks before a conversation is deleted.
    Delete(Summary),
}

/// The page's state; a handle that is copied around.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    /// What is running; `None` until the server has said.
    pub(crate) status: RwSignal<Option<Status>>,
    /// The installed plugins.
    pub(crate) plugins: RwSignal<Vec<PluginInfo>>,
    /// Whether the server is there.
    pub(crate) link: RwSignal<Link>,
    /// The conversations found by `query`, newest first; `None` until they are there.
    pub(crate) list: RwSignal<Option<Vec<Summary>>>,
    /// Words to search the conversations for.
    pub(crate) query: RwSignal<String>,
    /// Where the page is.
    pub(crate) route: RwSignal<Route>,
    /// The conversation that is shown.
    pub(crate) conversation: RwSignal<Option<Conversation>>,
    /// Why the conversation of the route cannot be shown.
    pub(crate) missing: RwSignal<Option<String>>,
    /// The answer that is being made.
    pub(crate) live: RwSignal<Live>,
    /// A notice at the edge of the page.
    pub(crate) notice: RwSignal<Option<Notice>>,
    /// What the live region says.
    pub(crate) announcement: RwSignal<String>,
    /// The open dialog.
    pub(crate) dialog: RwSignal<Option<Dialog>>,
    /// Whether the list of conversations is open on a narrow screen.
    pub(crate) drawer: RwSignal<bool>,
    /// What is remembered on this device.
    pub(crate) settings: RwSignal<Settings>,
}

impl Store {
    /// The state of a page that was just opened.
    pub(crate) fn new() -> Self {
        Self {
            status: RwSignal::new(None),
            plugins: RwSignal::new(Vec::new()),
            link: RwSignal::new(Link::Up),
            list: RwSignal::new(None),
            query: RwSignal::new(String::new()),
            route: RwSignal::new(Route::of(&browser::path())),
            conversation: RwSignal::new(None),
            missing: RwSignal::new(None),
            live: RwSignal::new(Live::default()),
            notice: RwSignal::new(None),
            announcement: RwSignal::new(String::new()),
            dialog: RwSignal::new(None),
            drawer: RwSignal::new(false),
            settings: RwSignal::new(Settings::load()),
        }
    }

    /// The messages of the shown branch: their ids in order.
    pub(crate) fn shown(self) -> Vec<String> {
        self.conversation.with(|conversation| {
            let Some(conversation) = conversation else { return Vec::new() };
            branches::path(&conversation.messages, conversation.active_leaf.as_deref())
                .into_iter()
                .map(|index| conversation.messages[index].id.clone())
                .collect()
        })
    }

    /// A message of the shown conversation.
    pub(crate) fn message(self, id: &str) -> Option<Message> {
        self.conversation.with(|conversation| {
            conversation.as_ref()?.messages.iter().find(|message| message.id == id).cloned()
        })
    }

    /// Conversation and id of the answer of the shown branch that is being made.
    pub(crate) fn generating(self) -> Option<(String, String)> {
        let last = self.shown().pop()?;
        let message = self.message(&last)?;
        let is_generating = message.role == Role::Assistant && message.state == MessageState::Generating;
        let conversation =
            self.conversation.with(|conversation| conversation.as_ref().map(|c| c.summary.id.clone()));
        if is_generating { Some((conversation?, last)) } else { None }
    }

    /// What a plugin says of its input; `None` for a plugin that is not installed.
    pub(crate) fn descriptor(self, plugin: &str) -> Option<UiDescriptor> {
        self.plugins.with(|plugins| {
            plugins
                .iter()
                .find(|info| info.id == plugin)?
                .manifest
                .as_ref()
                .map(|manifest| manifest.ui.clone())
        })
    }

    /// What a plugin says of its state; empty when there is nothing to say.
    pub(crate) fn plugin_status(self, plugin: &str) -> String {
        self.plugins.with(|plugins| {
            let Some(info) = plugins.iter().find(|info| info.id == plugin) else {
                return "not installed".to_owned();
            };
            match &info.state {
                PluginState::Ready => info.status.clone(),
                PluginState::Failed { .. } => "not working".to_owned(),
                PluginState::Disabled => "switched off".to_owned(),
            }
        })
    }

    /// Changes the messages of a conversation if it is the shown one.
    pub(crate) fn edit(self, conversation: &str, change: impl FnOnce(&mut Conversation)) {
        let is_shown = self
            .conversation
            .with_untracked(|shown| shown.as_ref().is_some_and(|c| c.summary.id == conversation));
        if is_shown {
            self.conversation.update(|shown| {
                if let Some(shown) = shown {
                    change(shown);
                }
            });
        }
    }

    /// Goes to a route, in the browser's history too.
    pub(crate) fn go(self, route: Route) {
        if self.route.get_untracked() != route {
            browser::push_path(&route.path());
            self.route.set(route);
        }
        self.drawer.set(false);
    }

    /// Shows a notice for a while.
    pub(crate) fn say(self, text: impl Into<String>) {
        self.show_notice(Notice { text: text.into(), is_error: false });
    }

    /// Shows what went wrong; a server that is gone or locked has its own place on the page.
    pub(crate) fn fail(self, failure: &Failure) {
        match failure {
            Failure::Gone => self.link.set(Link::Gone),
            Failure::Token => self.link.set(Link::Locked),
            _ => self.show_notice(Notice { text: failure.to_string(), is_error: true }),
        }
    }

    fn show_notice(self, notice: Notice) {
        let milliseconds = if notice.is_error { 12_000 } else { 4_000 };
        self.notice.set(Some(notice.clone()));
        leptos::task::spawn_local(async move {
            browser::sleep(milliseconds).await;
            if self.notice.get_untracked().as_ref() == Some(&notice) {
                self.notice.set(None);
            }
        });
    }

    /// Lets the live region say something.
    pub(crate) fn announce(self, text: impl Into<String>) {
        self.announcement.set(text.into());
    }

    /// Changes the settings and keeps them.
    pub(crate) fn set(self, change: impl FnOnce(&mut Settings)) {
        self.settings.update(change);
        self.settings.with_untracked(Settings::keep);
    }
}

/// The page's state, from anywhere below the app.
pub(crate) fn use_store() -> Store {
    expect_context::<Store>()
}
