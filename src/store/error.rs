//! What a database answers instead of rows, sorted by what its caller can do about it.

use std::sync::Arc;

use sea_orm::{DbErr, RuntimeErr, SqlErr};

/// A failed query. The text is for the log, never for a client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No connection to be had, or it broke: the outcome of a commit is unknown.
    #[error("the database is away: {0}")]
    Away(Arc<str>),
    /// A unique key exists already.
    #[error("exists already: {0}")]
    Duplicate(Arc<str>),
    /// A statement's own condition did not hold for all of its rows: nothing of the transaction may stay.
    #[error("a condition did not hold")]
    Unmet,
    /// A deadlock, or a lock that could not be had in time: rolled back, may be tried again as it is.
    #[error("lost a lock: {0}")]
    Contended(Arc<str>),
    /// Everything else: rolled back, and the same again would fail again.
    #[error("refused: {0}")]
    Refused(Arc<str>),
}

impl StoreError {
    /// Whether it passes by itself: the database can't be reached, or not in time.
    pub fn is_away(&self) -> bool {
        matches!(self, StoreError::Away(_) | StoreError::Contended(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let text: Arc<str> = error.to_string().into();
        if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
            return StoreError::Duplicate(text);
        }
        match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => StoreError::Away(text),
            DbErr::Query(RuntimeErr::SqlxError(_)) | DbErr::Exec(RuntimeErr::SqlxError(_)) => {
                if is_contention(&text) {
                    StoreError::Contended(text)
                } else if is_broken_connection(&text) {
                    StoreError::Away(text)
                } else {
                    StoreError::Refused(text)
                }
            }
            _ => StoreError::Refused(text),
        }
    }
}

/// SQLite's BUSY and LOCKED, PostgreSQL's 40P01 and 40001, MySQL's 1213 and 1205: the drivers give all of them as text.
fn is_contention(text: &str) -> bool {
    [
        "database is locked",
        "database table is locked",
        "deadlock",
        "Deadlock",
        "could not serialize",
        "Lock wait timeout",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// sqlx gives a cut connection as an I/O or protocol error, a database that stops as its own sentence.
fn is_broken_connection(text: &str) -> bool {
    [
        "error communicating with database",
        "error returned from database: terminating connection",
        "the database system is",
        "server closed the connection",
        "attempted to communicate with a crashed background worker",
        "pool timed out",
        "disk I/O error",
        "unable to open database",
    ]
    .iter()
    .any(|words| text.contains(words))
}
