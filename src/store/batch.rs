//! The writer's transaction: what it asks and writes, each with one statement for the whole batch.
//!
//! Rows that fail a check come back by their place in what was asked; those that pass cost no row.

use std::{collections::HashMap, fmt, pin::Pin, sync::Arc};

use entity::{ChatId, ContentType, MessageId, Seq, Time, UserId, change, chat, member, message};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, FromQueryResult,
    QueryFilter, QueryOrder, QueryResult,
};
use serde::Serialize;

use super::{
    Store, StoreError, Stored,
    sql::{rows_text, time_text, with_rows},
};

type Committing = Pin<Box<dyn Future<Output = Result<(), DbErr>> + Send>>;

/// How a transaction is ended. There is one way in service; tests add one whose connection breaks at that moment.
#[derive(Clone)]
pub struct Commit(Arc<dyn Fn(DatabaseTransaction) -> Committing + Send + Sync>);

impl Commit {
    /// Ends transactions by `end`.
    pub fn new(end: impl Fn(DatabaseTransaction) -> Committing + Send + Sync + 'static) -> Self {
        Self(Arc::new(end))
    }
}

impl Default for Commit {
    fn default() -> Self {
        Self::new(|transaction| Box::pin(transaction.commit()))
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
}

impl Store {
    /// Begins the writer's transaction.
    pub async fn begin_batch(&self, commit: Commit) -> Stored<Batch> {
        Ok(Batch {
            transaction: self.begin().await?,
            commit,
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
        let sql = "SELECT * FROM chat WHERE id IN (SELECT value FROM jsonb_each(?)) ORDER BY id";
        let statement = with_rows(&self.transaction, sql, &ids, [])?;
        let rows = chat::Entity::find()
            .from_raw_sql(statement)
            .all(&self.transaction)
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// Which of these (chat, user) have no right to write: not a member, or barred.
    pub async fn find_strangers(&self, asked: &[(ChatId, UserId)]) -> Stored<Vec<usize>> {
        self.places(
            "SELECT j.key AS place FROM jsonb_each(?) j \
             LEFT JOIN member m ON m.chat_id = j.value ->> 0 AND m.user_id = j.value ->> 1 \
             WHERE m.role IS NULL OR m.role = 'banned'",
            &asked,
        )
        .await
    }

    /// Which of these (chat, sender), all in personal chats, are blocked by the other one.
    pub async fn find_blocked(&self, asked: &[(ChatId, UserId)]) -> Stored<Vec<usize>> {
        self.places(
            "SELECT j.key AS place FROM jsonb_each(?) j \
             JOIN member m ON m.chat_id = j.value ->> 0 AND m.user_id <> j.value ->> 1 \
             JOIN block b ON b.user_id = m.user_id AND b.blocked_id = j.value ->> 1",
            &asked,
        )
        .await
    }

    /// Which of these (chat, message) don't belong together.
    pub async fn find_misplaced(&self, asked: &[(ChatId, MessageId)]) -> Stored<Vec<usize>> {
        self.places(
            "SELECT j.key AS place FROM jsonb_each(?) j \
             LEFT JOIN message m ON m.id = j.value ->> 1 AND m.chat_id = j.value ->> 0 WHERE m.id IS NULL",
            &asked,
        )
        .await
    }

    /// The messages that exist already for these (chat, sender, client id), by place.
    pub async fn find_repeats(
        &self,
        asked: &[(ChatId, UserId, &str)],
    ) -> Stored<Vec<(usize, message::Model)>> {
        let sql = "SELECT j.key AS place, m.* FROM jsonb_each(?) j JOIN message m \
                   ON m.chat_id = j.value ->> 0 AND m.sender_id = j.value ->> 1 AND m.client_id = j.value ->> 2";
        let statement = with_rows(&self.transaction, sql, &asked, [])?;
        let rows = self.transaction.query_all_raw(statement).await?;
        rows.iter()
            .map(|row| Ok((place(row)?, message::Model::from_query_result(row, "")?)))
            .collect()
    }

    async fn places(&self, sql: &str, asked: &impl Serialize) -> Stored<Vec<usize>> {
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
        let sql = format!(
            "INSERT INTO message \
             (chat_id, seq, sender_id, text, content_type, client_id, reply_to, timestamp, is_deleted) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
             value ->> 7, 0 FROM jsonb_each(?) WHERE value ->> 8 OR EXISTS (SELECT 1 FROM member m \
             WHERE m.chat_id = value ->> 0 AND m.user_id = value ->> 2 AND m.role <> 'banned'); {WRITE_COUNTERS}"
        );
        let table: Vec<_> = rows
            .iter()
            .map(|row| {
                let at = time_text(row.timestamp);
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
                )
            })
            .collect();
        let counters = rows_text(&counters_table(chats))?;
        let statement = with_rows(&self.transaction, &sql, &table, [counters.into()])?;
        let inserted = self.transaction.execute_raw(statement).await?;
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

    /// Inserts changes.
    pub async fn insert_changes(&self, rows: &[change::Model]) -> Stored<()> {
        let sql = "INSERT INTO change (chat_id, seq, kind, message_id, user_id, by_id, role, emoji, at) \
                   SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
                   value ->> 7, value ->> 8 FROM jsonb_each(?)";
        let table: Vec<_> = rows
            .iter()
            .map(|row| {
                let at = time_text(row.at);
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
            .execute_raw(with_rows(&self.transaction, sql, &table, [])?)
            .await?;
        Ok(())
    }

    /// Writes the counters of the chats in which something happened.
    pub async fn write_counters(&self, chats: &[ChatCounters]) -> Stored<()> {
        let table = counters_table(chats);
        self.transaction
            .execute_raw(with_rows(&self.transaction, WRITE_COUNTERS, &table, [])?)
            .await?;
        Ok(())
    }

    /// Moves members' marks forward; one that is further already stays.
    pub async fn write_marks(&self, marks: &[(ChatId, UserId, Seq)]) -> Stored<()> {
        let sql = "UPDATE member SET last_read_seq = j.value ->> 2 FROM jsonb_each(?) j \
                   WHERE member.chat_id = j.value ->> 0 AND member.user_id = j.value ->> 1 \
                   AND member.last_read_seq < j.value ->> 2";
        self.transaction
            .execute_raw(with_rows(&self.transaction, sql, &marks, [])?)
            .await?;
        Ok(())
    }

    /// Moves what operators have read of support chats forward.
    pub async fn write_operator_marks(&self, marks: &[(ChatId, Seq)]) -> Stored<()> {
        let sql = "UPDATE chat SET support_read_seq = j.value ->> 1 FROM jsonb_each(?) j \
                   WHERE chat.id = j.value ->> 0 AND chat.support_read_seq < j.value ->> 1";
        self.transaction
            .execute_raw(with_rows(&self.transaction, sql, &marks, [])?)
            .await?;
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
        Ok((self.commit.0)(self.transaction).await?)
    }
}

/// The rows that stand at these numbers now: what became of a commit whose answer was lost.
impl Store {
    /// Messages by chat and number.
    pub async fn find_messages_at(&self, places: &[(ChatId, Seq)]) -> Stored<Vec<message::Model>> {
        let sql = "SELECT m.* FROM jsonb_each(?) j JOIN message m \
                   ON m.chat_id = j.value ->> 0 AND m.seq = j.value ->> 1";
        let statement = with_rows(self.write(), sql, &places, [])?;
        Ok(message::Entity::find()
            .from_raw_sql(statement)
            .all(self.write())
            .await?)
    }

    /// Changes by chat and number.
    pub async fn find_changes_at(&self, places: &[(ChatId, Seq)]) -> Stored<Vec<change::Model>> {
        let sql = "SELECT c.* FROM jsonb_each(?) j JOIN change c \
                   ON c.chat_id = j.value ->> 0 AND c.seq = j.value ->> 1";
        let statement = with_rows(self.write(), sql, &places, [])?;
        Ok(change::Entity::find()
            .from_raw_sql(statement)
            .all(self.write())
            .await?)
    }
}

/// Its parameter is `counters_table`.
const WRITE_COUNTERS: &str = "UPDATE chat SET last_seq = j.value ->> 1, message_count = j.value ->> 2, \
    last_message_at = j.value ->> 3, waiting_seq = j.value ->> 4, waiting_since = j.value ->> 5 \
    FROM jsonb_each(?) j WHERE chat.id = j.value ->> 0";

fn counters_table(chats: &[ChatCounters]) -> Vec<impl Serialize> {
    let row = |chat: &ChatCounters| {
        let (last, since) = (
            chat.last_message_at.map(time_text),
            chat.waiting_since.map(time_text),
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
