//! Memberships, outside the writer's transaction (lists) and inside it (joins, roles, removals).

use entity::{ChatId, Role, Seq, Time, UserId, block, chat, member};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::{
    Batch, Store, Stored,
    sql::{Sql, ids, with_rows},
};

// By the primary key: of a room of thousands no more than these are looked at. ?2 is one less than how many.
static FIRST_OF_EACH: Sql = Sql::new(|database| {
    let ids = ids(database);
    format!(
        "SELECT j.id AS chat_id, m.user_id FROM {ids} j JOIN member m ON m.chat_id = j.id AND m.role <> 'banned' \
         AND m.user_id <= coalesce((SELECT o.user_id FROM member o WHERE o.chat_id = j.id AND o.role <> 'banned' \
         ORDER BY o.user_id LIMIT 1 OFFSET ?2), {}) ORDER BY j.id, m.user_id",
        i64::MAX
    )
});

/// What a member hid from themselves.
#[derive(Clone, Copy, Debug)]
pub struct Cleared {
    /// Numbers up to this one.
    pub seq: Seq,
    /// The chat's `message_count` then.
    pub count: i64,
}

impl Store {
    /// A page of members without the barred, the longest-standing first, and how many there are.
    pub async fn list_members(
        &self,
        chat: ChatId,
        limit: u64,
        offset: u64,
    ) -> Stored<(Vec<member::Model>, u64)> {
        let all = member::Entity::find()
            .filter(member::Column::ChatId.eq(chat))
            .filter(member::Column::Role.ne(Role::Banned));
        let count = all.clone().count(self.read()).await?;
        let page = all
            .order_by_asc(member::Column::JoinedAt)
            .order_by_asc(member::Column::UserId)
            .limit(limit)
            // The driver takes no more.
            .offset(offset.min(i64::MAX.unsigned_abs()));
        Ok((page.all(self.read()).await?, count))
    }

    /// The first members of several chats by id, without the barred, at most so many of each.
    pub async fn first_members_of(
        &self,
        chats: &[ChatId],
        limit: u64,
    ) -> Stored<Vec<(ChatId, UserId)>> {
        let last = limit.max(1) - 1;
        let statement = with_rows(self.read(), &FIRST_OF_EACH, &chats, [last.into()])?;
        let rows = self.read().query_all_raw(statement).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("", "chat_id")?, row.try_get("", "user_id")?)))
            .collect()
    }

    /// One membership.
    pub async fn find_member(&self, chat: ChatId, user: UserId) -> Stored<Option<member::Model>> {
        Ok(member::Entity::find_by_id((chat, user))
            .one(self.read())
            .await?)
    }

    /// The chats that a user belongs to, barred or not.
    pub async fn memberships_of(&self, user: UserId) -> Stored<Vec<member::Model>> {
        Ok(member::Entity::find()
            .filter(member::Column::UserId.eq(user))
            .all(self.read())
            .await?)
    }

    /// Which of `users` have blocked `blocked`.
    pub async fn who_blocks(&self, users: &[UserId], blocked: UserId) -> Stored<Vec<UserId>> {
        let blocks = block::Entity::find()
            .select_only()
            .column(block::Column::UserId)
            .filter(block::Column::BlockedId.eq(blocked))
            .filter(block::Column::UserId.is_in(users.iter().copied()));
        Ok(blocks.into_tuple().all(self.read()).await?)
    }
}

impl Batch {
    /// The memberships of some users, barred ones too.
    pub async fn find_members(&self, chat: ChatId, users: &[UserId]) -> Stored<Vec<member::Model>> {
        let members = member::Entity::find()
            .filter(member::Column::ChatId.eq(chat))
            .filter(member::Column::UserId.is_in(users.iter().copied()));
        Ok(members.all(self.transaction()).await?)
    }

    /// Whether a room with this folded name exists, other than `chat`.
    pub async fn room_key_is_taken(&self, room_key: &str, chat: ChatId) -> Stored<bool> {
        let found = chat::Entity::find()
            .filter(chat::Column::RoomKey.eq(room_key))
            .one(self.transaction())
            .await?;
        Ok(found.is_some_and(|room| room.id != chat))
    }

    /// Makes or changes a membership.
    pub async fn put_member(
        &self,
        chat: ChatId,
        user: UserId,
        role: Role,
        joined_at: Time,
    ) -> Stored<()> {
        let row = member::ActiveModel {
            chat_id: Set(chat),
            user_id: Set(user),
            role: Set(role),
            joined_at: Set(joined_at),
            last_read_seq: Set(Seq(0)),
            cleared_seq: Set(Seq(0)),
            cleared_count: Set(0),
        };
        let again = OnConflict::columns([member::Column::ChatId, member::Column::UserId])
            .update_columns([member::Column::Role, member::Column::JoinedAt])
            .to_owned();
        member::Entity::insert(row)
            .on_conflict(again)
            .exec_without_returning(self.transaction())
            .await?;
        Ok(())
    }

    /// Changes a member's role alone.
    pub async fn set_role(&self, chat: ChatId, user: UserId, role: Role) -> Stored<()> {
        let change = member::Entity::update_many()
            .col_expr(member::Column::Role, Expr::value(role))
            .filter(member::Column::ChatId.eq(chat))
            .filter(member::Column::UserId.eq(user));
        change.exec(self.transaction()).await?;
        Ok(())
    }

    /// Ends a membership without a trace.
    pub async fn delete_member(&self, chat: ChatId, user: UserId) -> Stored<()> {
        member::Entity::delete_by_id((chat, user))
            .exec(self.transaction())
            .await?;
        Ok(())
    }

    /// Hides what was said so far from one member.
    pub async fn clear(&self, chat: ChatId, user: UserId, cleared: Cleared) -> Stored<()> {
        let change = member::Entity::update_many()
            .col_expr(member::Column::ClearedSeq, Expr::value(cleared.seq))
            .col_expr(member::Column::ClearedCount, Expr::value(cleared.count))
            .filter(member::Column::ChatId.eq(chat))
            .filter(member::Column::UserId.eq(user));
        change.exec(self.transaction()).await?;
        Ok(())
    }

    /// Renames a group or room, makes it private or public.
    pub async fn update_chat(
        &self,
        chat: ChatId,
        name: Option<&str>,
        room: Option<(&str, &str)>,
        is_private: bool,
    ) -> Stored<()> {
        let mut change = chat::Entity::update_many()
            .col_expr(chat::Column::IsPrivate, Expr::value(is_private))
            .filter(chat::Column::Id.eq(chat));
        if let Some(name) = name {
            change = change.col_expr(chat::Column::Name, Expr::value(name));
        }
        if let Some((room_name, room_key)) = room {
            change = change
                .col_expr(chat::Column::RoomName, Expr::value(room_name))
                .col_expr(chat::Column::RoomKey, Expr::value(room_key));
        }
        change.exec(self.transaction()).await?;
        Ok(())
    }

    /// Marks a chat as deleted for all; a room's name is free again.
    pub async fn mark_deleted(&self, chat: ChatId) -> Stored<()> {
        let change = chat::Entity::update_many()
            .col_expr(chat::Column::IsDeleted, Expr::value(true))
            .col_expr(chat::Column::RoomKey, Expr::value(None::<String>))
            .filter(chat::Column::Id.eq(chat));
        change.exec(self.transaction()).await?;
        Ok(())
    }
}
