//! Sessions of administrators. They live in memory: a restart ends them, which costs a sign-in.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jnana_api::admin::Session;
use lru::LruCache;

use crate::secret::{Fingerprint, Secret};

/// The cookie that holds a session's id.
pub const COOKIE: &str = "jnana_admin";

/// A session ends after so many milliseconds: half a day.
const LASTS_MS: i64 = 12 * 60 * 60 * 1000;

/// Sessions at the same time; the one that was not used for longest makes room.
const MOST: NonZeroUsize = NonZeroUsize::new(32).unwrap();

#[derive(Clone)]
struct Begun {
    /// What the page sees.
    session: Session,
    /// The token that opened it.
    token: Fingerprint,
}

/// All sessions, by what their ids hash to: a look at memory or at timing gives no id away.
pub(super) struct Sessions(Mutex<LruCache<Fingerprint, Begun>>);

impl Default for Sessions {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

/// A session that a call came with.
#[derive(Debug, Clone)]
pub struct Held {
    key: Fingerprint,
    /// What the page sees of it.
    pub session: Session,
}

impl Held {
    /// Whether this is the session's CSRF token.
    #[must_use]
    pub fn proves(&self, csrf: &str) -> bool {
        Fingerprint::of(&self.session.csrf).is_of(csrf)
    }

    /// What the audit log calls it.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.key)
    }
}

/// What the audit log calls the session of this id.
pub(super) fn name_of(id: &str) -> String {
    name(Fingerprint::of(id))
}

/// Enough of the hash to tell sessions apart, and nothing to get in with.
fn name(key: Fingerprint) -> String {
    key.to_hex()[..12].to_owned()
}

impl Sessions {
    pub(super) fn begin(&self, id: &str, token: Fingerprint, now_ms: i64) -> Session {
        let csrf = Secret::make().reveal().to_owned();
        let session = Session { csrf, expires_at: now_ms.saturating_add(LASTS_MS) };
        self.lock().put(Fingerprint::of(id), Begun { session: session.clone(), token });
        session
    }

    /// The session of this id, unless it has ended or was opened with another token than today's.
    pub(super) fn find(&self, id: &str, token: Fingerprint, now_ms: i64) -> Option<Held> {
        let key = Fingerprint::of(id);
        let begun = self.lock().get(&key).cloned()?;
        let holds = begun.token == token && now_ms < begun.session.expires_at;
        holds.then_some(Held { key, session: begun.session })
    }

    pub(super) fn end(&self, held: &Held) {
        self.lock().pop(&held.key);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Fingerprint, Begun>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_time_by_sign_out_and_with_its_token() {
        let sessions = Sessions::default();
        let (token, other) = (Fingerprint::of("token"), Fingerprint::of("other"));
        sessions.begin("a", token, 0);
        assert!(sessions.find("a", token, LASTS_MS - 1).is_some());
        assert!(sessions.find("a", token, LASTS_MS).is_none());
        assert!(sessions.find("a", other, 0).is_none());
        assert!(sessions.find("b", token, 0).is_none());
        sessions.end(&sessions.find("a", token, 0).unwrap());
        assert!(sessions.find("a", token, 0).is_none());
    }

    #[test]
    fn the_session_that_was_not_used_for_longest_makes_room() {
        let (sessions, token) = (Sessions::default(), Fingerprint::of("token"));
        sessions.begin("first", token, 0);
        sessions.begin("second", token, 0);
        sessions.find("first", token, 0).unwrap();
        for id in 2..MOST.get() {
            sessions.begin(&id.to_string(), token, 0);
        }
        sessions.begin("one more", token, 0);
        assert!(sessions.find("first", token, 0).is_some() && sessions.find("second", token, 0).is_none());
    }

    #[test]
    fn names_tell_sessions_apart_and_are_no_ids() {
        let (sessions, token) = (Sessions::default(), Fingerprint::of("token"));
        sessions.begin("a", token, 0);
        let held = sessions.find("a", token, 0).unwrap();
        assert_eq!(held.name(), name_of("a"));
        assert_ne!(name_of("a"), name_of("b"));
        assert!(sessions.find(&held.name(), token, 0).is_none());
    }
}
