//! The search index: the words of each message, and how far each chat is in it.
//!
//! The words are written by the service in one form (`store/words.rs`), so that a search finds the same on every
//! database; here stands what each database indexes them with.

use sea_orm_migration::{
    prelude::*,
    schema::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

/// `ascii` takes all characters beyond ASCII as parts of words, which words that are made already want; order and
/// places of words aren't asked for. A deleted text's words are overwritten, not only marked.
const SQLITE: &[&str] = &[
    "CREATE VIRTUAL TABLE message_search USING fts5(words, tokenize = 'ascii', detail = none, columnsize = 0)",
    "INSERT INTO message_search(message_search, rank) VALUES('secure-delete', 1)",
];
const POSTGRES: &[&str] = &[
    "CREATE TABLE message_search (message_id bigint PRIMARY KEY, words tsvector NOT NULL)",
    "CREATE INDEX message_search_words ON message_search USING gin (words)",
];
const MYSQL: &[&str] = &[
    "CREATE TABLE message_search (message_id bigint PRIMARY KEY, words mediumtext NOT NULL, \
     FULLTEXT message_search_words (words)) ENGINE = InnoDB DEFAULT CHARACTER SET ascii COLLATE ascii_bin",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let marks = Table::create()
            .table("search_mark")
            .col(big_integer("chat_id").primary_key())
            .col(big_integer("seq"))
            .to_owned();
        manager.create_table(marks).await?;
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES,
            DbBackend::MySql => MYSQL,
            _ => SQLITE,
        };
        for statement in statements {
            manager
                .get_connection()
                .execute_unprepared(statement)
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["message_search", "search_mark"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}
