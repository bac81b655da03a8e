//! What connections need that follow all chats of their users: one query for all of them, whatever their number.

use entity::{ChatId, Seq, Time, UserId};
use sea_orm::{ConnectionTrait, DbBackend};

use super::{
    EnterRow, ListedRow, Store, Stored,
    chats::{LISTED, STANDING, listed, standing, unread},
    sql::{Kind, Sql, counted, ids, rows, statement, with_rows},
};

/// A user and a chat that they follow.
pub(super) type Pair = (ChatId, UserId);

/// A chat as one of its followers stands to it.
#[derive(Clone, Debug)]
pub struct FollowedRow {
    /// The pair's place among those asked for.
    pub place: usize,
    /// The chat, and how the user stands to it.
    pub entered: EnterRow,
    /// The number of the last message before the user belonged to it.
    pub before: Seq,
    /// A personal chat, or a group of few.
    pub is_small: bool,
}

/// Whether a chat is personal, or a group of at most 20; counted no further.
fn small(database: DbBackend) -> String {
    let members = "FROM member o WHERE o.chat_id = c.id AND o.role <> 'banned'";
    let counted = counted(database, 21, members);
    format!("(c.kind = 'personal' OR (c.kind = 'group' AND {counted} <= 20)) AS is_small")
}

/// Chats and users: the parameter is an array of pairs.
fn pairs(database: DbBackend) -> String {
    let pairs = rows(
        database,
        &[("chat_id", Kind::Number), ("user_id", Kind::Number)],
    );
    format!(
        "FROM {pairs} j JOIN chat c ON c.id = j.chat_id \
         LEFT JOIN member m ON m.chat_id = c.id AND m.user_id = j.user_id"
    )
}

static CHATS_OF: Sql = Sql::new(|_| {
    "SELECT c.id FROM member m JOIN chat c ON c.id = m.chat_id \
     WHERE m.user_id = ?1 AND m.role <> 'banned' AND NOT c.is_deleted"
        .to_owned()
});

static SUPPORT_SINCE: Sql = Sql::new(|_| {
    "SELECT c.id FROM chat c WHERE c.support_user_id IS NOT NULL AND NOT c.is_deleted AND c.last_message_at >= ?1"
        .to_owned()
});

static ENTER_ALL: Sql = Sql::new(|database| {
    format!(
        "SELECT j.place AS place, c.*, {STANDING}, {}, coalesce((SELECT x.seq FROM message x \
         WHERE x.chat_id = c.id AND x.timestamp < coalesce(m.joined_at, ?2) ORDER BY x.seq DESC LIMIT 1), 0) \
         AS seq_before, {} {}",
        unread(database, "j.user_id"),
        small(database),
        pairs(database)
    )
});

static LIST_ALL: Sql = Sql::new(|database| {
    format!(
        "SELECT j.place AS place, c.*, {STANDING}, {}, {LISTED} {}",
        unread(database, "j.user_id"),
        pairs(database)
    )
});

static MEMBERSHIPS_SINCE: Sql = Sql::new(|database| {
    let ids = ids(database);
    format!(
        "SELECT m.chat_id, m.user_id FROM member m WHERE m.joined_at >= ?2 \
         AND m.user_id IN (SELECT j.id FROM {ids} j) AND m.role <> 'banned'"
    )
});

impl Store {
    /// The chats that a user belongs to, hidden ones too.
    pub async fn chats_of(&self, user: UserId) -> Stored<Vec<ChatId>> {
        let asked = statement(self.read(), &CHATS_OF, [user.into()]);
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// Support chats with a message at or after a moment.
    pub async fn support_chats_since(&self, since: Time) -> Stored<Vec<ChatId>> {
        let asked = statement(self.read(), &SUPPORT_SINCE, [since.into()]);
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// Chats as users stand to them; for who is no member, what was said before `since` is history.
    pub async fn enter_all(&self, pairs: &[Pair], since: Time) -> Stored<Vec<FollowedRow>> {
        let asked = with_rows(self.read(), &ENTER_ALL, &pairs, [since.into()])?;
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter()
            .map(|row| {
                let place: i64 = row.try_get("", "place")?;
                Ok(FollowedRow {
                    place: usize::try_from(place).unwrap_or(usize::MAX),
                    entered: standing(row)?,
                    before: row.try_get("", "seq_before")?,
                    is_small: row.try_get("", "is_small")?,
                })
            })
            .collect()
    }

    /// Chats as in the lists of their users, by the pairs' places.
    pub async fn list_all(&self, pairs: &[Pair]) -> Stored<Vec<(usize, ListedRow)>> {
        let asked = with_rows(self.read(), &LIST_ALL, &pairs, [])?;
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter()
            .map(|row| {
                let place: i64 = row.try_get("", "place")?;
                Ok((usize::try_from(place).unwrap_or(usize::MAX), listed(row)?))
            })
            .collect()
    }

    /// Memberships of some users begun at or after a moment.
    pub async fn memberships_since(&self, users: &[UserId], since: Time) -> Stored<Vec<Pair>> {
        let asked = with_rows(self.read(), &MEMBERSHIPS_SINCE, &users, [since.into()])?;
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("", "chat_id")?, row.try_get("", "user_id")?)))
            .collect()
    }
}
