//! The mark that the database and the directory of uploads share.

use sea_orm_migration::{prelude::*, schema::*};

use crate::columns::Columns;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = Columns::of(manager).await?;
        let table = Table::create()
            .table("deployment")
            .col(integer("id").primary_key())
            .col(columns.string("mark", 64))
            .to_owned();
        manager.create_table(columns.table(table)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("deployment").to_owned())
            .await
    }
}
