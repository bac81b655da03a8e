//! Connecting: what every connection is told at its start, by which database it is to.
//!
//! Relies on: sqlx prepares each text once per connection, and retries a refused connection until its timeout.

use std::{io::ErrorKind, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement,
    sqlx::{self, Connection, Executor, MySqlConnection},
};

use super::{Store, Stored};

/// Texts that a connection keeps prepared: more than there are.
const STATEMENTS: usize = 512;
/// A connection that was idle for so long is asked whether it still lives, before it is used.
const IDLE_UNASKED: Duration = Duration::from_secs(2);
/// A connection to a server is made anew after so long: what it has prepared, and the server that it is to, may be of
/// yesterday.
const LIFETIME: Duration = Duration::from_secs(1800);
/// A transaction in which nothing happens for so long is ended by the database: its process sleeps, and others wait for
/// its locks.
const IDLE_TRANSACTION: Duration = Duration::from_secs(15);

/// A connection that is given back answers within so long, or is given up (MySQL).
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How to connect.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite://path?mode=rwc`, with the path absolute; `postgres://`, `postgresql://`, `mysql://`, `mariadb://`.
    pub url: String,
    /// Readers at once.
    pub readers: u32,
    /// Writers at once; SQLite has one.
    pub writers: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement may take, and half of it wait for a lock; zero is for ever. SQLite has its own ways.
    pub statement_timeout: Duration,
}

impl StoreOptions {
    /// For one command, or a test: few connections, and all the time that a statement takes.
    pub fn alone(url: String) -> Self {
        Self {
            url,
            readers: 2,
            writers: 2,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::ZERO,
        }
    }
}

pub(super) async fn open(options: &StoreOptions) -> Stored<Store> {
    match options.url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => open_postgres(options).await,
        Some("mysql" | "mariadb") => open_mysql(options).await,
        _ => open_sqlite(options).await,
    }
}

async fn open_sqlite(options: &StoreOptions) -> Stored<Store> {
    let connect = |connections, cached: &'static str| {
        let mut connect = common(&options.url, options, connections);
        // sqlx sets busy_timeout before journal_mode, on each connection.
        connect.map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .busy_timeout(Duration::from_secs(5))
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                .pragma("foreign_keys", "OFF")
                .pragma("temp_store", "MEMORY")
                .pragma("cache_size", cached)
                // 32 MiB: a page that many batches touch is copied back once for all of them.
                .pragma("wal_autocheckpoint", "8192")
                .pragma("journal_size_limit", "67108864")
        });
        Database::connect(connect)
    };
    Ok(Store {
        write: connect(1, "-16384").await?,
        // Each has its own: what many need is in the system's cache, once for all of them.
        read: connect(options.readers.max(1), "-2048").await?,
        returns_inserted: false,
    })
}

async fn open_postgres(options: &StoreOptions) -> Stored<Store> {
    let (statement, lock) = (
        options.statement_timeout.as_millis(),
        options.statement_timeout.as_millis() / 2,
    );
    let idle = idle_transaction(options).as_millis();
    let first = format!(
        "SET default_transaction_isolation = 'read committed'; SET statement_timeout = {statement}; \
         SET lock_timeout = {lock}; SET idle_in_transaction_session_timeout = {idle}"
    );
    let connect = |connections| {
        let first = first.clone();
        let mut connect = common(&options.url, options, connections);
        connect
            .test_before_acquire_if_idle_for(IDLE_UNASKED)
            .max_lifetime(LIFETIME)
            .map_sqlx_postgres_opts(|postgres| postgres.statement_cache_capacity(STATEMENTS))
            .map_sqlx_postgres_pool_opts(move |pool| {
                let first = first.clone();
                pool.after_connect(move |connection, _| told(connection, first.clone()))
            });
        Database::connect(connect)
    };
    Ok(Store {
        write: connect(options.writers.max(2)).await?,
        read: connect(options.readers.max(1)).await?,
        returns_inserted: true,
    })
}

async fn open_mysql(options: &StoreOptions) -> Stored<Store> {
    let url = match options.url.strip_prefix("mariadb:") {
        Some(rest) => format!("mysql:{rest}"),
        None => options.url.clone(),
    };
    let one = Database::connect(common(&url, options, 1)).await?;
    let is_mariadb = is_mariadb(&one).await?;
    one.close().await?;
    // Bytes are compared, and no blank is added: the two have that order by different names.
    let collation = match is_mariadb {
        true => "utf8mb4_nopad_bin",
        false => "utf8mb4_0900_bin",
    };
    let statement = options.statement_timeout;
    let lock = match statement.is_zero() {
        true => 50,
        false => statement.as_secs().div_ceil(2).max(1),
    };
    let timeouts = match is_mariadb {
        true => format!(
            "max_statement_time = {}, idle_transaction_timeout = {}",
            statement.as_secs_f64(),
            idle_transaction(options).as_secs()
        ),
        false => format!("max_execution_time = {}", statement.as_millis()),
    };
    let first = format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET NAMES utf8mb4 COLLATE {collation}; \
         SET SESSION innodb_lock_wait_timeout = {lock}, group_concat_max_len = 1073741824, \
         sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', {timeouts}"
    );
    let connect = |connections| {
        let first = first.clone();
        let mut connect = common(&url, options, connections);
        connect
            .test_before_acquire_if_idle_for(IDLE_UNASKED)
            .max_lifetime(LIFETIME)
            .map_sqlx_mysql_opts(|mysql| mysql.statement_cache_capacity(STATEMENTS))
            .map_sqlx_mysql_pool_opts(move |pool| {
                let first = first.clone();
                pool.after_connect(move |connection, _| told(connection, first.clone()))
                    .after_release(|connection, _| Box::pin(answers(connection)))
            });
        Database::connect(connect)
    };
    Ok(Store {
        write: connect(options.writers.max(2)).await?,
        read: connect(options.readers.max(1)).await?,
        returns_inserted: is_mariadb,
    })
}

