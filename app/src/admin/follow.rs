//! Follows a job: reads its events, and takes them up again where a connection broke off or the job was resumed.

use jnana_api::jobs::JobState;
use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::AbortController;

use super::desk::Desk;
use crate::api::admin as api;
use crate::browser;
use crate::failure::Failure;
use crate::logic::journal::Journal;

/// Pause before a stream that ended is taken up again, and between two looks whether there is something to take up.
const PAUSE_MS: i32 = 1_000;

/// What the job's events come to, for as long as the owner of this call lives.
pub(super) fn follow(desk: Desk, id: String) -> RwSignal<Journal> {
    let follower = Follower {
        desk,
        id: StoredValue::new(id),
        journal: RwSignal::new(Journal::default()),
        connection: StoredValue::new_local(None),
    };
    on_cleanup(move || follower.end());
    spawn_local(follower.run());
    follower.journal
}

#[derive(Clone, Copy)]
struct Follower {
    desk: Desk,
    id: StoredValue<String>,
    journal: RwSignal<Journal>,
    connection: StoredValue<Option<AbortController>, LocalStorage>,
}

impl Follower {
    fn end(self) {
        let connection = self.connection.try_update_value(Option::take).flatten();
        if let Some(connection) = connection {
            connection.abort();
        }
    }

    async fn run(self) {
        while let Some(id) = self.id.try_get_value() {
            match self.read(&id).await {
                Ok(()) => {}
                Err(failure) if failure.is_passing() => {}
                Err(_) if self.journal.is_disposed() => return,
                Err(failure) => return self.desk.refuse(&failure),
            }
            browser::sleep(PAUSE_MS).await;
            while !self.journal.is_disposed() && !self.has_more(&id) {
                browser::sleep(PAUSE_MS).await;
            }
        }
    }

    /// Reads until the stream ends.
    async fn read(self, id: &str) -> Result<(), Failure> {
        let controller = AbortController::new()
            .map_err(|error| Failure::Browser { task: "open a stream", reason: browser::message(&error) })?;
        let signal = controller.signal();
        let Some(after) = self.journal.try_with_untracked(|journal| journal.after) else { return Ok(()) };
        self.connection.try_set_value(Some(controller));
        let mut stream = api::job_events(id, after, &signal).await?;
        while let Some(events) = stream.next().await? {
            if self.journal.is_disposed() {
                return Ok(());
            }
            // All at once: a job of many steps tells them in large pieces.
            if !events.is_empty() {
                self.journal.update(|journal| events.into_iter().for_each(|event| journal.take(event)));
            }
        }
        Ok(())
    }

    /// Whether the job goes on, or has not said yet that it does not.
    fn has_more(self, id: &str) -> bool {
        let is_active = |state: Option<JobState>| state.is_none_or(JobState::is_active);
        let told = self.journal.try_with_untracked(|journal| journal.state).flatten();
        let known = self.desk.jobs.with_untracked(|jobs| {
            let job = jobs.as_ref()?.iter().find(|job| job.id == id)?;
            Some(job.state)
        });
        is_active(told) || known.is_some_and(JobState::is_active)
    }
}
