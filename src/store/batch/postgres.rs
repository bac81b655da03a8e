//! PostgreSQL's way of what every batch does: whole columns travel as arrays, and the messages with what they change of
//! their chats in one round trip.
//!
//! An array holds no null here: 0, an empty text and the beginning of 1970 stand for it, none of which is ever meant.

use entity::{ChatId, MessageId, Seq, Time};
use sea_orm::{
    ActiveEnum, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, Value,
};

use super::{ChatCounters, NewMessageRow};
use crate::store::{StoreError, Stored, sql::Sql, sql::statement};

/// The rows are locked in the order of their ids (the manual, 13.3.4); nobody refers to a chat by a foreign key.
const LOCK_CHATS: &str = "SELECT * FROM chat WHERE id = ANY($1) ORDER BY id FOR UPDATE";

/// Parameters from `first` on are the columns of `counters`.
fn update_counters(first: usize) -> String {
    let [id, seq, count, said, waits, since] = [0, 1, 2, 3, 4, 5].map(|column| first + column);
    format!(
        "UPDATE chat AS t SET last_seq = j.last_seq, message_count = j.message_count, \
         last_message_at = nullif(j.last_message_at, 'epoch'), waiting_seq = nullif(j.waiting_seq, 0), \
         waiting_since = nullif(j.waiting_since, 'epoch') \
         FROM unnest(?{id}::bigint[], ?{seq}::bigint[], ?{count}::bigint[], ?{said}::timestamptz[], ?{waits}::bigint[], \
         ?{since}::timestamptz[]) AS j(id, last_seq, message_count, last_message_at, waiting_seq, waiting_since) \
         WHERE t.id = j.id"
    )
}

static WRITE_COUNTERS: Sql = Sql::new(|_| update_counters(1));

/// Whether the sender of a row may write.
const MAY_WRITE: &str = "r.may_write OR EXISTS (SELECT 1 FROM member m \
    WHERE m.chat_id = r.chat_id AND m.user_id = r.sender_id AND m.role <> 'banned')";

/// Whether the other one of a personal chat takes nothing from the sender of a row.
const IS_BLOCKED: &str = "r.may_be_blocked AND EXISTS (SELECT 1 FROM member m \
    JOIN block b ON b.user_id = m.user_id AND b.blocked_id = r.sender_id \
    WHERE m.chat_id = r.chat_id AND m.user_id <> r.sender_id)";

/// Parameters up to the tenth are `columns`. The order of the rows is the order of their ids: a table's own defaults are
/// filled in after the sorting.
fn insert_rows(chat_id: &str, filter: &str) -> String {
    format!(
        "INSERT INTO message \
         (chat_id, seq, sender_id, text, content_type, client_id, reply_to, timestamp, is_deleted) \
         SELECT {chat_id}, r.seq, r.sender_id, r.text, r.content_type, nullif(r.client_id, ''), nullif(r.reply_to, 0), \
         r.timestamp, FALSE FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::text[], ?5::text[], ?6::text[], \
         ?7::bigint[], ?8::timestamptz[], ?9::bool[], ?10::bool[]) WITH ORDINALITY AS r(chat_id, seq, sender_id, text, \
         content_type, client_id, reply_to, timestamp, may_write, may_be_blocked, place) \
         {filter} ORDER BY r.place RETURNING id"
    )
}

static INSERT_MESSAGES: Sql = Sql::new(|_| {
    let (counted, filter) = (update_counters(11), format!("WHERE {MAY_WRITE}"));
    format!(
        "WITH counted AS ({counted}) {}",
        insert_rows("r.chat_id", &filter)
    )
});

