//! Pages of messages, read as one row: the driver hands rows from its thread to ours one by one, and for
//! fifty small ones the handing over costs several times the reading. So SQLite puts a page together as
//! JSON, and a page of a chat comes with the reader's standing in it, in one query.

use entity::{ChatId, ContentType, MessageId, Seq, Time, UserId, message};
use sea_orm::{ConnectionTrait, QueryResult};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    EnterRow, Store, StoreError, Stored,
    chats::{STANDING, standing},
    sql::{parse_time, statement},
};

/// A page of a chat that somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct PageAsked {
    /// Next to a message, or from the newest on.
    pub place: Option<Place>,
    /// Left out from there.
    pub skipped: u64,
    /// At most so many.
    pub limit: u64,
}

/// On which side of a message.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// The newest of those before it, newest first.
    Before(MessageId),
    /// The oldest of those after it, oldest first.
    After(MessageId),
}

/// A page as one user may see it.
#[derive(Clone, Debug)]
pub struct PageRow {
    /// The chat, and how the user stands to it.
    pub entered: EnterRow,
    /// The number of the message that was named; none where the chat has no such message.
    pub place: Option<Seq>,
    /// Empty where the user may see nothing.
    pub messages: Vec<message::Model>,
}

/// One message as an array; the columns of `Entry`, in its order.
const ENTRY: &str = "json_array(x.id, x.seq, x.sender_id, x.text, x.content_type, x.client_id, x.reply_to, \
    x.timestamp, x.edited_at, x.is_deleted)";

/// The page's message; `ENTRY` says which column is which.
#[derive(Deserialize)]
struct Entry(
    MessageId,
    Seq,
    UserId,
    String,
    ContentType,
    Option<String>,
    Option<MessageId>,
    StoredTime,
    Option<StoredTime>,
    u8,
);

struct StoredTime(Time);

impl<'de> Deserialize<'de> for StoredTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        parse_time(text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a time"))
    }
}

impl Store {
    /// A page of a chat, for a user: nothing of it for those who are no members, but for staff where `may_look`.
    pub async fn find_page(
        &self,
        chat: ChatId,
        user: UserId,
        may_look: bool,
        asked: PageAsked,
    ) -> Stored<Option<PageRow>> {
        let (place, within, order) = match asked.place {
            None => (None, "", "DESC"),
            Some(Place::Before(id)) => (Some(id), "AND x.seq < p.seq", "DESC"),
            Some(Place::After(id)) => (Some(id), "AND x.seq > p.seq", "ASC"),
        };
        let sql = format!(
            "SELECT c.*, {STANDING}, NULL AS unread, p.seq AS place, \
             CASE WHEN coalesce(m.role, ?3) <> 'banned' THEN (SELECT json_group_array({ENTRY}) FROM \
             (SELECT x.* FROM message x WHERE x.chat_id = c.id AND x.seq > coalesce(m.cleared_seq, 0) {within} \
             ORDER BY x.seq {order} LIMIT ?5 OFFSET ?6) x) END AS page \
             FROM chat c LEFT JOIN member m ON m.chat_id = c.id AND m.user_id = ?1 \
             LEFT JOIN message p ON p.id = ?4 AND p.chat_id = c.id WHERE c.id = ?2"
        );
        let stranger = if may_look { "member" } else { "banned" };
        let values = [
            user.into(),
            chat.into(),
            stranger.into(),
            place.map(|id| id.0).into(),
            asked.limit.into(),
            asked.skipped.into(),
        ];
        let row = self
            .read()
            .query_one_raw(statement(self.read(), &sql, values))
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(PageRow {
            entered: standing(&row)?,
            place: row.try_get("", "place")?,
            messages: messages(&row, chat)?,
        }))
    }

    /// Messages with numbers above `since`, oldest first.
    pub async fn messages_since(
        &self,
        chat: ChatId,
        since: Seq,
        limit: u64,
    ) -> Stored<Vec<message::Model>> {
        let sql = format!(
            "SELECT json_group_array({ENTRY}) AS page FROM (SELECT x.* FROM message x \
             WHERE x.chat_id = ?1 AND x.seq > ?2 ORDER BY x.seq LIMIT ?3) x"
        );
        let values = [chat.into(), since.into(), limit.into()];
        let row = self
            .read()
            .query_one_raw(statement(self.read(), &sql, values))
            .await?;
        row.map_or(Ok(Vec::new()), |row| messages(&row, chat))
    }
}

fn messages(row: &QueryResult, chat_id: ChatId) -> Stored<Vec<message::Model>> {
    let page: Option<String> = row.try_get("", "page")?;
    let Some(page) = page else {
        return Ok(Vec::new());
    };
    let entries: Vec<Entry> = serde_json::from_str(&page)
        .map_err(|error| StoreError::Refused(error.to_string().into()))?;
    let message = |entry: Entry| {
        let Entry(
            id,
            seq,
            sender_id,
            text,
            content_type,
            client_id,
            reply_to,
            timestamp,
            edited_at,
            is_deleted,
        ) = entry;
        message::Model {
            id,
            chat_id,
            seq,
            sender_id,
            text,
            content_type,
            client_id,
            reply_to,
            timestamp: timestamp.0,
            edited_at: edited_at.map(|time| time.0),
            is_deleted: is_deleted != 0,
        }
    };
    Ok(entries.into_iter().map(message).collect())
}
