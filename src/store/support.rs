//! Support chats: which wait for an answer, and what was said last in them.

use entity::{ChatId, MessageId, Time, message};
use sea_orm::{ConnectionTrait, EntityTrait};

use super::{
    Store, Stored,
    sql::{Sql, ids, statement, with_rows},
};

const OPEN: &str = "FROM chat c WHERE c.support_user_id IS NOT NULL AND NOT c.is_deleted AND c.last_message_at >= ?1";

static COUNT_OPEN: Sql = Sql::new(|_| format!("SELECT count(*) AS n {OPEN}"));

static PAGE_OF_OPEN: Sql = Sql::new(|_| {
    format!(
        "SELECT c.id, c.waiting_since {OPEN} ORDER BY c.waiting_since IS NULL, c.waiting_since, c.last_message_at DESC, \
         c.id LIMIT ?2 OFFSET ?3"
    )
});

// The newest of all are among the last ones of the chats that were active last.
static NEWEST: Sql = Sql::new(|database| {
    let ids = ids(database);
    format!(
        "SELECT x.* FROM (SELECT c.id, c.last_seq FROM {ids} j JOIN chat c ON c.id = j.id \
         ORDER BY coalesce(c.last_message_at, c.created_at) DESC LIMIT ?2) c \
         JOIN message x ON x.chat_id = c.id AND x.seq > c.last_seq - ?3 \
         WHERE NOT x.is_deleted ORDER BY x.timestamp DESC, x.id DESC LIMIT ?2"
    )
});

// The same before a message, whose chat needn't be one of those that were active last.
static BEFORE: Sql = Sql::new(|database| {
    let ids = ids(database);
    let is_before = |row| {
        format!(
            "({row}.timestamp < b.timestamp OR ({row}.timestamp = b.timestamp AND {row}.id < b.id))"
        )
    };
    let (any, this) = (is_before("y"), is_before("x"));
    format!(
        "SELECT x.* FROM (SELECT c.id, (SELECT y.seq FROM message y JOIN message b ON b.id = ?2 \
         WHERE y.chat_id = c.id AND {any} ORDER BY y.seq DESC LIMIT 1) AS upto \
         FROM {ids} j JOIN chat c ON c.id = j.id) c \
         JOIN message b ON b.id = ?2 \
         JOIN message x ON x.chat_id = c.id AND x.seq <= c.upto AND x.seq > c.upto - ?4 \
         WHERE NOT x.is_deleted AND {this} ORDER BY x.timestamp DESC, x.id DESC LIMIT ?3"
    )
});

impl Store {
    /// A page of the support chats with a message at or after a moment: those that wait first, longest waiting first,
    /// then the last active ones. And how many there are.
    pub async fn list_support_chats(
        &self,
        since: Time,
        limit: u64,
        offset: u64,
    ) -> Stored<(Vec<(ChatId, Option<Time>)>, u64)> {
        let count = statement(self.read(), &COUNT_OPEN, [since.into()]);
        let count: i64 = self
            .read()
            .query_one_raw(count)
            .await?
            .map_or(Ok(0), |row| row.try_get("", "n"))?;
        // More than databases count to is past the end as well.
        let offset = offset.min(i64::MAX.unsigned_abs());
        let values = [since.into(), limit.into(), offset.into()];
        let rows = self
            .read()
            .query_all_raw(statement(self.read(), &PAGE_OF_OPEN, values))
            .await?;
        let chats = rows
            .iter()
            .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "waiting_since")?)));
        Ok((chats.collect::<Stored<_>>()?, count.unsigned_abs()))
    }

    /// The newest messages of several chats that aren't deleted, newest first, among the last ones of each; or the newest
    /// of those before a message.
    pub async fn newest_messages(
        &self,
        chats: &[ChatId],
        before: Option<MessageId>,
        limit: u64,
    ) -> Stored<Vec<message::Model>> {
        // Signed: MySQL takes nothing unsigned from less than it.
        let last = i64::try_from(limit.saturating_mul(2)).unwrap_or(i64::MAX);
        let (limit, last) = (limit.into(), last.into());
        let asked = match before {
            None => with_rows(self.read(), &NEWEST, &chats, [limit, last])?,
            Some(before) => with_rows(self.read(), &BEFORE, &chats, [before.into(), limit, last])?,
        };
        Ok(message::Entity::find()
            .from_raw_sql(asked)
            .all(self.read())
            .await?)
    }
}