fn idle_transaction(options: &StoreOptions) -> Duration {
    match options.statement_timeout.is_zero() {
        true => Duration::ZERO,
        false => IDLE_TRANSACTION,
    }
}

async fn is_mariadb(database: &DatabaseConnection) -> Stored<bool> {
    let asked = Statement::from_string(
        database.get_database_backend(),
        "SELECT version() AS version",
    );
    let row = database.query_one_raw(asked).await?;
    let version: Option<String> = row.map(|row| row.try_get("", "version")).transpose()?;
    Ok(version.is_some_and(|version| version.contains("MariaDB")))
}

/// What a new connection is told before anything else.
fn told<'c, C>(
    connection: &'c mut C,
    first: String,
) -> std::pin::Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + 'c>>
where
    &'c mut C: Executor<'c>,
    C: Send,
{
    Box::pin(async move {
        connection.execute(sqlx::AssertSqlSafe(first)).await?;
        Ok(())
    })
}

/// Whether a connection answers. One whose user gave up while a statement was being prepared waits for the answer to a
/// question that was never asked, and sqlx 0.9 would wait with it for ever: the pool would have one fewer each time.
async fn answers(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    let answer = tokio::time::timeout(ANSWERS_WITHIN, connection.ping()).await;
    answer.map_err(|_| sqlx::Error::Io(ErrorKind::TimedOut.into()))??;
    Ok(true)
}

fn common(url: &str, options: &StoreOptions, connections: u32) -> ConnectOptions {
    let mut connect = ConnectOptions::new(url);
    connect
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        // A round trip at each use otherwise; a broken connection shows itself.
        .test_before_acquire(false);
    connect
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll};

    use futures_util::future::try_join_all;
    use sea_orm::DbBackend;
    use test_database::{Kind, TestDatabase};

    use super::*;

    #[tokio::test]
    async fn nodes_that_make_the_tables_at_once_do_not_collide() {
        if test_database::kind() == Kind::Sqlite {
            return; // whoever serves has it alone
        }
        let database = TestDatabase::empty();
        let nodes = (0..4).map(|_| Store::migrate(database.url()));
        try_join_all(nodes).await.unwrap();
        let options = StoreOptions::alone(database.url().to_owned());
        let store = Store::open(&options).await.unwrap();
        assert_eq!(store.chats_of(entity::UserId(1)).await.unwrap(), []);
    }

    #[tokio::test]
    async fn whoever_gives_up_a_question_takes_no_connection_along() {
        let database = TestDatabase::new();
        let options = StoreOptions::alone(database.url().to_owned());
        let store = Store::open(&options).await.unwrap();
        // Never asked before, so that it is prepared; given up at each of the steps that this takes, and the
        // transaction with it.
        let asks = async |number: u64| {
            let sql =
                format!("SELECT {number} AS number, count(*) AS n FROM chat WHERE id > {number}");
            let question = Statement::from_string(store.database(), sql);
            let transaction = store.begin().await?;
            transaction.query_one_raw(question).await?;
            Stored::Ok(transaction.commit().await?)
        };
        for number in 0..60 {
            let mut steps = number % 10;
            let mut asking = pin!(asks(number));
            poll_fn(|context| match asking.as_mut().poll(context) {
                Poll::Pending if steps > 0 => {
                    steps -= 1;
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
            .await;
        }
        if store.database() != DbBackend::Sqlite {
            // All that there are, held together.
            let _held = tokio::try_join!(store.begin(), store.begin()).unwrap();
        }
        asks(1000).await.unwrap();
        store.close().await;
    }

    #[tokio::test]
    async fn every_connection_is_set_up_as_the_guarantees_need_it() {
        let database = TestDatabase::new();
        let options = StoreOptions {
            statement_timeout: Duration::from_secs(6),
            ..StoreOptions::alone(database.url().to_owned())
        };
        let store = Store::open(&options).await.unwrap();
        let sql = match store.database() {
            DbBackend::Postgres => {
                "SELECT current_setting('transaction_isolation') AS isolation, current_setting('lock_timeout') AS patience"
            }
            DbBackend::MySql => {
                "SELECT @@tx_isolation AS isolation, concat(@@innodb_lock_wait_timeout, 's') AS patience"
            }
            // What is acknowledged is on the disk (pragma.html#pragma_synchronous: 2 is FULL): on the one that writes, too.
            _ => {
                "SELECT (SELECT journal_mode FROM pragma_journal_mode) AS isolation, \
                 (SELECT synchronous || '' FROM pragma_synchronous) AS patience"
            }
        };
        let told = match store.database() {
            DbBackend::Sqlite => ["wal", "2"],
            _ => ["read committed", "3s"],
        };
        for _ in 0..4 {
            // Held together, so that they are different ones.
            let one = store.begin().await.unwrap();
            let other = match store.database() {
                DbBackend::Sqlite => None, // one connection writes
                _ => Some(store.begin().await.unwrap()),
            };
            for connection in [&one].into_iter().chain(&other) {
                let asked = Statement::from_string(store.database(), sql);
                let row = connection.query_one_raw(asked).await.unwrap().unwrap();
                let isolation: String = row.try_get("", "isolation").unwrap();
                let patience: String = row.try_get("", "patience").unwrap();
                let isolation = isolation.to_lowercase().replace('-', " ");
                assert_eq!([isolation.as_str(), patience.as_str()], told);
            }
        }
    }
}
