//! What a database answers instead of rows, sorted by what its caller can do about it.

use std::sync::Arc;

use sea_orm::{
    DbErr, RuntimeErr, SqlErr, SqlxMySqlError,
    sqlx::{self, error::DatabaseError},
};

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
            DbErr::Conn(RuntimeErr::SqlxError(cause))
            | DbErr::Query(RuntimeErr::SqlxError(cause))
            | DbErr::Exec(RuntimeErr::SqlxError(cause)) => match passing(cause) {
                Some(Passing::Contention) => StoreError::Contended(text),
                Some(Passing::Absence) => StoreError::Away(text),
                None if matches!(error, DbErr::Conn(_)) => StoreError::Away(text),
                None => StoreError::Refused(text),
            },
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => StoreError::Away(text),
            _ => StoreError::Refused(text),
        }
    }
}

/// Why something failed that may succeed another time.
enum Passing {
    /// Others hold locks.
    Contention,
    /// There is no database to be had, or it takes nothing.
    Absence,
}

fn passing(error: &sqlx::Error) -> Option<Passing> {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<SqlxMySqlError>() {
            Some(error) => passing_on_mysql(error.number()),
            None => passing_by_state(&**error),
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Some(Passing::Absence),
        _ => None,
    }
}

/// By MySQL's and MariaDB's own numbers.
fn passing_on_mysql(number: u16) -> Option<Passing> {
    match number {
        // A lock wait timed out; a deadlock; a statement that must be prepared anew since a table was changed; a
        // statement that took too long (MySQL, MariaDB).
        1205 | 1213 | 1615 | 3024 | 1969 => Some(Passing::Contention),
        // Too many connections, in all and of a user; a server that shuts down; a statement or connection that was
        // killed; a disk that is full; a table that is; a server that only reads; a transaction that took too long
        // between two statements.
        1040 | 1203 | 1226 | 1053 | 1317 | 1927 | 1021 | 1114 | 1290 | 1792 | 1836 | 4031 => {
            Some(Passing::Absence)
        }
        _ => None,
    }
}

/// By SQLSTATE (PostgreSQL), or SQLite's own numbers.
fn passing_by_state(error: &dyn DatabaseError) -> Option<Passing> {
    let code = error.code().unwrap_or_default();
    match &*code {
        // A deadlock; a serialization failure; a lock that could not be had in time; a statement that took too long.
        "40P01" | "40001" | "55P03" | "57014" => Some(Passing::Contention),
        // A server that shuts down, or starts up; one that only reads, as in recovery; a transaction that slept too long.
        "57P01" | "57P02" | "57P03" | "57P05" | "25006" | "25P03" => Some(Passing::Absence),
        // Connections; resources, such as room on the disk; faults of the system beneath.
        code if code.len() == 5 && ["08", "53", "58"].contains(&&code[..2]) => {
            Some(Passing::Absence)
        }
        // BUSY and LOCKED in the lower byte; IOERR, FULL and CANTOPEN.
        code => match code.parse::<i32>().ok()? & 0xFF {
            5 | 6 => Some(Passing::Contention),
            10 | 13 | 14 => Some(Passing::Absence),
            _ => None,
        },
    }
}