// A chat that has moved on is not counted: its row is waited for, and looked at as it stands then (the manual, 13.2.1).
// Whoever left meanwhile has moved it on. What is refused leaves null where there can't be one, which undoes it all.
static INSERT_AT_ONCE: Sql = Sql::new(|_| {
    let counted = update_counters(11);
    let chat_id = format!(
        "CASE WHEN EXISTS (SELECT 1 FROM counted) AND ({MAY_WRITE}) AND NOT ({IS_BLOCKED}) THEN r.chat_id END"
    );
    format!(
        "WITH counted AS ({counted} AND t.last_seq = ?17 AND NOT t.is_deleted RETURNING t.id) {}",
        insert_rows(&chat_id, "")
    )
});

pub(super) fn lock_chats(ids: &[ChatId]) -> Statement {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    Statement::from_sql_and_values(DbBackend::Postgres, LOCK_CHATS, [ids.into()])
}

pub(super) async fn insert_messages(
    transaction: &DatabaseTransaction,
    rows: &[NewMessageRow],
    chats: &[ChatCounters],
) -> Stored<Vec<MessageId>> {
    let values = columns(rows).into_iter().chain(counters(chats));
    let insert = statement(transaction, &INSERT_MESSAGES, values);
    let inserted = transaction.query_all_raw(insert).await?;
    if inserted.len() != rows.len() {
        return Err(StoreError::Unmet);
    }
    let ids = inserted.iter().map(|row| Ok(row.try_get("", "id")?));
    ids.collect()
}

/// All of a transaction in one statement, for one chat: an UPDATE would lock several in any order.
pub(super) async fn insert_at_once(
    connection: &impl ConnectionTrait,
    rows: &[NewMessageRow],
    chat: &ChatCounters,
    stood: Seq,
) -> Result<Vec<MessageId>, DbErr> {
    let values = columns(rows).into_iter();
    let values = values.chain(counters(std::slice::from_ref(chat)));
    let insert = statement(connection, &INSERT_AT_ONCE, values.chain([stood.0.into()]));
    let inserted = connection.query_all_raw(insert).await?;
    inserted.iter().map(|row| row.try_get("", "id")).collect()
}

pub(super) fn write_counters(
    transaction: &DatabaseTransaction,
    chats: &[ChatCounters],
) -> Statement {
    statement(transaction, &WRITE_COUNTERS, counters(chats))
}

fn columns(rows: &[NewMessageRow]) -> [Value; 10] {
    let numbers =
        |of: fn(&NewMessageRow) -> i64| Value::from(rows.iter().map(of).collect::<Vec<_>>());
    let texts =
        |of: fn(&NewMessageRow) -> String| Value::from(rows.iter().map(of).collect::<Vec<_>>());
    let times: Vec<Time> = rows.iter().map(|row| row.timestamp).collect();
    let truths =
        |of: fn(&NewMessageRow) -> bool| Value::from(rows.iter().map(of).collect::<Vec<_>>());
    [
        numbers(|row| row.chat_id.0),
        numbers(|row| row.seq.0),
        numbers(|row| row.sender_id.0),
        texts(|row| row.text.clone()),
        texts(|row| row.content_type.to_value()),
        texts(|row| row.client_id.clone().unwrap_or_default()),
        numbers(|row| row.reply_to.map_or(0, |id| id.0)),
        times.into(),
        truths(|row| row.may_write),
        truths(|row| row.may_be_blocked),
    ]
}

fn counters(chats: &[ChatCounters]) -> [Value; 6] {
    let numbers =
        |of: fn(&ChatCounters) -> i64| Value::from(chats.iter().map(of).collect::<Vec<_>>());
    let times = |of: fn(&ChatCounters) -> Option<Time>| {
        let times = chats
            .iter()
            .map(|chat| of(chat).unwrap_or(Time::UNIX_EPOCH));
        Value::from(times.collect::<Vec<_>>())
    };
    [
        numbers(|chat| chat.id.0),
        numbers(|chat| chat.last_seq.0),
        numbers(|chat| chat.message_count),
        times(|chat| chat.last_message_at),
        numbers(|chat| chat.waiting_seq.map_or(0, |seq| seq.0)),
        times(|chat| chat.waiting_since),
    ]
}
