//! Chats: their rows, what a connection needs when it enters, lists, and making them.

use entity::{ChatId, ChatKind, MessageId, Role, Seq, Time, UserId, chat, member};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait,
    FromQueryResult, QueryFilter, QueryResult, Value,
};

use super::{
    Store, Stored, retried,
    sql::{Sql, composed, contains, counted, ids, statement, with_rows},
};

/// A chat as one user stands to it.
#[derive(Clone, Debug)]
pub struct EnterRow {
    /// The chat, deleted or not.
    pub chat: chat::Model,
    /// The user's role, where there is a membership (barred ones too).
    pub role: Option<Role>,
    /// How far they have read.
    pub last_read_seq: Seq,
    /// What they hid from themselves.
    pub cleared_seq: Seq,
    /// The chat's `message_count` then.
    pub cleared_count: i64,
    /// Others' messages after that, not deleted, counted to 1000; none where it wasn't asked for.
    pub unread_count: Option<i64>,
}

/// A chat in a member's list.
#[derive(Clone, Debug)]
pub struct ListedRow {
    /// The chat, and the member's standing.
    pub entered: EnterRow,
    /// Without the barred.
    pub member_count: i64,
    /// The newest that the member may see.
    pub last_message: Option<MessageId>,
}

/// A chat to be made.
#[derive(Clone, Debug)]
pub struct NewChatRow {
    /// What sort.
    pub kind: ChatKind,
    /// Of groups and rooms.
    pub name: Option<String>,
    /// Of rooms: as written, and folded.
    pub room: Option<(String, String)>,
    /// Of personal chats.
    pub pair_key: Option<String>,
    /// Of support chats.
    pub support_user_id: Option<UserId>,
    /// By whom.
    pub created_by: UserId,
    /// When.
    pub created_at: Time,
    /// Only members may enter.
    pub is_private: bool,
    /// Who belongs to it from the start.
    pub members: Vec<(UserId, Role)>,
}

pub(super) const STANDING: &str = "m.role AS m_role, coalesce(m.last_read_seq, 0) AS m_read, \
    coalesce(m.cleared_seq, 0) AS m_cleared, coalesce(m.cleared_count, 0) AS m_cleared_count";

/// Looks at up to 1000 messages: only where the count is shown. For staff who are no members: what no operator has read.
pub(super) fn unread(database: DbBackend, user: &str) -> String {
    let messages = format!(
        "FROM message x WHERE x.chat_id = c.id AND x.seq > coalesce(CASE WHEN m.last_read_seq > m.cleared_seq \
         THEN m.last_read_seq ELSE m.cleared_seq END, c.support_read_seq) AND x.sender_id <> {user} \
         AND NOT x.is_deleted"
    );
    format!("{} AS unread", counted(database, 1000, &messages))
}

/// How many belong to a chat, and the newest message that the member may see.
pub(super) const LISTED: &str = "(SELECT count(*) FROM member o WHERE o.chat_id = c.id AND o.role <> 'banned') \
    AS member_count, (SELECT x.id FROM message x WHERE x.chat_id = c.id AND x.seq > coalesce(m.cleared_seq, 0) \
    ORDER BY x.seq DESC LIMIT 1) AS last_message";

/// ?1 is the user, ?2 the chat.
const STANDS: &str =
    "FROM chat c LEFT JOIN member m ON m.chat_id = c.id AND m.user_id = ?1 WHERE c.id = ?2";

static ENTER: Sql = Sql::new(|database| {
    let unread = unread(database, "?1");
    format!("SELECT c.*, {STANDING}, {unread} {STANDS}")
});

static STAND: Sql = Sql::new(|_| format!("SELECT c.*, {STANDING}, NULL AS unread {STANDS}"));

static LISTED_ONE: Sql = Sql::new(|database| {
    let unread = unread(database, "?1");
    format!("SELECT c.*, {STANDING}, {unread}, {LISTED} {STANDS}")
});

