//! The writer's transaction: what it asks and writes, each with one statement for the whole batch. Where a database has a
//! quicker way for what every batch does, it stands in `batch/postgres.rs`, `batch/mysql.rs` and `batch/at_once.rs`.
//!
//! Rows that fail a check come back by their place in what was asked; those that pass cost no row.

mod at_once;
mod mysql;
mod postgres;

use std::{collections::HashMap, fmt, pin::Pin, sync::Arc};

use entity::{ChatId, ContentType, MessageId, Seq, Time, UserId, change, chat, member, message};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
    FromQueryResult, QueryFilter, QueryOrder, QueryResult, Statement, Value,
};
use serde::Serialize;

use super::{
    Store, StoreError, Stored,
    sql::{Kind, Sql, rows, rows_text, time_text, update, with_rows},
};

const CHAT_AND_USER: [(&str, Kind); 2] = [("chat_id", Kind::Number), ("user_id", Kind::Number)];
const CHAT_AND_SEQ: [(&str, Kind); 2] = [("chat_id", Kind::Number), ("seq", Kind::Number)];

static STRANGERS: Sql = Sql::new(|database| {
    let asked = rows(database, &CHAT_AND_USER);
    format!(
        "SELECT j.place AS place FROM {asked} j \
         LEFT JOIN member m ON m.chat_id = j.chat_id AND m.user_id = j.user_id \
         WHERE m.role IS NULL OR m.role = 'banned'"
    )
});

static BLOCKED: Sql = Sql::new(|database| {
    let asked = rows(database, &CHAT_AND_USER);
    format!(
        "SELECT j.place AS place FROM {asked} j \
         JOIN member m ON m.chat_id = j.chat_id AND m.user_id <> j.user_id \
         JOIN block b ON b.user_id = m.user_id AND b.blocked_id = j.user_id"
    )
});

static MISPLACED: Sql = Sql::new(|database| {
    let columns = [("chat_id", Kind::Number), ("message_id", Kind::Number)];
    let asked = rows(database, &columns);
    format!(
        "SELECT j.place AS place FROM {asked} j \
         LEFT JOIN message m ON m.id = j.message_id AND m.chat_id = j.chat_id WHERE m.id IS NULL"
    )
});

static REPEATS: Sql = Sql::new(|database| {
    let columns = [
        ("chat_id", Kind::Number),
        ("sender_id", Kind::Number),
        ("client_id", Kind::Words),
    ];
    let asked = rows(database, &columns);
    format!(
        "SELECT j.place AS place, m.* FROM {asked} j JOIN message m \
         ON m.chat_id = j.chat_id AND m.sender_id = j.sender_id AND m.client_id = j.client_id"
    )
});

static INSERT_CHANGES: Sql = Sql::new(|database| {
    let columns = [
        ("chat_id", Kind::Number),
        ("seq", Kind::Number),
        ("kind", Kind::Words),
        ("message_id", Kind::Number),
        ("user_id", Kind::Number),
        ("by_id", Kind::Number),
        ("role", Kind::Words),
        ("emoji", Kind::Words),
        ("happened", Kind::Moment),
    ];
    let changes = rows(database, &columns);
    format!(
        "INSERT INTO \"change\" (chat_id, seq, kind, message_id, user_id, by_id, role, emoji, at) \
         SELECT j.chat_id, j.seq, j.kind, j.message_id, j.user_id, j.by_id, j.role, j.emoji, j.happened \
         FROM {changes} j"
    )
});

static MARKS: Sql = Sql::new(|database| {
    let columns = [
        ("chat_id", Kind::Number),
        ("user_id", Kind::Number),
        ("seq", Kind::Number),
    ];
    update(
        database,
        "member",
        "last_read_seq = j.seq",
        &rows(database, &columns),
        "t.chat_id = j.chat_id AND t.user_id = j.user_id AND t.last_read_seq < j.seq",
    )
});

static OPERATOR_MARKS: Sql = Sql::new(|database| {
    update(
        database,
        "chat",
        "support_read_seq = j.seq",
        &rows(database, &CHAT_AND_SEQ),
        "t.id = j.chat_id AND t.support_read_seq < j.seq",
    )
});

static MESSAGES_AT: Sql = Sql::new(|database| {
    let places = rows(database, &CHAT_AND_SEQ);
    format!("SELECT m.* FROM {places} j JOIN message m ON m.chat_id = j.chat_id AND m.seq = j.seq")
});

static CHANGES_AT: Sql = Sql::new(|database| {
    let places = rows(database, &CHAT_AND_SEQ);
    format!(
        "SELECT c.* FROM {places} j JOIN \"change\" c ON c.chat_id = j.chat_id AND c.seq = j.seq"
    )
});

type Committing = Pin<Box<dyn Future<Output = Result<(), DbErr>> + Send>>;

