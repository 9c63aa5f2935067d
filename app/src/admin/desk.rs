//! What the pages of administration show, and what happens when it is asked for.

use jnana_api::admin::{ModelsOverview, PluginReport, Session};
use jnana_api::generations::{Candidate, Generations};
use jnana_api::jobs::{Job, OfferedKind, Series};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::admin as api;
use crate::browser;
use crate::failure::Failure;
use crate::logic::admin_page::{AdminPage, Place};

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

/// Something to be sure of before it is done.
#[derive(Clone)]
pub(super) struct Question {
    /// In a few words.
    pub(super) title: String,
    /// What will happen.
    pub(super) words: String,
    /// What the button says that does it.
    pub(super) action: &'static str,
    /// Does it.
    pub(super) run: Callback<()>,
}

/// The state of administration; a handle that is copied around.
#[derive(Clone, Copy)]
pub(super) struct Desk {
    /// The place that is shown.
    pub(super) place: RwSignal<Place>,
    /// Whether the person may see it.
    pub(super) gate: RwSignal<Gate>,
    /// What is loaded.
    pub(super) models: RwSignal<Option<ModelsOverview>>,
    /// What serves, and what served before.
    pub(super) generations: RwSignal<Option<Generations>>,
    /// What is loaded beside it.
    pub(super) candidates: RwSignal<Option<Vec<Candidate>>>,
    /// The kinds of job that plugins offer.
    pub(super) kinds: RwSignal<Option<Vec<OfferedKind>>>,
    /// All jobs, the newest first.
    pub(super) jobs: RwSignal<Option<Vec<Job>>>,
    /// What is installed.
    pub(super) plugins: RwSignal<Option<Vec<PluginReport>>>,
    /// What went wrong at the last look at the server.
    pub(super) trouble: RwSignal<Option<String>>,
    /// Why the last thing that was asked for was not done.
    pub(super) refusal: RwSignal<Option<String>>,
    /// The open question.
    pub(super) question: RwSignal<Option<Question>>,
    /// Whether something that was asked for is being done.
    pub(super) is_busy: RwSignal<bool>,
    /// Whether a token is being looked at.
    pub(super) is_signing_in: RwSignal<bool>,
}

/// The state, from anywhere below the frame.
pub(super) fn use_desk() -> Desk {
    expect_context::<Desk>()
}

impl Desk {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place: RwSignal::new(place),
            gate: RwSignal::new(Gate::Unknown),
            models: RwSignal::new(None),
            generations: RwSignal::new(None),
            candidates: RwSignal::new(None),
            kinds: RwSignal::new(None),
            jobs: RwSignal::new(None),
            plugins: RwSignal::new(None),
            trouble: RwSignal::new(None),
            refusal: RwSignal::new(None),
            question: RwSignal::new(None),
            is_busy: RwSignal::new(false),
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
    pub(super) async fn refresh(self) {
        if !self.is_open() {
            return;
        }
        let read = match self.place.with_untracked(|place| place.page) {
            AdminPage::Models => self.read_models().await,
            AdminPage::Training => self.read(api::jobs(), self.jobs).await,
            AdminPage::Plugins => self.read(api::plugins(), self.plugins).await,
        };
        match read {
            // Whoever signed out meanwhile has no session to lose.
            _ if !self.is_open() => {}
            Ok(()) => self.say(None),
            Err(failure) => self.fail(&failure),
        }
    }

    async fn read_models(self) -> Result<(), Failure> {
        self.read(api::models(), self.models).await?;
        self.read(api::generations(), self.generations).await?;
        self.read(api::candidates(), self.candidates).await
    }

    async fn read<T>(
        self,
        asked: impl Future<Output = Result<T, Failure>>,
        place: RwSignal<Option<T>>,
    ) -> Result<(), Failure>
    where
        T: PartialEq + Send + Sync + 'static,
    {
        let news = asked.await?;
        // Whoever signed out meanwhile sees no more of it, and what stays the same is not drawn again.
        if self.is_open() && place.with_untracked(|known| known.as_ref() != Some(&news)) {
            place.set(Some(news));
        }
        Ok(())
    }

    fn is_open(self) -> bool {
        self.gate.with_untracked(|gate| matches!(gate, Gate::Open(_)))
    }

    /// The session, while there is one.
    pub(super) fn session(self) -> Option<Session> {
        self.gate.with_untracked(|gate| match gate {
            Gate::Open(session) => Some(session.clone()),
            Gate::Unknown | Gate::Closed => None,
        })
    }

    /// Does something that changes something, one thing at a time; what came of it goes to `then`.
    pub(super) fn ask<T: 'static, F: Future<Output = Result<T, Failure>> + 'static>(
        self,
        call: impl FnOnce(Session) -> F + 'static,
        then: impl FnOnce(T) + 'static,
    ) {
        let Some(session) = self.session().filter(|_| !self.is_busy.get_untracked()) else { return };
        self.is_busy.set(true);
        self.refusal.set(None);
        spawn_local(async move {
            let answer = call(session).await;
            self.is_busy.set(false);
            match answer {
                Ok(news) => {
                    then(news);
                    self.refresh().await;
                }
                Err(failure) => self.refuse(&failure),
            }
        });
    }

    /// Says why something that was asked for was not done.
    pub(super) fn refuse(self, failure: &Failure) {
        if *failure == Failure::SignIn {
            return self.fail(failure);
        }
        self.refusal.set(Some(failure.to_string()));
    }

    /// The job of this id, as it was at the last look.
    pub(super) fn job(self, id: &str) -> Option<Job> {
        self.jobs.with(|jobs| jobs.as_ref()?.iter().find(|job| job.id == id).cloned())
    }

    /// What a kind of job measures; nothing once its plugin is gone.
    pub(super) fn series(self, plugin: &str, kind: &str) -> Vec<Series> {
        self.kinds.with(|kinds| {
            let mut kinds = kinds.iter().flatten();
            let kind = kinds.find(|offered| offered.plugin == plugin && offered.kind.kind == kind);
            kind.map(|offered| offered.kind.series.clone()).unwrap_or_default()
        })
    }

    /// Puts news of a job in place of what was known of it, or first.
    pub(super) fn put_job(self, job: Job) {
        self.jobs.update(|jobs| {
            let jobs = jobs.get_or_insert_default();
            match jobs.iter_mut().find(|known| known.id == job.id) {
                Some(known) => *known = job,
                None => jobs.insert(0, job),
            }
        });
    }

    /// Reads the kinds of job anew: what there is to choose from may have changed.
    pub(super) fn read_kinds(self) {
        spawn_local(async move {
            if let Err(failure) = self.read(api::job_kinds(), self.kinds).await {
                self.refuse(&failure);
            }
        });
    }

    /// Goes to a place.
    pub(super) fn go(self, place: impl Into<Place>) {
        let place = place.into();
        if self.place.with_untracked(|shown| *shown != place) {
            browser::push_path(&place.path());
            self.show(place);
        }
    }

    /// Shows a place whose address is there already.
    pub(super) fn show(self, place: Place) {
        self.place.set(place);
        self.refusal.set(None);
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
        let Some(session) = self.session() else { return };
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
        self.generations.set(None);
        self.candidates.set(None);
        self.kinds.set(None);
        self.jobs.set(None);
        self.plugins.set(None);
        self.question.set(None);
        self.refusal.set(None);
        self.say(None);
        browser::focus_soon("#admin-token");
    }
}
