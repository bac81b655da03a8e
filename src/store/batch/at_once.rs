//! The shortest way for a batch that is nothing but new messages: all of it, its begin and its commit included, in one call.
//!
//! Each call costs more than what the database does in between: on SQLite the way to the driver's thread and back, on
//! PostgreSQL a round trip. So nothing is asked here: whoever calls knows the chats as they stood after the last commit, and
//! the statements themselves refuse where that doesn't hold any more. A refusal undoes all of it: on SQLite it rolls the
//! transaction back (`OR ROLLBACK`), so that none is ever left open between two calls; on PostgreSQL it is one statement.

use entity::{ChatId, MessageId, Seq};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, RuntimeErr,
    sqlx::{self, error::ErrorKind},
};
use serde::Serialize;

use super::{ChatCounters, Commit, NewMessageRow, messages_table, postgres, sqlite};
use crate::store::{
    Store, StoreError, Stored,
    sql::{rows_text, time_text},
};

/// A sender who may not write, or is blocked, and a chat that has moved on leave null where there can't be one. The parameters are
/// `messages_table` and `table_from`'s.
const INSERT_AT_ONCE: &str = "BEGIN IMMEDIATE; \
    INSERT OR ROLLBACK INTO message \
    (chat_id, seq, sender_id, text, content_type, client_id, reply_to, timestamp, is_deleted) \
    SELECT CASE WHEN (value ->> 8 OR EXISTS (SELECT 1 FROM member m \
    WHERE m.chat_id = value ->> 0 AND m.user_id = value ->> 2 AND m.role <> 'banned')) \
    AND NOT (value ->> 9 AND EXISTS (SELECT 1 FROM member m \
    JOIN block b ON b.user_id = m.user_id AND b.blocked_id = value ->> 2 \
    WHERE m.chat_id = value ->> 0 AND m.user_id <> value ->> 2)) THEN value ->> 0 END, \
    value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, 0 FROM jsonb_each(?); \
    UPDATE OR ROLLBACK chat SET \
    last_seq = CASE WHEN chat.last_seq = j.value ->> 6 AND NOT chat.is_deleted THEN j.value ->> 1 END, \
    message_count = j.value ->> 2, last_message_at = j.value ->> 3, waiting_seq = j.value ->> 4, \
    waiting_since = j.value ->> 5 FROM jsonb_each(?) j WHERE chat.id = j.value ->> 0; \
    COMMIT";

impl Store {
    /// How many chats a batch of `insert_at_once` may be about; 0 where it can't be had.
    pub fn chats_at_once(&self, commit: &Commit) -> usize {
        match self.database() {
            _ if commit.answered.is_none() => 0,
            DbBackend::Sqlite => usize::MAX,
            // More would be locked in any order, and wait for each other with those of other nodes.
            DbBackend::Postgres => 1,
            _ => 0,
        }
    }

    /// Inserts messages and writes what they change of their chats, which stand at the numbers `stood` now, and commits.
    /// The ids come back in the same order.
    ///
    /// For at most `chats_at_once`. `Unmet` where a sender is no member, barred or blocked, or a chat stands elsewhere, or is deleted; `Duplicate` where a
    /// client id is there already: nothing has happened then. After any other error it is unknown what has.
    pub async fn insert_at_once(
        &self,
        commit: &Commit,
        rows: &[NewMessageRow],
        chats: &[ChatCounters],
        stood: &[Seq],
    ) -> Stored<Vec<MessageId>> {
        let inserted = match self.database() {
            DbBackend::Postgres => match (chats, stood) {
                ([chat], [stood]) => postgres::insert_at_once(self.write(), rows, chat, *stood)
                    .await
                    .map_err(refusal),
                _ => Err(StoreError::Unmet),
            },
            _ => self.insert_and_commit(rows, chats, stood).await,
        };
        match &commit.answered {
            Some(answered) => answered(inserted),
            None => inserted,
        }
    }

    /// SQLite's way.
    async fn insert_and_commit(
        &self,
        rows: &[NewMessageRow],
        chats: &[ChatCounters],
        stood: &[Seq],
    ) -> Stored<Vec<MessageId>> {
        let table = rows_text(&messages_table(DbBackend::Sqlite, rows))?;
        let counters = rows_text(&table_from(chats, stood))?;
        let insert = sqlite(INSERT_AT_ONCE, [table.into(), counters.into()]);
        let inserted = match self.write().execute_raw(insert).await.map_err(refusal) {
            Ok(inserted) => inserted,
            Err(error @ (StoreError::Unmet | StoreError::Duplicate(_))) => return Err(error),
            Err(error) => {
                // Where a transaction is open still, it must not become the next caller's.
                let _ = self.write().execute_unprepared("ROLLBACK").await;
                return Err(error);
            }
        };
        // As in `insert_messages`: each row gets the id after the one before it.
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let last = i64::try_from(inserted.last_insert_id())
            .map_err(|_| StoreError::Refused("an id beyond 63 bits".into()))?;
        Ok((last - count + 1..=last).map(MessageId).collect())
    }

    /// The ids of these messages, if they stand at their numbers: all of one transaction do, or none.
    pub async fn find_ids_of(&self, rows: &[NewMessageRow]) -> Stored<Option<Vec<MessageId>>> {
        let places: Vec<(ChatId, Seq)> = rows.iter().map(|row| (row.chat_id, row.seq)).collect();
        let stored = self.find_messages_at(&places).await?;
        let id_of = |row: &NewMessageRow| {
            let own = stored.iter().find(|stored| {
                (stored.chat_id, stored.seq) == (row.chat_id, row.seq) && row.is_stored_as(stored)
            });
            own.map(|stored| stored.id)
        };
        Ok(rows.iter().map(id_of).collect())
    }
}

fn table_from(chats: &[ChatCounters], stood: &[Seq]) -> Vec<impl Serialize> {
    let at = |at| time_text(DbBackend::Sqlite, at);
    let row = |(chat, stood): (&ChatCounters, &Seq)| {
        (
            chat.id,
            chat.last_seq,
            chat.message_count,
            chat.last_message_at.map(at),
            chat.waiting_seq,
            chat.waiting_since.map(at),
            *stood,
        )
    };
    chats.iter().zip(stood).map(row).collect()
}

fn refusal(error: DbErr) -> StoreError {
    match &error {
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))
            if is_null(cause) =>
        {
            StoreError::Unmet
        }
        _ => error.into(),
    }
}

fn is_null(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.kind() == ErrorKind::NotNullViolation)
}
