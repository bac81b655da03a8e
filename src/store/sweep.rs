//! What every node asks the database every two seconds: which chats are ahead, what else changed.

use entity::{ChatId, Seq, SessionId, Time, UserId, message, session, user};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};

use super::{
    Store, Stored,
    sql::{Sql, ids, with_rows},
};

static LAST_SEQS: Sql = Sql::new(|database| {
    let ids = ids(database);
    format!("SELECT c.id, c.last_seq FROM {ids} j JOIN chat c ON c.id = j.id")
});

impl Store {
    /// The counters of chats: one query, whatever their number.
    pub async fn last_seqs(&self, chats: &[ChatId]) -> Stored<Vec<(ChatId, Seq)>> {
        let rows = self
            .read()
            .query_all_raw(with_rows(self.read(), &LAST_SEQS, &chats, [])?)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "last_seq")?)))
            .collect()
    }

    /// Sessions revoked at or after a moment.
    pub async fn sessions_revoked_since(&self, since: Time) -> Stored<Vec<(SessionId, UserId)>> {
        let sessions = session::Entity::find()
            .select_only()
            .column(session::Column::Id)
            .column(session::Column::UserId)
            .filter(session::Column::RevokedAt.gte(since));
        Ok(sessions.into_tuple().all(self.read()).await?)
    }

    /// Accounts changed at or after a moment. New ones, which nobody has met, are left out: an import makes many.
    pub async fn users_changed_since(&self, since: Time) -> Stored<Vec<user::Model>> {
        Ok(user::Entity::find()
            .filter(user::Column::ChangedAt.gte(since))
            .filter(Expr::col(user::Column::ChangedAt).ne(Expr::col(user::Column::DateJoined)))
            .all(self.read())
            .await?)
    }

    /// The newest messages' senders and times, newest first, below an id: what the windows of sends are read from.
    pub async fn recent_sends(&self, below: i64, limit: u64) -> Stored<Vec<(i64, UserId, Time)>> {
        let sends = message::Entity::find()
            .select_only()
            .column(message::Column::Id)
            .column(message::Column::SenderId)
            .column(message::Column::Timestamp)
            .filter(message::Column::Id.lt(below))
            .order_by_desc(message::Column::Id)
            .limit(limit);
        Ok(sends.into_tuple().all(self.read()).await?)
    }
}