static ROOM: Sql = Sql::new(|_| {
    format!(
        "SELECT c.*, {STANDING}, NULL AS unread FROM chat c LEFT JOIN member m ON m.chat_id = c.id \
         AND m.user_id = ?1 WHERE c.room_key = ?2 AND NOT c.is_deleted"
    )
});

static MEMBERS_OF: Sql = Sql::new(|database| {
    let ids = ids(database);
    format!(
        "SELECT m.chat_id, m.user_id FROM {ids} j JOIN member m ON m.chat_id = j.id \
         WHERE m.role <> 'banned' ORDER BY m.chat_id, m.joined_at, m.user_id"
    )
});

impl Store {
    /// A chat as a user stands to it, with what is unread: one query.
    pub async fn enter(&self, chat: ChatId, user: UserId) -> Stored<Option<EnterRow>> {
        self.stand(&ENTER, chat, user).await
    }

    /// A chat as a user stands to it.
    pub async fn find_standing(&self, chat: ChatId, user: UserId) -> Stored<Option<EnterRow>> {
        self.stand(&STAND, chat, user).await
    }

    async fn stand(&self, sql: &Sql, chat: ChatId, user: UserId) -> Stored<Option<EnterRow>> {
        let asked = statement(self.read(), sql, [user.into(), chat.into()]);
        let row = self.read().query_one_raw(asked).await?;
        row.as_ref().map(standing).transpose()
    }

    /// A chat's row.
    pub async fn find_chat(&self, chat: ChatId) -> Stored<Option<chat::Model>> {
        Ok(chat::Entity::find_by_id(chat).one(self.read()).await?)
    }

    /// The room of this folded name, as a user stands to it.
    pub async fn find_room(&self, room_key: &str, user: UserId) -> Stored<Option<EnterRow>> {
        let asked = statement(self.read(), &ROOM, [user.into(), room_key.into()]);
        let row = self.read().query_one_raw(asked).await?;
        row.as_ref().map(standing).transpose()
    }

    /// The chat of two users.
    pub async fn find_chat_by_pair(&self, pair_key: &str) -> Stored<Option<chat::Model>> {
        Ok(chat::Entity::find()
            .filter(chat::Column::PairKey.eq(pair_key))
            .one(self.read())
            .await?)
    }

    /// The support chat of a customer.
    pub async fn find_support_chat(&self, customer: UserId) -> Stored<Option<chat::Model>> {
        Ok(chat::Entity::find()
            .filter(chat::Column::SupportUserId.eq(customer))
            .one(self.read())
            .await?)
    }

    /// A page of the chats that a user belongs to and hasn't hidden, last active first, and how many there are.
    pub async fn list_chats(
        &self,
        user: UserId,
        kind: Option<ChatKind>,
        search: Option<&str>,
        limit: u64,
        offset: u64,
    ) -> Stored<(Vec<ListedRow>, u64)> {
        let mut values: Vec<Value> = vec![user.into()];
        let mut filter = String::from(
            "FROM member m JOIN chat c ON c.id = m.chat_id WHERE m.user_id = ?1 AND m.role <> 'banned' \
             AND NOT c.is_deleted AND (m.cleared_seq = 0 OR c.message_count > m.cleared_count)",
        );
        if let Some(kind) = kind {
            values.push(kind.into());
            filter.push_str(&format!(" AND c.kind = ?{}", values.len()));
        }
        if let Some(search) = search {
            let chats = contains(&["c.name"], search, &mut values);
            let people = contains(&["u.username"], search, &mut values);
            filter.push_str(&format!(
                " AND ({chats} OR (c.kind = 'personal' AND EXISTS (SELECT 1 FROM member o \
                 JOIN \"user\" u ON u.id = o.user_id WHERE o.chat_id = c.id AND o.user_id <> ?1 AND {people})))"
            ));
        }
        let count = format!("SELECT count(*) AS n {filter}");
        let count = composed(self.read(), &count, values.clone());
        let count: i64 = self
            .read()
            .query_one_raw(count)
            .await?
            .map_or(Ok(0), |row| row.try_get("", "n"))?;
        let (limited, skipped) = (values.len() + 1, values.len() + 2);
        let page = format!(
            "SELECT c.*, {STANDING}, {}, {LISTED} {filter} \
             ORDER BY coalesce(c.last_message_at, c.created_at) DESC, c.id DESC LIMIT ?{limited} OFFSET ?{skipped}",
            unread(self.database(), "?1")
        );
        // More than databases count to is past the end as well.
        let offset = offset.min(i64::MAX.unsigned_abs());
        values.extend([limit.into(), offset.into()]);
        let rows = self
            .read()
            .query_all_raw(composed(self.read(), &page, values))
            .await?;
        Ok((
            rows.iter().map(listed).collect::<Stored<_>>()?,
            count.unsigned_abs(),
        ))
    }