type Answered = dyn Fn(Stored<Vec<MessageId>>) -> Stored<Vec<MessageId>> + Send + Sync;

/// How a transaction is ended. There is one way in service; tests add one whose connection breaks at that moment.
#[derive(Clone)]
pub struct Commit {
    end: Arc<dyn Fn(DatabaseTransaction) -> Committing + Send + Sync>,
    /// What is heard of a batch that was one call; without it none is.
    answered: Option<Arc<Answered>>,
}

impl Commit {
    /// Ends transactions by `end`.
    pub fn new(end: impl Fn(DatabaseTransaction) -> Committing + Send + Sync + 'static) -> Self {
        Self {
            end: Arc::new(end),
            answered: None,
        }
    }

    /// Batches that are one call, where the database has such, hear their answers through `answered`.
    pub fn at_once(
        answered: impl Fn(Stored<Vec<MessageId>>) -> Stored<Vec<MessageId>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answered: Some(Arc::new(answered)),
            ..Self::new(|transaction| Box::pin(transaction.commit()))
        }
    }
}

impl Default for Commit {
    fn default() -> Self {
        Self::at_once(|answer| answer)
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commit")
    }
}

/// A message that has its number, on its way into the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessageRow {
    /// Where.
    pub chat_id: ChatId,
    /// Its number.
    pub seq: Seq,
    /// Who.
    pub sender_id: UserId,
    /// What.
    pub text: String,
    /// What it is.
    pub content_type: ContentType,
    /// The sender's own key.
    pub client_id: Option<String>,
    /// What it answers.
    pub reply_to: Option<MessageId>,
    /// When.
    pub timestamp: Time,
    /// Whether their right to write is known: else the insert looks at it.
    pub may_write: bool,
    /// Whether somebody may have blocked them here: `insert_at_once` looks at it.
    pub may_be_blocked: bool,
}

impl NewMessageRow {
    /// Whether a stored message is this one. It may have been edited or deleted meanwhile.
    pub fn is_stored_as(&self, stored: &message::Model) -> bool {
        stored.sender_id == self.sender_id
            && stored.timestamp == self.timestamp
            && stored.client_id == self.client_id
            && (stored.text == self.text || stored.edited_at.is_some() || stored.is_deleted)
    }
}

/// What a batch changes of a chat's row.
#[derive(Clone, Debug)]
pub struct ChatCounters {
    /// Which.
    pub id: ChatId,
    /// The last number taken.
    pub last_seq: Seq,
    /// Messages in all.
    pub message_count: i64,
    /// When the last was said.
    pub last_message_at: Option<Time>,
    /// The customer's first unanswered message.
    pub waiting_seq: Option<Seq>,
    /// When it was said.
    pub waiting_since: Option<Time>,
}

/// One transaction of the writer. Dropped without `commit`, it is rolled back.
#[derive(Debug)]
pub struct Batch {
    transaction: DatabaseTransaction,
    commit: Commit,
    returns_inserted: bool,
}

impl Store {
    /// Begins the writer's transaction.
    pub async fn begin_batch(&self, commit: Commit) -> Stored<Batch> {
        Ok(Batch {
            transaction: self.begin().await?,
            commit,
            returns_inserted: self.returns_inserted,
        })
    }
}

