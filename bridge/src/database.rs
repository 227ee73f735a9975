//! One SQLite file: short transactions, fsynced, overwritten when deleted.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::seal::{SealError, Sealer};

/// Why a row could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's complaint.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Sealed content can't be made or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A row is not what this version writes.
    #[error("a row can't be read: {0}")]
    Row(#[from] serde_json::Error),
    /// A file beside the database.
    #[error("a file can't be kept: {0}")]
    File(#[from] std::io::Error),
    /// The program is ending.
    #[error("the database thread is gone")]
    Ended,
}

/// A database. Cheap to clone; all clones share one connection, since every write waits for the disk anyway.
#[derive(Clone)]
pub struct Database {
    connection: Arc<Mutex<Connection>>,
    sealer: Sealer,
}

impl Database {
    /// Opens the file and brings its schema up to date. `migrations` are run once each, in order, counted in
    /// `user_version`; published ones never change.
    pub fn open(path: &Path, sealer: Sealer, migrations: &[&str]) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A commit that returned is on disk: the homeserver is told so.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        for migration in migrations.iter().skip(done) {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", i64::try_from(migrations.len()).unwrap_or(i64::MAX))?;
        transaction.commit()?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), sealer })
    }

    /// Runs `body` in one transaction: all of it is on disk when this returns, or nothing.
    pub async fn run<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>, &Sealer) -> Result<T, StoreError> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        let sealer = self.sealer.clone();
        tokio::task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = body(&transaction, &sealer)?;
            transaction.commit()?;
            Ok(result)
        })
        .await
        .map_err(|_| StoreError::Ended)?
    }

    /// Moves everything into the main file and cuts the write-ahead log to nothing, so that what was deleted (and
    /// overwritten, by `secure_delete`) isn't left in the log.
    pub async fn truncate_log(&self) -> Result<(), StoreError> {
        let connection = Arc::clone(&self.connection);
        tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
        .await
        .map_err(|_| StoreError::Ended)?
    }
}
