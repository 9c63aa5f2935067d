//! What the pages of administration show, and what happens when it is asked for.

use jnana_api::admin::{ModelsOverview, PluginReport, Session};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::admin as api;
use crate::browser;
use crate::failure::Failure;
use crate::logic::admin_page::AdminPage;

/// Pause between two looks at the server while the page is in sight.
const PAUSE_MS: i32 = 5_000;

/// Whether the person may see anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// Not known yet.
    Unknown,
    /// Only with the token.
    Closed,
    /// In this session.
    Open(Session),
}

/// The state of administration; a handle that is copied around.
#[derive(Clone, Copy)]
pub(super) struct Desk {
    /// The page that is shown.
    pub(super) page: RwSignal<AdminPage>,
    /// Whether the person may see it.
    pub(super) gate: RwSignal<Gate>,
    /// What is loaded.
    pub(super) models: RwSignal<Option<ModelsOverview>>,
    /// What is installed.
    pub(super) plugins: RwSignal<Option<Vec<PluginReport>>>,
    /// What went wrong last.
    pub(super) trouble: RwSignal<Option<String>>,
    /// Whether a token is being looked at.
    pub(super) is_signing_in: RwSignal<bool>,
}

/// The state, from anywhere below the frame.
pub(super) fn use_desk() -> Desk {
    expect_context::<Desk>()
}

impl Desk {
    pub(super) fn new(page: AdminPage) -> Self {
        Self {
            page: RwSignal::new(page),
            gate: RwSignal::new(Gate::Unknown),
            models: RwSignal::new(None),
            plugins: RwSignal::new(None),
            trouble: RwSignal::new(None),
            is_signing_in: RwSignal::new(false),
        }
    }

    /// Looks for a session, then keeps the shown page up to date for as long as it lives.
    pub(super) fn start(self) {
        spawn_local(async move {
            loop {
                if self.gate.with_untracked(|gate| *gate == Gate::Unknown) {
                    self.look_for_session().await;
                }
                if browser::is_visible() {
                    self.refresh().await;
                }
                browser::sleep(PAUSE_MS).await;
            }
        });
    }

    async fn look_for_session(self) {
        match api::session().await {
            Ok(session) => self.gate.set(Gate::Open(session)),
            Err(failure) => {
                self.fail(&failure);
                // Nobody was signed in: that is no trouble yet.
                if failure == Failure::SignIn {
                    self.say(None);
                }
            }
        }
    }

    /// Reads what the shown page shows anew.
    async fn refresh(self) {
        if !self.is_open() {
            return;
        }
        match self.page.get_untracked() {
            AdminPage::Models => self.read(api::models(), self.models).await,
            AdminPage::Plugins => self.read(api::plugins(), self.plugins).await,
        }
    }

    async fn read<T>(self, asked: impl Future<Output = Result<T, Failure>>, place: RwSignal<Option<T>>)
    where
        T: PartialEq + Send + Sync + 'static,
    {
        match asked.await {
            // Whoever signed out meanwhile sees no more of it.
            _ if !self.is_open() => {}
            Ok(news) => {
                self.say(None);
                // What stays the same is not drawn again.
                if place.with_untracked(|known| known.as_ref() != Some(&news)) {
                    place.set(Some(news));
                }
            }
            Err(failure) => self.fail(&failure),
        }
    }

    fn is_open(self) -> bool {
        self.gate.with_untracked(|gate| matches!(gate, Gate::Open(_)))
    }

    /// Goes to a page.
    pub(super) fn go(self, page: AdminPage) {
        if self.page.get_untracked() != page {
            browser::push_path(page.path());
            self.show(page);
        }
    }

    /// Shows a page whose address is there already.
    pub(super) fn show(self, page: AdminPage) {
        self.page.set(page);
        browser::focus_soon("#admin-title");
        spawn_local(self.refresh());
    }

    /// Brings the token to the server.
    pub(super) fn sign_in(self, token: String) {
        if self.is_signing_in.get_untracked() {
            return;
        }
        self.is_signing_in.set(true);
        self.say(None);
        spawn_local(async move {
            let answer = api::sign_in(token).await;
            self.is_signing_in.set(false);
            match answer {
                Ok(session) => {
                    self.gate.set(Gate::Open(session));
                    browser::focus_soon("#admin-title");
                    self.refresh().await;
                }
                Err(failure) => self.fail(&failure),
            }
        });
    }

    /// Ends the session.
    pub(super) fn sign_out(self) {
        let Gate::Open(session) = self.gate.get_untracked() else { return };
        spawn_local(async move {
            match api::sign_out(&session).await {
                Ok(()) => self.close(),
                Err(failure) => self.fail(&failure),
            }
        });
    }

    fn fail(self, failure: &Failure) {
        if *failure == Failure::SignIn {
            self.close();
        }
        self.say(Some(failure.to_string()));
    }

    /// Shows trouble, or none. The same words are not spoken again at each look at the server.
    fn say(self, words: Option<String>) {
        if self.trouble.with_untracked(|shown| *shown != words) {
            self.trouble.set(words);
        }
    }

    /// Takes everything off the page that is for administrators only.
    fn close(self) {
        self.gate.set(Gate::Closed);
        self.models.set(None);
        self.plugins.set(None);
        self.say(None);
        browser::focus_soon("#admin-token");
    }
}