    /// One chat as in the list, hidden or not, member or not.
    pub async fn find_listed(&self, user: UserId, chat: ChatId) -> Stored<Option<ListedRow>> {
        let asked = statement(self.read(), &LISTED_ONE, [user.into(), chat.into()]);
        let row = self.read().query_one_raw(asked).await?;
        row.as_ref().map(listed).transpose()
    }

    /// The members of several chats, without the barred.
    pub async fn members_of(&self, chats: &[ChatId]) -> Stored<Vec<(ChatId, UserId)>> {
        let asked = with_rows(self.read(), &MEMBERS_OF, &chats, [])?;
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("", "chat_id")?, row.try_get("", "user_id")?)))
            .collect()
    }

    /// Makes a chat with its first members.
    pub async fn create_chat(&self, new: NewChatRow) -> Stored<chat::Model> {
        retried(|| self.create_chat_once(new.clone())).await
    }

    async fn create_chat_once(&self, new: NewChatRow) -> Stored<chat::Model> {
        let transaction = self.begin().await?;
        let (room_name, room_key) = new.room.unzip();
        let chat = chat::ActiveModel {
            kind: Set(new.kind),
            name: Set(new.name),
            room_name: Set(room_name),
            room_key: Set(room_key),
            pair_key: Set(new.pair_key),
            support_user_id: Set(new.support_user_id),
            created_by: Set(new.created_by),
            created_at: Set(new.created_at),
            last_seq: Set(Seq(0)),
            message_count: Set(0),
            is_private: Set(new.is_private),
            is_deleted: Set(false),
            support_read_seq: Set(Seq(0)),
            ..Default::default()
        };
        let chat = chat.insert(&transaction).await?;
        let members = new
            .members
            .into_iter()
            .map(|(user, role)| member::ActiveModel {
                chat_id: Set(chat.id),
                user_id: Set(user),
                role: Set(role),
                joined_at: Set(new.created_at),
                last_read_seq: Set(Seq(0)),
                cleared_seq: Set(Seq(0)),
                cleared_count: Set(0),
            });
        let members: Vec<_> = members.collect();
        if !members.is_empty() {
            member::Entity::insert_many(members)
                .exec_without_returning(&transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(chat)
    }
}

pub(super) fn standing(row: &QueryResult) -> Stored<EnterRow> {
    Ok(EnterRow {
        chat: chat::Model::from_query_result(row, "")?,
        role: row.try_get("", "m_role")?,
        last_read_seq: row.try_get("", "m_read")?,
        cleared_seq: row.try_get("", "m_cleared")?,
        cleared_count: row.try_get("", "m_cleared_count")?,
        unread_count: row.try_get("", "unread")?,
    })
}

pub(super) fn listed(row: &QueryResult) -> Stored<ListedRow> {
    Ok(ListedRow {
        entered: standing(row)?,
        member_count: row.try_get("", "member_count")?,
        last_message: row.try_get("", "last_message")?,
    })
}
