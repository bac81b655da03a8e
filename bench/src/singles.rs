//! One transaction per message: what committed sends are compared with.
//!
//! Many tasks each take the next number of a chat and insert a message under it, in a transaction of
//! their own, into the tables of the service, on SQLite with `synchronous=FULL` or on PostgreSQL: the
//! same work and the same promise, without group commit.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait, Value,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commits one message per transaction, from many tasks at once, and prints how many a second.
#[derive(Parser)]
#[command(version)]
struct Singles {
    /// A file, which is made; or the URL of an empty database of PostgreSQL
    database: String,

    /// Tasks, each with a message on its way
    #[arg(long, default_value_t = 256)]
    tasks: usize,

    /// Chats that they write to
    #[arg(long, default_value_t = 64)]
    chats: usize,

    /// Connections to the database: a few hide each other's pauses, many only fight for its lock
    #[arg(long, default_value_t = 4)]
    connections: u32,

    /// How long to measure
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

const ADD_CHAT: &str = "INSERT INTO chat (kind, name, created_by, created_at) \
    VALUES ('group', 'singles', 1, CURRENT_TIMESTAMP) RETURNING id";
const TAKE_NUMBER: &str = "UPDATE chat SET last_seq = last_seq + 1, message_count = message_count + 1, \
    last_message_at = CURRENT_TIMESTAMP WHERE id = $1 RETURNING last_seq";
const ADD_MESSAGE: &str = "INSERT INTO message \
    (chat_id, seq, sender_id, text, content_type, client_id, timestamp) \
    VALUES ($1, $2, $3, $4, 'text', $5, CURRENT_TIMESTAMP)";
const TEXT: &str = "0 123456 123456789012 xxxxxxxxxxxxxxxxxx";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let singles = Singles::parse();
    let database = connect(&singles).await?;
    migration::up(&database).await?;
    let mut chats = Vec::new();
    for _ in 0..singles.chats.max(1) {
        chats.push(number(&database, ADD_CHAT, []).await?);
    }

    let is_over = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..singles.tasks {
        let (database, chat) = (database.clone(), chats[task % chats.len()]);
        tasks.spawn(send(database, chat, task, Arc::clone(&is_over)));
    }
    tokio::time::sleep(Duration::from_secs(singles.seconds)).await;
    is_over.store(true, Ordering::Relaxed);
    let mut commits = 0;
    for sent in tasks.join_all().await {
        commits += sent?;
    }
    let per_second = (commits as f64 / started.elapsed().as_secs_f64()).round();
    println!(
        r#"{{"scenario":"singles","tasks":{},"chats":{},"commits_per_second":{per_second}}}"#,
        singles.tasks, singles.chats
    );
    Ok(())
}

async fn connect(singles: &Singles) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(match singles.database.contains("://") {
        true => singles.database.clone(),
        false => format!("sqlite://{}?mode=rwc", singles.database),
    });
    options
        .max_connections(singles.connections)
        .acquire_timeout(Duration::from_secs(60))
        .sqlx_logging(false)
        .test_before_acquire(false)
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .busy_timeout(Duration::from_secs(60))
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
        });
    Database::connect(options).await
}

/// Sends until it is over; gives back how many were committed.
async fn send(
    database: DatabaseConnection,
    chat: i64,
    task: usize,
    is_over: Arc<AtomicBool>,
) -> Result<u64, DbErr> {
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = database.begin_with_options(options).await?;
        let seq = number(&transaction, TAKE_NUMBER, [chat.into()]).await?;
        let row: [Value; 5] = [
            chat.into(),
            seq.into(),
            (task as i64).into(),
            TEXT.into(),
            sent.to_string().into(),
        ];
        let insert =
            Statement::from_sql_and_values(database.get_database_backend(), ADD_MESSAGE, row);
        transaction.execute_raw(insert).await?;
        transaction.commit().await?;
        sent += 1;
    }
    Ok(sent)
}

async fn number<const N: usize>(
    database: &impl ConnectionTrait,
    sql: &str,
    values: [Value; N],
) -> Result<i64, DbErr> {
    let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, values);
    let row = database.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound(sql.to_owned()))?;
    row.try_get_by_index(0)
}
