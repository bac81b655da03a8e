//! Recovery codes.

use sea_orm_migration::{prelude::*, schema::*};

use crate::columns::Columns;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = Columns::of(manager).await?;
        let table = Table::create()
            .table("recovery")
            .col(big_integer("user_id").primary_key())
            .col(columns.string("code_hash", 64))
            .col(columns.time("expires_at"))
            .col(integer("tries").default(0))
            .to_owned();
        manager.create_table(columns.table(table)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("recovery").to_owned())
            .await
    }
}