impl Batch {
    /// The transaction, for single statements.
    pub fn transaction(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Locks chats and reads their rows.
    // In ascending id: two nodes whose batches share chats then lock the rows in one order, and wait instead of
    // deadlocking (PostgreSQL manual, 13.3.4). SQLite has locked the database at BEGIN IMMEDIATE.
    pub async fn lock_chats(&self, ids: &[ChatId]) -> Stored<HashMap<ChatId, chat::Model>> {
        lock_chats(&self.transaction, ids).await
    }

    /// Which of these (chat, user) have no right to write: not a member, or barred.
    pub async fn find_strangers(&self, asked: &[(ChatId, UserId)]) -> Stored<Vec<usize>> {
        self.places(&STRANGERS, &asked).await
    }

    /// Which of these (chat, sender), all in personal chats, are blocked by the other one.
    pub async fn find_blocked(&self, asked: &[(ChatId, UserId)]) -> Stored<Vec<usize>> {
        self.places(&BLOCKED, &asked).await
    }

    /// Which of these (chat, message) don't belong together.
    pub async fn find_misplaced(&self, asked: &[(ChatId, MessageId)]) -> Stored<Vec<usize>> {
        self.places(&MISPLACED, &asked).await
    }

    /// The messages that exist already for these (chat, sender, client id), by place.
    pub async fn find_repeats(
        &self,
        asked: &[(ChatId, UserId, &str)],
    ) -> Stored<Vec<(usize, message::Model)>> {
        let statement = with_rows(&self.transaction, &REPEATS, &asked, [])?;
        let rows = self.transaction.query_all_raw(statement).await?;
        rows.iter()
            .map(|row| Ok((place(row)?, message::Model::from_query_result(row, "")?)))
            .collect()
    }

    async fn places(&self, sql: &Sql, asked: &impl Serialize) -> Stored<Vec<usize>> {
        let statement = with_rows(&self.transaction, sql, asked, [])?;
        self.transaction
            .query_all_raw(statement)
            .await?
            .iter()
            .map(place)
            .collect()
    }

    /// Inserts messages, and writes what they change of their chats, with one call to the driver; their ids come back
    /// in the same order. `Unmet` where a sender is no member, or barred.
    pub async fn insert_messages(
        &self,
        rows: &[NewMessageRow],
        chats: &[ChatCounters],
    ) -> Stored<Vec<MessageId>> {
        match self.transaction.get_database_backend() {
            DbBackend::Postgres => postgres::insert_messages(&self.transaction, rows, chats).await,
            DbBackend::MySql => {
                let returns_them = self.returns_inserted;
                mysql::insert_messages(&self.transaction, rows, chats, returns_them).await
            }
            _ => insert_messages(&self.transaction, rows, chats).await,
        }
    }

    /// Inserts changes.
    pub async fn insert_changes(&self, rows: &[change::Model]) -> Stored<()> {
        let database = self.transaction.get_database_backend();
        let table: Vec<_> = rows
            .iter()
            .map(|row| {
                let at = time_text(database, row.at);
                let (chat, seq, by) = (row.chat_id, row.seq, row.by_id);
                (
                    chat,
                    seq,
                    row.kind,
                    row.message_id,
                    row.user_id,
                    by,
                    row.role,
                    &row.emoji,
                    at,
                )
            })
            .collect();
        self.transaction
            .execute_raw(with_rows(&self.transaction, &INSERT_CHANGES, &table, [])?)
            .await?;
        Ok(())
    }

    /// Writes the counters of the chats in which something happened.
    pub async fn write_counters(&self, chats: &[ChatCounters]) -> Stored<()> {
        let write = match self.transaction.get_database_backend() {
            DbBackend::Postgres => postgres::write_counters(&self.transaction, chats),
            DbBackend::MySql => mysql::write_counters(&self.transaction, chats)?,
            _ => {
                let counters = rows_text(&counters_table(DbBackend::Sqlite, chats))?;
                sqlite(WRITE_COUNTERS, [counters.into()])
            }
        };
        self.transaction.execute_raw(write).await?;
        Ok(())
    }

    /// Moves members' marks forward; one that is further already stays.
    pub async fn write_marks(&self, marks: &[(ChatId, UserId, Seq)]) -> Stored<()> {
        let change = with_rows(&self.transaction, &MARKS, &marks, [])?;
        self.transaction.execute_raw(change).await?;
        Ok(())
    }

    /// Moves what operators have read of support chats forward.
    pub async fn write_operator_marks(&self, marks: &[(ChatId, Seq)]) -> Stored<()> {
        let change = with_rows(&self.transaction, &OPERATOR_MARKS, &marks, [])?;
        self.transaction.execute_raw(change).await?;
        Ok(())
    }

    /// One membership.
    pub async fn find_member(&self, chat: ChatId, user: UserId) -> Stored<Option<member::Model>> {
        Ok(member::Entity::find_by_id((chat, user))
            .one(&self.transaction)
            .await?)
    }

    /// All memberships of a chat, the longest-standing first.
    pub async fn list_members(&self, chat: ChatId) -> Stored<Vec<member::Model>> {
        let members = member::Entity::find()
            .filter(member::Column::ChatId.eq(chat))
            .order_by_asc(member::Column::JoinedAt)
            .order_by_asc(member::Column::UserId);
        Ok(members.all(&self.transaction).await?)
    }

    /// One message of a chat.
    pub async fn find_message(
        &self,
        chat: ChatId,
        id: MessageId,
    ) -> Stored<Option<message::Model>> {
        let message = message::Entity::find_by_id(id).filter(message::Column::ChatId.eq(chat));
        Ok(message.one(&self.transaction).await?)
    }

    /// Commits. After an error other than `Contended` it is unknown whether it did.
    pub async fn commit(self) -> Stored<()> {
        Ok((self.commit.end)(self.transaction).await?)
    }
}

/// The rows that stand at these numbers now: what became of a commit whose answer was lost. Their chats are locked first:
/// a server that has lost its client may still be carrying out what it was told.
impl Store {
    /// Messages by chat and number.
    pub async fn find_messages_at(&self, places: &[(ChatId, Seq)]) -> Stored<Vec<message::Model>> {
        let transaction = self.begin_at(places).await?;
        let asked = with_rows(&transaction, &MESSAGES_AT, &places, [])?;
        let messages = message::Entity::find().from_raw_sql(asked);
        let found = messages.all(&transaction).await?;
        transaction.rollback().await?;
        Ok(found)
    }

