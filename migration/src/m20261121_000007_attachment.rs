//! Files that were sent to chats.

use sea_orm_migration::{prelude::*, schema::*};

use crate::columns::Columns;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = Columns::of(manager).await?;
        let table = Table::create()
            .table("attachment")
            .col(
                ColumnDef::new("id")
                    .big_integer()
                    .not_null()
                    .auto_increment()
                    .primary_key(),
            )
            .col(big_integer("chat_id"))
            .col(big_integer("message_id"))
            .col(columns.string("name", 255))
            .col(columns.string("content_type", 64))
            .col(big_integer("bytes"))
            .col(columns.string("sha256", 64))
            .col(columns.string("file", 64))
            .col(columns.time("created_at"))
            .to_owned();
        manager.create_table(columns.table(table)).await?;
        for column in ["message_id", "file"] {
            let index = Index::create()
                .name(format!("attachment_{column}"))
                .table("attachment")
                .col(column)
                .unique()
                .to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("attachment").to_owned())
            .await
    }
}
