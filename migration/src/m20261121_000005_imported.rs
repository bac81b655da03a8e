//! Which chats came from another service.

use sea_orm_migration::{prelude::*, schema::*};

use crate::columns::Columns;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = Columns::of(manager).await?;
        let table = Table::create()
            .table("imported")
            .col(columns.string("source", 128))
            .col(columns.string("key", 128))
            .col(big_integer("chat_id"))
            .primary_key(Index::create().col("source").col("key"))
            .to_owned();
        manager.create_table(columns.table(table)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("imported").to_owned())
            .await
    }
}