    /// Changes by chat and number.
    pub async fn find_changes_at(&self, places: &[(ChatId, Seq)]) -> Stored<Vec<change::Model>> {
        let transaction = self.begin_at(places).await?;
        let asked = with_rows(&transaction, &CHANGES_AT, &places, [])?;
        let changes = change::Entity::find().from_raw_sql(asked);
        let found = changes.all(&transaction).await?;
        transaction.rollback().await?;
        Ok(found)
    }

    async fn begin_at(&self, places: &[(ChatId, Seq)]) -> Stored<DatabaseTransaction> {
        let transaction = self.begin().await?;
        let mut chats: Vec<ChatId> = places.iter().map(|(chat, _)| *chat).collect();
        chats.sort_unstable();
        chats.dedup();
        lock_chats(&transaction, &chats).await?;
        Ok(transaction)
    }
}

async fn lock_chats(
    transaction: &DatabaseTransaction,
    ids: &[ChatId],
) -> Stored<HashMap<ChatId, chat::Model>> {
    let lock = match transaction.get_database_backend() {
        DbBackend::Postgres => postgres::lock_chats(ids),
        DbBackend::MySql => mysql::lock_chats(transaction, ids)?,
        _ => {
            let sql =
                "SELECT * FROM chat WHERE id IN (SELECT value FROM jsonb_each(?)) ORDER BY id";
            sqlite(sql, [rows_text(&ids)?.into()])
        }
    };
    let rows = chat::Entity::find()
        .from_raw_sql(lock)
        .all(transaction)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

fn sqlite(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

/// SQLite's way.
async fn insert_messages(
    transaction: &DatabaseTransaction,
    rows: &[NewMessageRow],
    chats: &[ChatCounters],
) -> Stored<Vec<MessageId>> {
    let sql = format!(
        "INSERT INTO message \
         (chat_id, seq, sender_id, text, content_type, client_id, reply_to, timestamp, is_deleted) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
         value ->> 7, 0 FROM jsonb_each(?) WHERE value ->> 8 OR EXISTS (SELECT 1 FROM member m \
         WHERE m.chat_id = value ->> 0 AND m.user_id = value ->> 2 AND m.role <> 'banned'); {WRITE_COUNTERS}"
    );
    let messages = rows_text(&messages_table(DbBackend::Sqlite, rows))?;
    let counters = rows_text(&counters_table(DbBackend::Sqlite, chats))?;
    let insert = sqlite(&sql, [messages.into(), counters.into()]);
    let inserted = transaction.execute_raw(insert).await?;
    if inserted.rows_affected() != (rows.len() + chats.len()) as u64 {
        return Err(StoreError::Unmet);
    }
    // Each row of one statement gets the id after the one before it (SQLite: Autoincrement), and nobody else
    // inserts while this transaction holds the lock: no row needs to come back.
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let last = i64::try_from(inserted.last_insert_id())
        .map_err(|_| StoreError::Refused("an id beyond 63 bits".into()))?;
    Ok((last - count + 1..=last).map(MessageId).collect())
}

fn messages_table<'a>(
    database: DbBackend,
    rows: &'a [NewMessageRow],
) -> Vec<impl Serialize + use<'a>> {
    let row = |row: &'a NewMessageRow| {
        let at = time_text(database, row.timestamp);
        (
            row.chat_id,
            row.seq,
            row.sender_id,
            &row.text,
            row.content_type,
            &row.client_id,
            row.reply_to,
            at,
            row.may_write,
            row.may_be_blocked,
        )
    };
    rows.iter().map(row).collect()
}

/// Its parameter is `counters_table`.
const WRITE_COUNTERS: &str = "UPDATE chat SET last_seq = j.value ->> 1, message_count = j.value ->> 2, \
    last_message_at = j.value ->> 3, waiting_seq = j.value ->> 4, waiting_since = j.value ->> 5 \
    FROM jsonb_each(?) j WHERE chat.id = j.value ->> 0";

fn counters_table(database: DbBackend, chats: &[ChatCounters]) -> Vec<impl Serialize> {
    let row = |chat: &ChatCounters| {
        let (last, since) = (
            chat.last_message_at.map(|at| time_text(database, at)),
            chat.waiting_since.map(|at| time_text(database, at)),
        );
        (
            chat.id,
            chat.last_seq,
            chat.message_count,
            last,
            chat.waiting_seq,
            since,
        )
    };
    chats.iter().map(row).collect()
}

fn place(row: &QueryResult) -> Stored<usize> {
    let place: i64 = row.try_get("", "place")?;
    usize::try_from(place).map_err(|_| StoreError::Refused("a negative place".into()))
}
