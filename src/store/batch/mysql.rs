//! MariaDB's and MySQL's way of what every batch does.

use entity::{ChatId, MessageId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement};

use super::{CHAT_AND_SEQ, ChatCounters, NewMessageRow, counters_table, messages_table};
use crate::store::{
    StoreError, Stored,
    sql::{Kind, Sql, ids, rows, update, with_rows},
};

// Rows are locked as they are read: those of the parameter first, in their order, each looked up.
static LOCK_CHATS: Sql = Sql::new(|database| {
    let ids = ids(database);
    format!("SELECT c.* FROM {ids} j STRAIGHT_JOIN chat c ON c.id = j.id FOR UPDATE")
});

static WRITE_COUNTERS: Sql = Sql::new(|database| {
    let columns = [
        ("chat_id", Kind::Number),
        ("seq", Kind::Number),
        ("messages", Kind::Number),
        ("said", Kind::Moment),
        ("waits", Kind::Number),
        ("waits_since", Kind::Moment),
    ];
    update(
        database,
        "chat",
        "last_seq = j.seq, message_count = j.messages, last_message_at = j.said, waiting_seq = j.waits, \
         waiting_since = j.waits_since",
        &rows(database, &columns),
        "t.id = j.chat_id",
    )
});

fn insert(database: DbBackend) -> String {
    let columns = [
        ("chat_id", Kind::Number),
        ("seq", Kind::Number),
        ("sender_id", Kind::Number),
        ("text", Kind::Long),
        ("content_type", Kind::Words),
        ("client_id", Kind::Words),
        ("reply_to", Kind::Number),
        ("said", Kind::Moment),
        ("may_write", Kind::Truth),
    ];
    let rows = rows(database, &columns);
    format!(
        "INSERT INTO message \
         (chat_id, seq, sender_id, text, content_type, client_id, reply_to, timestamp, is_deleted) \
         SELECT r.chat_id, r.seq, r.sender_id, r.text, r.content_type, r.client_id, r.reply_to, r.said, FALSE \
         FROM {rows} r WHERE r.may_write OR EXISTS (SELECT 1 FROM member m \
         WHERE m.chat_id = r.chat_id AND m.user_id = r.sender_id AND m.role <> 'banned') ORDER BY r.place"
    )
}

static INSERT_MESSAGES: Sql = Sql::new(insert);
static INSERT_RETURNING: Sql = Sql::new(|database| format!("{} RETURNING id", insert(database)));

static INSERTED: Sql = Sql::new(|database| {
    let places = rows(database, &CHAT_AND_SEQ);
    format!(
        "SELECT m.id FROM {places} j JOIN message m ON m.chat_id = j.chat_id AND m.seq = j.seq ORDER BY j.place"
    )
});

pub(super) fn lock_chats(transaction: &DatabaseTransaction, ids: &[ChatId]) -> Stored<Statement> {
    with_rows(transaction, &LOCK_CHATS, &ids, [])
}

/// `returns_them`: MariaDB gives back what it has inserted; MySQL is asked for it, since the ids of one statement need
/// not follow one another.
pub(super) async fn insert_messages(
    transaction: &DatabaseTransaction,
    rows: &[NewMessageRow],
    chats: &[ChatCounters],
    returns_them: bool,
) -> Stored<Vec<MessageId>> {
    let table = messages_table(DbBackend::MySql, rows);
    let inserted = if returns_them {
        let insert = with_rows(transaction, &INSERT_RETURNING, &table, [])?;
        transaction.query_all_raw(insert).await?
    } else {
        let insert = with_rows(transaction, &INSERT_MESSAGES, &table, [])?;
        transaction.execute_raw(insert).await?;
        let places: Vec<_> = rows.iter().map(|row| (row.chat_id, row.seq)).collect();
        let inserted = with_rows(transaction, &INSERTED, &places, [])?;
        transaction.query_all_raw(inserted).await?
    };
    if inserted.len() != rows.len() {
        return Err(StoreError::Unmet);
    }
    transaction
        .execute_raw(write_counters(transaction, chats)?)
        .await?;
    let ids = inserted.iter().map(|row| Ok(row.try_get("", "id")?));
    ids.collect()
}

pub(super) fn write_counters(
    transaction: &DatabaseTransaction,
    chats: &[ChatCounters],
) -> Stored<Statement> {
    let table = counters_table(DbBackend::MySql, chats);
    with_rows(transaction, &WRITE_COUNTERS, &table, [])
}
