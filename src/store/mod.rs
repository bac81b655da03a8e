//! The database, through SeaORM: plain functions, one file per topic. It asks and writes, it never decides.
//!
//! Not here: rules (`chat`). What differs between databases stands in `sql.rs` alone.
//! Relies on: WAL with `synchronous=FULL` on SQLite; a commit that returns is on disk.
//! Bounded by: the pools' sizes; every list is asked for with a limit.

mod accounts;
mod batch;
mod chats;
mod django;
mod edits;
mod error;
mod follow;
mod foreign;
mod history;
mod import;
mod members;
mod pages;
mod recovery;
mod sessions;
mod sql;
mod support;
mod sweep;
mod text_values;
mod uploads;
mod users;

use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

pub use accounts::{AccountChange, Keyed, Listed, NewAccountRow, Taken};
pub use batch::{Batch, ChatCounters, Commit, NewMessageRow};
pub use chats::{EnterRow, ListedRow, NewChatRow};
pub use django::{AccountColumns, BlacklistedToken, DjangoAccount, DjangoBlacklist, DjangoTables};
pub use error::StoreError;
pub use foreign::{Columns, Foreign, TextRow};
pub use import::{AccountKeys, ChatKeys, ImportedChat, ImportedMessage};
pub use members::Cleared;
pub use pages::{PageAsked, PageRow, Place};
pub use sessions::{Beside, Rotation, SignInRow, SignedInRow};
pub use sql::database_time;
pub use text_values::{boolean, moment};
pub use uploads::Uploads;

/// The result of asking the database.
pub type Stored<T> = Result<T, StoreError>;

/// Connections to the one database: readers, and on SQLite one writer (a second would only wait for its lock).
#[derive(Clone, Debug)]
pub struct Store {
    read: DatabaseConnection,
    write: DatabaseConnection,
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite://path?mode=rwc`, with the path absolute.
    pub url: String,
    /// Readers at once.
    pub readers: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
}

impl Store {
    /// Connects. Tables are not touched: `migration` makes them.
    pub async fn open(options: &StoreOptions) -> Stored<Store> {
        let write = connect(options, 1).await?;
        let read = connect(options, options.readers.max(1)).await?;
        Ok(Store { read, write })
    }

    /// For queries that change nothing.
    pub fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// For single statements that change something.
    pub fn write(&self) -> &DatabaseConnection {
        &self.write
    }

    /// A transaction that has the right to write from its first statement on: one that began by reading would find
    /// SQLite BUSY at its first write, whatever the busy timeout.
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

    /// Closes all connections.
    pub async fn close(self) {
        let _ = self.write.close().await;
        let _ = self.read.close().await;
    }
}

async fn connect(options: &StoreOptions, connections: u32) -> Stored<DatabaseConnection> {
    let mut connect = ConnectOptions::new(&options.url);
    connect
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        // A round trip at each use otherwise; a broken connection shows itself.
        .test_before_acquire(false)
        // sqlx sets busy_timeout before journal_mode, on each connection.
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .busy_timeout(Duration::from_secs(5))
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                .pragma("foreign_keys", "OFF")
                .pragma("temp_store", "MEMORY")
                .pragma("cache_size", "-16384")
                // 32 MiB: a page that many batches touch is copied back once for all of them.
                .pragma("wal_autocheckpoint", "8192")
                .pragma("journal_size_limit", "67108864")
        });
    Ok(Database::connect(connect).await?)
}
