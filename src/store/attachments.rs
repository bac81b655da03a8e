//! Files that were sent to chats: what the tables know of them.

use entity::{ChatId, MessageId, Time, attachment, message};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};

use super::{Batch, Store, Stored};

/// A file whose message has its number and id.
#[derive(Clone, Debug)]
pub struct NewAttachmentRow {
    /// Where.
    pub chat_id: ChatId,
    /// With which message.
    pub message_id: MessageId,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub content_type: String,
    /// Its size.
    pub bytes: i64,
    /// Of its content.
    pub sha256: String,
    /// What it is called on the disk.
    pub file: String,
    /// When it came.
    pub created_at: Time,
}

impl Batch {
    /// Inserts files; their rows come back, with ids.
    pub async fn insert_attachments(
        &self,
        rows: Vec<NewAttachmentRow>,
    ) -> Stored<Vec<attachment::Model>> {
        let messages: Vec<MessageId> = rows.iter().map(|row| row.message_id).collect();
        let rows = rows.into_iter().map(|row| attachment::ActiveModel {
            chat_id: Set(row.chat_id),
            message_id: Set(row.message_id),
            name: Set(row.name),
            content_type: Set(row.content_type),
            bytes: Set(row.bytes),
            sha256: Set(row.sha256),
            file: Set(row.file),
            created_at: Set(row.created_at),
            ..Default::default()
        });
        attachment::Entity::insert_many(rows)
            .exec_without_returning(self.transaction())
            .await?;
        let inserted =
            attachment::Entity::find().filter(attachment::Column::MessageId.is_in(messages));
        Ok(inserted.all(self.transaction()).await?)
    }

    /// Whether a file came with a message.
    pub async fn has_attachment(&self, message: MessageId) -> Stored<bool> {
        let found = attachment::Entity::find().filter(attachment::Column::MessageId.eq(message));
        Ok(found.one(self.transaction()).await?.is_some())
    }
}

impl Store {
    /// The files that came with these messages.
    pub async fn attachments_of(&self, messages: &[MessageId]) -> Stored<Vec<attachment::Model>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let found = attachment::Entity::find()
            .filter(attachment::Column::MessageId.is_in(messages.iter().copied()));
        Ok(found.all(self.read()).await?)
    }

    /// A file whose message isn't deleted.
    pub async fn find_attachment(&self, id: i64) -> Stored<Option<attachment::Model>> {
        let mut found = attachment::Entity::find_by_id(id)
            .filter(Expr::col((message::Entity, message::Column::IsDeleted)).eq(false));
        join_message(&mut found);
        Ok(found.one(self.read()).await?)
    }

    /// Files whose messages are deleted, oldest first.
    pub async fn attachments_of_deleted(&self, limit: u64) -> Stored<Vec<attachment::Model>> {
        let mut found = attachment::Entity::find()
            .filter(Expr::col((message::Entity, message::Column::IsDeleted)).eq(true))
            .order_by_asc(attachment::Column::Id)
            .limit(limit);
        join_message(&mut found);
        Ok(found.all(self.read()).await?)
    }

    /// Of these names on the disk those that belong to a file.
    pub async fn known_files(&self, files: &[String]) -> Stored<Vec<String>> {
        let known = attachment::Entity::find()
            .select_only()
            .column(attachment::Column::File)
            .filter(attachment::Column::File.is_in(files.iter().cloned()));
        Ok(known.into_tuple().all(self.read()).await?)
    }

    /// Forgets files that are gone from the disk.
    pub async fn forget_attachments(&self, ids: &[i64]) -> Stored<()> {
        attachment::Entity::delete_many()
            .filter(attachment::Column::Id.is_in(ids.iter().copied()))
            .exec(self.write())
            .await?;
        Ok(())
    }
}

fn join_message(found: &mut sea_orm::Select<attachment::Entity>) {
    let same = Expr::col((message::Entity, message::Column::Id)).eq(Expr::col((
        attachment::Entity,
        attachment::Column::MessageId,
    )));
    QuerySelect::query(found).inner_join(message::Entity, same);
}
