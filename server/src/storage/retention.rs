//! What is no longer kept: blobs that no message names, and those older than their modality's days.

use std::collections::BTreeMap;

use rusqlite::{Connection, Params, params};

use super::{Error, Store, now_ms};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs that no message names any more, a day after they came.
    pub unused: usize,
    /// Blobs that were older than their setting.
    pub expired: usize,
}

impl Store {
    /// Removes what is no longer to be kept. `days` is by the first half of the MIME type; 0 keeps for ever.
    ///
    /// # Errors
    /// When a file or the database cannot be written.
    pub async fn sweep(&self, days: BTreeMap<String, u32>) -> Result<Swept, Error> {
        let blobs = self.blobs.clone();
        self.write(move |db| {
            let now = now_ms();
            let unused = hashes(
                db,
                "SELECT hash FROM blobs b WHERE created_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM message_blobs m WHERE m.hash = b.hash)",
                [now - DAY_MS],
            )?;
            let mut expired = Vec::new();
            for (modality, days) in days.iter().filter(|(_, days)| **days > 0) {
                let before = now - i64::from(*days) * DAY_MS;
                let sql = "SELECT hash FROM blobs WHERE created_at < ?1 AND substr(mime, 1, instr(mime, '/') - 1) = ?2";
                expired.extend(hashes(db, sql, params![before, modality])?);
            }
            expired.retain(|hash| !unused.contains(hash));
            for hash in unused.iter().chain(&expired) {
                blobs.remove(hash)?;
                db.execute("DELETE FROM blobs WHERE hash = ?1", [hash])?;
            }
            Ok(Swept { unused: unused.len(), expired: expired.len() })
        })
        .await
    }
}

fn hashes(db: &Connection, sql: &str, params: impl Params) -> Result<Vec<String>, Error> {
    let mut statement = db.prepare(sql)?;
    let found = statement.query_map(params, |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use jnana_api::conversations::{NewMessage, Part};

    use super::*;

    /// Makes every blob look `days` old.
    async fn age(store: &Store, days: i64) {
        store
            .write(
                move |db| Ok(db.execute("UPDATE blobs SET created_at = created_at - ?1", [days * DAY_MS])?),
            )
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_sweep_removes_unused_and_expired_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let picture =
            store.add_blob(bytes::Bytes::from_static(b"\xff\xd8\xff\xe0picture"), "").await.unwrap();
        let table = store.add_blob(bytes::Bytes::from_static(b"a,b"), "text/csv").await.unwrap();
        let unused = store.add_blob(bytes::Bytes::from_static(b"c,d"), "text/csv").await.unwrap();
        assert_eq!(picture.mime, "image/jpeg");
        let conversation = store.create_conversation().await.unwrap();
        let input = |blob: &jnana_api::conversations::BlobRef| Part::Input {
            plugin: "p".to_owned(),
            blob: blob.clone(),
            text: None,
        };
        let new = NewMessage { parent: None, parts: vec![input(&picture), input(&table)] };
        store.post(&conversation.summary.id, new).await.unwrap();

        let days = BTreeMap::from([("image".to_owned(), 30), ("text".to_owned(), 0)]);
        assert_eq!(store.sweep(days.clone()).await.unwrap(), Swept::default());
        age(&store, 31).await;
        assert_eq!(store.sweep(days).await.unwrap(), Swept { unused: 1, expired: 1 });
        assert!(matches!(store.blob(&picture.hash).await, Err(Error::Expired(_))));
        assert!(matches!(store.blob(&unused.hash).await, Err(Error::NotFound { .. })));
        assert_eq!(store.blob(&table.hash).await.unwrap().1, b"a,b");
    }
}
