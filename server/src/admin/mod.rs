//! Who may look after this server: a token of its own, sessions, and a log of what was done in them.
//!
//! Loopback opens the chat to every program of this machine; what an administrator does is not for every program. So these
//! rules hold wherever the server listens.

mod attempts;
mod audit;
mod sessions;
mod token;

pub use audit::{Audit, Entry, Event};
pub use sessions::{COOKIE, Held};

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jnana_api::admin::Session;

use crate::error::ApiError;
use crate::secret::Secret;
use crate::storage::now_ms;
use attempts::Attempts;
use sessions::Sessions;
use token::TokenFile;

/// Folder in the home folder.
const FOLDER: &str = "admin";

/// What went wrong with the files of administration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no token.
    #[error("there is no admin token; `jnana admin token` makes one")]
    NoToken,
    /// The token's file does not hold what it should.
    #[error("{0} does not hold the hash of a token; `jnana admin token` makes a new one")]
    Damaged(PathBuf),
    /// A worker thread ended early.
    #[error("a thread that writes the audit log ended early: {0}")]
    Thread(String),
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::NoToken | Error::Damaged(_) => {
                tracing::error!(%error, "nobody can administer this server");
                Self::unavailable("this server has no admin token: `jnana admin token` makes one")
            }
            other => Self::internal(other),
        }
    }
}

/// Access to administration.
#[derive(Debug)]
pub struct Admin {
    token: TokenFile,
    sessions: Sessions,
    attempts: Attempts,
    /// What was done.
    pub audit: Audit,
}

impl Admin {
    /// Opens the files in `home`. A token is made where there is none, and is to be shown this once.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub fn open(home: &Path) -> Result<(Self, Option<Secret>), Error> {
        let folder = home.join(FOLDER);
        let admin = Self {
            token: TokenFile::of(&folder),
            sessions: Sessions::default(),
            attempts: Attempts::default(),
            audit: Audit::of(&folder),
        };
        let fresh = if admin.token.exists() { None } else { Some(admin.renew()?) };
        Ok((admin, fresh))
    }

    /// Puts a new token in the place of the old one, whose sessions end with it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn renew(&self) -> Result<Secret, Error> {
        self.audit.write(&Entry::of(Event::TokenMade))?;
        self.token.renew()
    }

    /// Begins a session for whoever brings the token; gives its id, which is the cookie's value, and what the page needs.
    ///
    /// # Errors
    /// 403 for a wrong token, 429 after too many of them from one address.
    pub async fn sign_in(&self, token: &str, from: IpAddr) -> Result<(Secret, Session), ApiError> {
        if let Err(wait) = self.attempts.begin(from, Instant::now()) {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            let words = format!("too many wrong tokens came from this address; try again in {seconds} s");
            return Err(ApiError::too_many("too_many_attempts", words, seconds));
        }
        let known = self.token.read().await?;
        if !known.is_of(token) {
            self.audit.note(Entry { from: Some(from), ..Entry::of(Event::SignInRefused) }).await?;
            let words = "this is not the admin token; `jnana admin token` makes a new one";
            return Err(ApiError::forbidden("wrong_token", words));
        }
        self.attempts.forgive(from);
        let id = Secret::make();
        let session = Some(sessions::name_of(id.reveal()));
        self.audit.note(Entry { from: Some(from), session, ..Entry::of(Event::SignedIn) }).await?;
        let session = self.sessions.begin(id.reveal(), known, now_ms());
        Ok((id, session))
    }

    /// The session that a cookie stands for.
    ///
    /// # Errors
    /// 401 when there is none, it has ended, or the token is another one since.
    pub async fn session(&self, cookie: Option<&str>) -> Result<Held, ApiError> {
        let known = self.token.read().await?;
        let held = cookie.and_then(|id| self.sessions.find(id, known, now_ms()));
        held.ok_or_else(ApiError::admin_sign_in)
    }

    /// Ends a session.
    pub fn sign_out(&self, held: &Held) {
        self.sessions.end(held);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn status<T>(result: Result<T, ApiError>) -> u16 {
        result.map_or_else(|error| error.status.as_u16(), |_| 200)
    }

    #[tokio::test]
    async fn the_token_opens_and_a_new_one_ends_what_the_old_one_opened() {
        let home = tempfile::tempdir().unwrap();
        let (admin, fresh) = Admin::open(home.path()).unwrap();
        let token = fresh.unwrap();
        assert_eq!(status(admin.session(None).await), 401);
        assert_eq!(status(admin.sign_in("wrong", HERE).await), 403);
        let (id, session) = admin.sign_in(token.reveal(), HERE).await.unwrap();
        let held = admin.session(Some(id.reveal())).await.unwrap();
        assert!(held.proves(&session.csrf) && !held.proves("wrong"));

        let (elsewhere, none) = Admin::open(home.path()).unwrap();
        assert!(none.is_none(), "a token is made once");
        let renewed = elsewhere.renew().unwrap();
        assert_eq!(status(admin.session(Some(id.reveal())).await), 401);
        assert_eq!(status(admin.sign_in(token.reveal(), HERE).await), 403);
        let (id, _) = admin.sign_in(renewed.reveal(), HERE).await.unwrap();
        admin.sign_out(&admin.session(Some(id.reveal())).await.unwrap());
        assert_eq!(status(admin.session(Some(id.reveal())).await), 401);
    }

    #[tokio::test]
    async fn wrong_tokens_have_to_wait_and_so_does_the_right_one_behind_them() {
        let home = tempfile::tempdir().unwrap();
        let (admin, token) = Admin::open(home.path()).unwrap();
        let token = token.unwrap();
        for _ in 0..5 {
            assert_eq!(status(admin.sign_in("wrong", HERE).await), 403);
        }
        let error = admin.sign_in(token.reveal(), HERE).await.unwrap_err();
        assert_eq!(error.status.as_u16(), 429);
        assert!(error.retry_after.is_some_and(|seconds| (1..=61).contains(&seconds)));
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(status(admin.sign_in(token.reveal(), elsewhere).await), 200);
    }

    #[tokio::test]
    async fn without_a_readable_token_nobody_gets_in() {
        let home = tempfile::tempdir().unwrap();
        let (admin, token) = Admin::open(home.path()).unwrap();
        let (id, _) = admin.sign_in(token.unwrap().reveal(), HERE).await.unwrap();
        let file = home.path().join("admin/token.sha256");
        std::fs::write(&file, "damaged").unwrap();
        assert_eq!(status(admin.session(Some(id.reveal())).await), 503);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(status(admin.sign_in("", HERE).await), 503);
    }
}
