//! What is kept: conversations and messages in SQLite, inputs as files named by their content.

mod blobs;
mod conversations;
mod messages;
mod retention;
mod rows;

pub use blobs::Blobs;
pub use messages::{Finished, MAX_PARTS};
pub use retention::Swept;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite_migration::{M, Migrations};

const MIGRATIONS: &[M<'static>] = &[M::up(include_str!("../../migrations/001_conversations.sql"))];

/// Why something could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No row of that id.
    #[error("no {what} {id}")]
    NotFound {
        /// `conversation`, `message` or `blob`.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// The caller's values do not fit.
    #[error("{0}")]
    Invalid(String),
    /// The bytes were there once, and were removed by the retention setting.
    #[error("blob {0} is no longer kept")]
    Expired(String),
    /// SQLite.
    #[error("database: {0}")]
    Sql(#[from] rusqlite::Error),
    /// A migration.
    #[error("database migration: {0}")]
    Migration(#[from] rusqlite_migration::Error),
    /// A stored value that this version cannot read.
    #[error("stored value: {0}")]
    Value(#[from] serde_json::Error),
    /// The file system.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: std::io::Error,
    },
    /// A worker thread ended early.
    #[error("a storage thread ended early: {0}")]
    Thread(String),
}

/// The store. Cheap to clone; one connection, used by one blocking thread at a time.
#[derive(Debug, Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    blobs: Blobs,
}

impl Store {
    /// Opens or makes the store in `home`, brings it to the current schema, and ends what a crash left unfinished.
    ///
    /// # Errors
    /// When the folder or the database cannot be used.
    pub fn open(home: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(home).map_err(|source| Error::Io { path: home.to_owned(), source })?;
        let mut connection = Connection::open(home.join("jnana.db"))?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // With a write-ahead log this survives a crash of the program; only a power cut can lose the last commits.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        add_fold(&connection)?;
        Migrations::new(MIGRATIONS.to_vec()).to_latest(&mut connection)?;
        messages::end_unfinished(&connection)?;
        let blobs = Blobs::open(home.join("blobs"))?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), blobs })
    }

    /// The blob folder.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Runs `work` on the connection, off the async threads, as one transaction.
    async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let connection = self.connection.clone();
        let run = move || {
            // A panic while the lock was held rolled its transaction back: the connection is still good.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction()?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        tokio::task::spawn_blocking(run).await.map_err(|error| Error::Thread(error.to_string()))?
    }
}

/// `fold(text)`: lower case of every script, for searching; SQLite's own `lower` knows ASCII only.
fn add_fold(connection: &Connection) -> Result<(), rusqlite::Error> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection
        .create_scalar_function("fold", 1, flags, |context| Ok(context.get::<String>(0)?.to_lowercase()))
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Ids sort by the time they were made.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
