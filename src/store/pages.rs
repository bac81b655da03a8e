//! Pages of messages, read as one row: the driver hands rows from its thread to ours one by one, and for
//! fifty small ones the handing over costs several times the reading. So the database puts a page together as
//! JSON, and a page of a chat comes with the reader's standing in it, in one query.

use entity::{ChatId, ContentType, MessageId, Seq, Time, UserId, message};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    EnterRow, Store, StoreError, Stored,
    chats::{STANDING, standing},
    sql::{Sql, parse_time, statement},
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
fn entry(database: DbBackend) -> String {
    let (array, time, deleted) = match database {
        DbBackend::Postgres => ("json_build_array", "x.COLUMN", "x.is_deleted::int"),
        DbBackend::MySql => (
            "json_array",
            "date_format(x.COLUMN, '%Y-%m-%dT%H:%i:%s.%f+00:00')",
            "x.is_deleted",
        ),
        _ => ("json_array", "x.COLUMN", "x.is_deleted"),
    };
    let [said, edited] = ["timestamp", "edited_at"].map(|column| time.replace("COLUMN", column));
    format!(
        "{array}(x.id, x.seq, x.sender_id, x.text, x.content_type, x.client_id, x.reply_to, {said}, {edited}, {deleted})"
    )
}

/// The messages that `from` finds, in its order, as one array.
fn page_of(database: DbBackend, from: &str) -> String {
    let entry = entry(database);
    match database {
        DbBackend::Postgres => format!("(SELECT json_agg({entry})::text FROM ({from}) x)"),
        DbBackend::MySql => {
            format!("(SELECT CAST(json_arrayagg({entry}) AS CHAR) FROM ({from}) x)")
        }
        _ => format!("(SELECT json_group_array({entry}) FROM ({from}) x)"),
    }
}

/// A page of a chat: ?1 is the user, ?2 the chat, ?3 the role of who has none, ?4 the message that is named.
fn page(database: DbBackend, within: &str, order: &str) -> String {
    // What is named in FROM can't look at the rows around it on MySQL.
    let (cleared, place) = match database {
        DbBackend::MySql => (
            "coalesce((SELECT n.cleared_seq FROM member n WHERE n.chat_id = ?2 AND n.user_id = ?1), 0)",
            "(SELECT q.seq FROM message q WHERE q.id = ?4 AND q.chat_id = ?2)",
        ),
        _ => ("coalesce(m.cleared_seq, 0)", "p.seq"),
    };
    let within = within.replace("PLACE", place);
    let messages = page_of(
        database,
        &format!(
            "SELECT x.* FROM message x WHERE x.chat_id = ?2 AND x.seq > {cleared} {within} \
             ORDER BY x.seq {order} LIMIT ?5 OFFSET ?6"
        ),
    );
    format!(
        "SELECT c.*, {STANDING}, NULL AS unread, p.seq AS place, \
         CASE WHEN coalesce(m.role, ?3) <> 'banned' THEN {messages} END AS page \
         FROM chat c LEFT JOIN member m ON m.chat_id = c.id AND m.user_id = ?1 \
         LEFT JOIN message p ON p.id = ?4 AND p.chat_id = c.id WHERE c.id = ?2"
    )
}

const IS_BEFORE: &str = "AND x.seq < PLACE";
/// Where deleted messages are left out, they take nobody's place in a page: it is full, however many lie between.
const IS_SAID: &str = "AND NOT x.is_deleted";

static NEWEST: Sql = Sql::new(|database| page(database, "", "DESC"));
static BEFORE: Sql = Sql::new(|database| page(database, IS_BEFORE, "DESC"));
static AFTER: Sql = Sql::new(|database| page(database, "AND x.seq > PLACE", "ASC"));
static NEWEST_SAID: Sql = Sql::new(|database| page(database, IS_SAID, "DESC"));
static BEFORE_SAID: Sql =
    Sql::new(|database| page(database, &format!("{IS_BEFORE} {IS_SAID}"), "DESC"));

/// Messages of chat ?1 above the number ?2.
fn since(database: DbBackend, within: &str) -> String {
    let messages = format!(
        "SELECT x.* FROM message x WHERE x.chat_id = ?1 AND x.seq > ?2 {within} ORDER BY x.seq LIMIT ?3"
    );
    format!("SELECT {} AS page", page_of(database, &messages))
}

static SINCE: Sql = Sql::new(|database| since(database, ""));
static SINCE_SAID: Sql = Sql::new(|database| since(database, IS_SAID));

/// The page's message; `entry` says which column is which.
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
        let sql = match asked.place {
            None => &NEWEST,
            Some(Place::Before(_)) => &BEFORE,
            Some(Place::After(_)) => &AFTER,
        };
        self.page_by(sql, chat, user, may_look, asked).await
    }

    /// The newest messages of a chat that aren't deleted, or of those before one, for a user as in `find_page`.
    pub async fn find_newest_said(
        &self,
        chat: ChatId,
        user: UserId,
        may_look: bool,
        before: Option<MessageId>,
        limit: u64,
    ) -> Stored<Option<PageRow>> {
        let (place, sql) = match before {
            None => (None, &NEWEST_SAID),
            Some(id) => (Some(Place::Before(id)), &BEFORE_SAID),
        };
        let asked = PageAsked {
            place,
            skipped: 0,
            limit,
        };
        self.page_by(sql, chat, user, may_look, asked).await
    }

    async fn page_by(
        &self,
        sql: &Sql,
        chat: ChatId,
        user: UserId,
        may_look: bool,
        asked: PageAsked,
    ) -> Stored<Option<PageRow>> {
        let place = asked.place.map(|(Place::Before(id) | Place::After(id))| id);
        let stranger = if may_look { "member" } else { "banned" };
        let values = [
            user.into(),
            chat.into(),
            stranger.into(),
            place.map(|id| id.0).into(),
            asked.limit.into(),
            // More than databases count to is past the end as well.
            asked.skipped.min(i64::MAX.unsigned_abs()).into(),
        ];
        let row = self
            .read()
            .query_one_raw(statement(self.read(), sql, values))
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
        self.since_by(&SINCE, chat, since, limit).await
    }

    /// The same of what was said and isn't deleted.
    pub async fn said_since(
        &self,
        chat: ChatId,
        since: Seq,
        limit: u64,
    ) -> Stored<Vec<message::Model>> {
        self.since_by(&SINCE_SAID, chat, since, limit).await
    }

    async fn since_by(
        &self,
        sql: &Sql,
        chat: ChatId,
        since: Seq,
        limit: u64,
    ) -> Stored<Vec<message::Model>> {
        let values = [chat.into(), since.into(), limit.into()];
        let row = self
            .read()
            .query_one_raw(statement(self.read(), sql, values))
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
