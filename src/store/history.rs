//! Reading what was said and what happened: single messages, changes after a number, readers.

use entity::{ChatId, MessageId, Seq, UserId, change, member, message};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    Store, Stored,
    sql::{Sql, counted, ids, statement, with_rows},
};

// Within a chat ids rise with the numbers, but no index has them together: looked for by halving, so that the length of
// the chat doesn't matter.
static NUMBER_BEFORE: Sql = Sql::new(|_| {
    let middle = "((low + high + 1) >> 1)";
    let is_before = format!(
        "coalesce((SELECT x.id FROM message x WHERE x.chat_id = ?1 AND x.seq <= {middle} \
         ORDER BY x.seq DESC LIMIT 1), 0) < ?2"
    );
    // The difference is a 0 of the column's own type.
    format!(
        "WITH RECURSIVE place(low, high) AS (SELECT c.last_seq - c.last_seq, c.last_seq FROM chat c WHERE c.id = ?1 \
         UNION ALL SELECT CASE WHEN {is_before} THEN {middle} ELSE low END, \
         CASE WHEN {is_before} THEN high ELSE {middle} - 1 END FROM place WHERE low < high) \
         SELECT low AS seq FROM place WHERE low = high LIMIT 1"
    )
});

static BY_ID: Sql = Sql::new(|database| {
    let ids = ids(database);
    format!("SELECT m.* FROM {ids} j JOIN message m ON m.id = j.id")
});

static COUNT_UNREAD: Sql = Sql::new(|database| {
    let from =
        "FROM message WHERE chat_id = ?1 AND seq > ?2 AND sender_id <> ?3 AND NOT is_deleted";
    format!("SELECT {} AS n", counted(database, 1000, from))
});

impl Store {
    /// One message of a chat.
    pub async fn find_message(
        &self,
        chat: ChatId,
        id: MessageId,
    ) -> Stored<Option<message::Model>> {
        let message = message::Entity::find_by_id(id).filter(message::Column::ChatId.eq(chat));
        Ok(message.one(self.read()).await?)
    }

    /// The newest message of a chat at or below a number.
    pub async fn newest_message_at(&self, chat: ChatId, seq: Seq) -> Stored<Option<MessageId>> {
        let id = message::Entity::find()
            .select_only()
            .column(message::Column::Id)
            .filter(message::Column::ChatId.eq(chat))
            .filter(message::Column::Seq.lte(seq))
            .order_by_desc(message::Column::Seq)
            .limit(1);
        Ok(id.into_tuple().one(self.read()).await?)
    }

    /// The number below which all messages of a chat have ids below `id`, whether or not it has a message of that id.
    pub async fn number_before(&self, chat: ChatId, id: MessageId) -> Stored<Seq> {
        let values = [chat.into(), id.into()];
        let row = self
            .read()
            .query_one_raw(statement(self.read(), &NUMBER_BEFORE, values))
            .await?;
        row.map_or(Ok(Seq(0)), |row| Ok(row.try_get("", "seq")?))
    }

    /// Changes with numbers above `since`, oldest first.
    pub async fn changes_since(
        &self,
        chat: ChatId,
        since: Seq,
        limit: u64,
    ) -> Stored<Vec<change::Model>> {
        let changes = change::Entity::find()
            .filter(change::Column::ChatId.eq(chat))
            .filter(change::Column::Seq.gt(since))
            .order_by_asc(change::Column::Seq)
            .limit(limit);
        Ok(changes.all(self.read()).await?)
    }

    /// Messages by id.
    pub async fn find_messages(&self, asked: &[MessageId]) -> Stored<Vec<message::Model>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let statement = with_rows(self.read(), &BY_ID, &asked, [])?;
        Ok(message::Entity::find()
            .from_raw_sql(statement)
            .all(self.read())
            .await?)
    }

    /// How many of others' messages above a number aren't deleted, counted to 1000.
    pub async fn count_unread(&self, chat: ChatId, user: UserId, above: Seq) -> Stored<u64> {
        let values = [chat.into(), above.into(), user.into()];
        let statement = statement(self.read(), &COUNT_UNREAD, values);
        let row = self.read().query_one_raw(statement).await?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "n"))?;
        Ok(count.unsigned_abs())
    }

    /// Members who have read up to a number or further, most first.
    pub async fn readers(&self, chat: ChatId, seq: Seq, limit: u64) -> Stored<Vec<member::Model>> {
        let readers = member::Entity::find()
            .filter(member::Column::ChatId.eq(chat))
            .filter(member::Column::LastReadSeq.gte(seq))
            .filter(member::Column::Role.ne(entity::Role::Banned))
            .order_by_desc(member::Column::LastReadSeq)
            .order_by_asc(member::Column::UserId)
            .limit(limit);
        Ok(readers.all(self.read()).await?)
    }
}
