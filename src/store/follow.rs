//! What connections need that follow all chats of their users: one query for all of them, whatever their number.

use entity::{ChatId, Seq, Time, UserId};
use sea_orm::ConnectionTrait;

use super::{
    EnterRow, ListedRow, Store, Stored,
    chats::{LISTED, STANDING, listed, standing, unread},
    sql::{statement, with_rows},
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
const SMALL: &str = "(c.kind = 'personal' OR (c.kind = 'group' AND (SELECT count(*) FROM (SELECT 1 FROM member o \
    WHERE o.chat_id = c.id AND o.role <> 'banned' LIMIT 21)) <= 20)) AS is_small";

/// The chats and users of `?1`, an array of pairs.
const PAIRS: &str = "FROM json_each(?1) j JOIN chat c ON c.id = j.value ->> 0 \
    LEFT JOIN member m ON m.chat_id = c.id AND m.user_id = j.value ->> 1";

impl Store {
    /// The chats that a user belongs to, hidden ones too.
    pub async fn chats_of(&self, user: UserId) -> Stored<Vec<ChatId>> {
        let sql = "SELECT c.id FROM member m JOIN chat c ON c.id = m.chat_id \
                   WHERE m.user_id = ? AND m.role <> 'banned' AND NOT c.is_deleted";
        let asked = statement(self.read(), sql, [user.into()]);
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// Support chats with a message at or after a moment.
    pub async fn support_chats_since(&self, since: Time) -> Stored<Vec<ChatId>> {
        let sql = "SELECT c.id FROM chat c WHERE c.support_user_id IS NOT NULL AND NOT c.is_deleted \
                   AND c.last_message_at >= ?";
        let asked = statement(self.read(), sql, [since.into()]);
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// Chats as users stand to them; for who is no member, what was said before `since` is history.
    pub async fn enter_all(&self, pairs: &[Pair], since: Time) -> Stored<Vec<FollowedRow>> {
        let sql = format!(
            "SELECT j.key AS place, c.*, {STANDING}, {}, coalesce((SELECT x.seq FROM message x \
             WHERE x.chat_id = c.id AND x.timestamp < coalesce(m.joined_at, ?2) ORDER BY x.seq DESC LIMIT 1), 0) \
             AS before, {SMALL} {PAIRS}",
            unread("j.value ->> 1")
        );
        let asked = with_rows(self.read(), &sql, &pairs, [since.into()])?;
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter()
            .map(|row| {
                let place: i64 = row.try_get("", "place")?;
                Ok(FollowedRow {
                    place: usize::try_from(place).unwrap_or(usize::MAX),
                    entered: standing(row)?,
                    before: row.try_get("", "before")?,
                    is_small: row.try_get("", "is_small")?,
                })
            })
            .collect()
    }

    /// Chats as in the lists of their users, by the pairs' places.
    pub async fn list_all(&self, pairs: &[Pair]) -> Stored<Vec<(usize, ListedRow)>> {
        let sql = format!(
            "SELECT j.key AS place, c.*, {STANDING}, {}, {LISTED} {PAIRS}",
            unread("j.value ->> 1")
        );
        let asked = with_rows(self.read(), &sql, &pairs, [])?;
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
        let sql = "SELECT m.chat_id, m.user_id FROM member m WHERE m.joined_at >= ?2 \
                   AND m.user_id IN (SELECT value FROM json_each(?1)) AND m.role <> 'banned'";
        let asked = with_rows(self.read(), sql, &users, [since.into()])?;
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("", "chat_id")?, row.try_get("", "user_id")?)))
            .collect()
    }
}
