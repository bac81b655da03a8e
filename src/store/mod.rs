//! The database, through SeaORM: plain functions, one file per topic. It asks and writes, it never decides.
//!
//! Not here: rules (`chat`). What differs between databases stands in `sql.rs` alone.
//! Relies on: WAL with `synchronous=FULL` on SQLite; a commit that returns is on disk.
//! Bounded by: the pools' sizes; every list is asked for with a limit.

mod accounts;
mod attachments;
mod batch;
mod chats;
mod clock;
mod connect;
mod deployment;
mod django;
mod edits;
mod error;
mod export;
mod follow;
mod foreign;
mod history;
mod import;
mod members;
mod pages;
mod recovery;
mod search;
mod sessions;
mod sql;
mod support;
mod sweep;
mod text_values;
mod uploads;
mod users;
mod words;

use std::time::{Duration, Instant};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use tracing::warn;

pub use accounts::{AccountChange, Keyed, Listed, NewAccountRow, Taken};
pub use attachments::NewAttachmentRow;
pub use batch::{Batch, ChatCounters, Commit, NewMessageRow};
pub use chats::{EnterRow, ListedRow, NewChatRow};
pub use clock::database_time;
pub use connect::StoreOptions;
pub use django::{
    AccountColumns, BlacklistedToken, DjangoAccount, DjangoBlacklist, DjangoPage, DjangoTables,
};
pub use error::StoreError;
pub use foreign::{Columns, Foreign, TextRow};
pub use import::{AccountKeys, ChatKeys, ImportedChat, ImportedMessage};
pub use members::Cleared;
pub use pages::{PageAsked, PageRow, Place};
pub use search::Searched;
pub use sessions::{Beside, Rotation, SignInRow, SignedInRow};
pub use text_values::{boolean, moment};
pub use uploads::{Unfinished, Uploads};
pub use words::Question;

/// The result of asking the database.
pub type Stored<T> = Result<T, StoreError>;

/// A transaction that lost a lock is tried anew for so long.
const RETRIED_FOR: Duration = Duration::from_secs(2);
/// How long the end waits for connections that are in use.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// Connections to the one database: readers and writers apart, so that neither wait for the others' connections. On
/// SQLite there is one writer: a second would only wait for its lock.
#[derive(Clone, Debug)]
pub struct Store {
    read: DatabaseConnection,
    write: DatabaseConnection,
    returns_inserted: bool,
}

/// Why the tables could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// Connecting.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A step.
    #[error(transparent)]
    Step(#[from] sea_orm::DbErr),
}

impl Store {
    /// Connects. Tables are not touched: `migrate` makes them.
    pub async fn open(options: &StoreOptions) -> Stored<Store> {
        connect::open(options).await
    }

    /// Makes the tables, and brings them up to date, by connections of its own on which nothing takes too long. Of
    /// several nodes that start at once, one does it and the others wait for it.
    pub async fn migrate(url: &str) -> Result<(), MigrationError> {
        let store = Store::open(&StoreOptions::alone(url.to_owned())).await?;
        let done = migration::up(&store.write).await;
        store.close().await;
        Ok(done?)
    }

    /// For queries that change nothing.
    pub fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// For single statements that change something.
    pub fn write(&self) -> &DatabaseConnection {
        &self.write
    }

    /// Which database it is.
    pub fn database(&self) -> DbBackend {
        self.write.get_database_backend()
    }

    /// A transaction that has the right to write from its first statement on: one that began by reading would find
    /// SQLite BUSY at its first write, whatever the busy timeout.
    // READ COMMITTED is each connection's own setting (`connect`): asked for here it would cost a round trip.
    pub async fn begin(&self) -> Stored<DatabaseTransaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.write.begin_with_options(options).await?)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Stored<()> {
        Ok(self.read.ping().await?)
    }

    /// Copies the whole database into a new file, while others write (SQLite).
    pub async fn copy_to(&self, path: &str) -> Stored<()> {
        let statement = sea_orm::Statement::from_sql_and_values(
            self.write.get_database_backend(),
            "VACUUM INTO ?",
            [path.into()],
        );
        self.read.execute_raw(statement).await?;
        Ok(())
    }

    /// Closes all connections. One that isn't given back is not waited for: it ends with the process.
    pub async fn close(self) {
        let close = async {
            let _ = self.write.close().await;
            let _ = self.read.close().await;
        };
        if tokio::time::timeout(CLOSES_WITHIN, close).await.is_err() {
            warn!("a connection to the database is still in use, and left to itself");
        }
    }
}

/// Tries until no lock is lost any more, but not for ever: a deadlock is nobody's fault, and its transaction was rolled
/// back whole.
async fn retried<T, F: Future<Output = Stored<T>>>(attempt: impl Fn() -> F) -> Stored<T> {
    let began = Instant::now();
    loop {
        match attempt().await {
            Err(StoreError::Contended(_)) if began.elapsed() < RETRIED_FOR => {}
            done => return done,
        }
    }
}
