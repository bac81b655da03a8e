//! Client ids in the order of their making.
//!
//! Who makes them grow with time (a running number, UUIDv7, ULID) has all that come together in neighbouring places of
//! the index: a batch then changes a handful of its pages, not one for each message.

use sea_orm_migration::prelude::*;

use crate::columns::Columns;

const CHAT_FIRST: &str = "message_client_id";
const CLIENT_ID_FIRST: &str = "message_by_client_id";

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = ["client_id", "sender_id", "chat_id"];
        create(manager, CLIENT_ID_FIRST, columns).await?;
        drop(manager, CHAT_FIRST).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = ["chat_id", "sender_id", "client_id"];
        create(manager, CHAT_FIRST, columns).await?;
        drop(manager, CLIENT_ID_FIRST).await
    }
}

async fn create(
    manager: &SchemaManager<'_>,
    name: &str,
    columns: [&'static str; 3],
) -> Result<(), DbErr> {
    let mut index = Index::create();
    index.name(name).table("message").unique();
    for column in columns {
        index.col(column);
    }
    if Columns::of(manager).await?.has_partial_indexes() {
        // Those without need no entry.
        index.and_where(Expr::col("client_id").is_not_null());
    }
    manager.create_index(index).await
}

async fn drop(manager: &SchemaManager<'_>, name: &str) -> Result<(), DbErr> {
    let index = Index::drop().name(name).table("message").to_owned();
    manager.drop_index(index).await
}
