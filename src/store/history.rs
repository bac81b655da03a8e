//! Reading what was said and what happened: single messages, changes after a number, readers.

use entity::{ChatId, MessageId, Seq, UserId, change, member, message};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    Store, Stored,
    sql::{statement, with_rows},
};

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
        // Within a chat ids rise with the numbers, but no index has them together: looked for by halving, so that the
        // length of the chat doesn't matter.
        let is_before = "coalesce((SELECT x.id FROM message x WHERE x.chat_id = ?1 AND x.seq <= (low + high + 1) / 2 \
                         ORDER BY x.seq DESC LIMIT 1), 0) < ?2";
        let sql = format!(
            "WITH RECURSIVE place(low, high) AS (SELECT 0, c.last_seq FROM chat c WHERE c.id = ?1 UNION ALL \
             SELECT CASE WHEN {is_before} THEN (low + high + 1) / 2 ELSE low END, \
             CASE WHEN {is_before} THEN high ELSE (low + high + 1) / 2 - 1 END FROM place WHERE low < high) \
             SELECT low AS seq FROM place WHERE low = high LIMIT 1"
        );
        let values = [chat.into(), id.into()];
        let row = self
            .read()
            .query_one_raw(statement(self.read(), &sql, values))
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
    pub async fn find_messages(&self, ids: &[MessageId]) -> Stored<Vec<message::Model>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT m.* FROM json_each(?) j JOIN message m ON m.id = j.value";
        let statement = with_rows(self.read(), sql, &ids, [])?;
        Ok(message::Entity::find()
            .from_raw_sql(statement)
            .all(self.read())
            .await?)
    }

    /// How many of others' messages above a number aren't deleted, counted to 1000.
    pub async fn count_unread(&self, chat: ChatId, user: UserId, above: Seq) -> Stored<u64> {
        let sql = "SELECT count(*) AS n FROM (SELECT 1 FROM message WHERE chat_id = ? AND seq > ? \
                   AND sender_id <> ? AND NOT is_deleted LIMIT 1000)";
        let values = [chat.into(), above.into(), user.into()];
        let statement = sea_orm::Statement::from_sql_and_values(
            self.read().get_database_backend(),
            sql,
            values,
        );
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
