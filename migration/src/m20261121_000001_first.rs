//! The tables of the first release.
//!
//! No foreign keys: the writer holds the chat's lock and has checked the member when it inserts, and each key of
//! `message` would cost 10 to 30 % of a batch's rate.

use sea_orm_migration::{prelude::*, schema::*};

use crate::columns::Columns;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = Columns::of(manager).await?;
        for table in [
            user(columns),
            chat(columns),
            member(columns),
            message(columns),
            change(columns),
            reaction(columns),
            session(columns),
            ticket_use(columns),
            block(),
        ] {
            manager.create_table(columns.table(table)).await?;
        }
        for index in indexes(columns) {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES.iter().rev() {
            manager
                .drop_table(Table::drop().table(*table).to_owned())
                .await?;
        }
        Ok(())
    }
}

const TABLES: &[&str] = &[
    "user",
    "chat",
    "member",
    "message",
    "change",
    "reaction",
    "session",
    "ticket_use",
    "block",
];

fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).to_owned()
}

fn id() -> ColumnDef {
    ColumnDef::new("id")
        .big_integer()
        .not_null()
        .auto_increment()
        .primary_key()
        .take()
}

fn user(columns: Columns) -> TableCreateStatement {
    table("user")
        .col(id())
        .col(columns.string("username", 150))
        .col(columns.string_null("username_key", 300))
        .col(columns.string("password", 255))
        .col(columns.string("email", 254))
        .col(columns.string_null("email_key", 300))
        .col(columns.string("first_name", 150))
        .col(columns.string("last_name", 150))
        .col(boolean("is_staff"))
        .col(boolean("is_active"))
        .col(columns.string_null("avatar", 64))
        .col(columns.time("date_joined"))
        .col(columns.time_null("last_login"))
        .col(columns.time_null("last_seen"))
        .col(columns.time_null("tokens_valid_after"))
        .col(columns.time("changed_at"))
        .to_owned()
}

fn chat(columns: Columns) -> TableCreateStatement {
    table("chat")
        .col(id())
        .col(columns.string("kind", 16))
        .col(columns.string_null("name", 100))
        .col(columns.string_null("room_name", 100))
        .col(columns.string_null("room_key", 300))
        .col(columns.string_null("pair_key", 48))
        .col(big_integer_null("support_user_id"))
        .col(big_integer("created_by"))
        .col(columns.time("created_at"))
        .col(big_integer("last_seq").default(0))
        .col(big_integer("message_count").default(0))
        .col(columns.time_null("last_message_at"))
        .col(boolean("is_private").default(false))
        .col(boolean("is_deleted").default(false))
        .col(big_integer("support_read_seq").default(0))
        .col(big_integer_null("waiting_seq"))
        .col(columns.time_null("waiting_since"))
        .to_owned()
}

fn member(columns: Columns) -> TableCreateStatement {
    table("member")
        .col(big_integer("chat_id"))
        .col(big_integer("user_id"))
        .col(columns.string("role", 16))
        .col(columns.time("joined_at"))
        .col(big_integer("last_read_seq").default(0))
        .col(big_integer("cleared_seq").default(0))
        .col(big_integer("cleared_count").default(0))
        .primary_key(Index::create().col("chat_id").col("user_id"))
        .to_owned()
}

fn message(columns: Columns) -> TableCreateStatement {
    table("message")
        .col(id())
        .col(big_integer("chat_id"))
        .col(big_integer("seq"))
        .col(big_integer("sender_id"))
        .col(columns.text("text"))
        .col(columns.string("content_type", 16))
        .col(columns.string_null("client_id", 64))
        .col(big_integer_null("reply_to"))
        .col(columns.time("timestamp"))
        .col(columns.time_null("edited_at"))
        .col(boolean("is_deleted").default(false))
        .to_owned()
}

fn change(columns: Columns) -> TableCreateStatement {
    table("change")
        .col(big_integer("chat_id"))
        .col(big_integer("seq"))
        .col(columns.string("kind", 24))
        .col(big_integer_null("message_id"))
        .col(big_integer_null("user_id"))
        .col(big_integer("by_id"))
        .col(columns.string_null("role", 16))
        .col(columns.string_null("emoji", 64))
        .col(columns.time("at"))
        .primary_key(Index::create().col("chat_id").col("seq"))
        .to_owned()
}

fn reaction(columns: Columns) -> TableCreateStatement {
    table("reaction")
        .col(big_integer("message_id"))
        .col(big_integer("user_id"))
        .col(columns.string("emoji", 64))
        .primary_key(
            Index::create()
                .col("message_id")
                .col("user_id")
                .col("emoji"),
        )
        .to_owned()
}

fn session(columns: Columns) -> TableCreateStatement {
    table("session")
        .col(columns.string("id", 32).primary_key())
        .col(big_integer("user_id"))
        .col(columns.string("kind", 16))
        .col(columns.time("created_at"))
        .col(columns.time("expires_at"))
        .col(columns.time("last_used_at"))
        .col(columns.time_null("revoked_at"))
        .col(columns.string_null("refresh_jti", 32))
        .col(columns.string_null("previous_jti", 32))
        .col(columns.time_null("rotated_at"))
        .col(columns.string("client", 255))
        .to_owned()
}

fn ticket_use(columns: Columns) -> TableCreateStatement {
    table("ticket_use")
        .col(columns.string("nonce", 64).primary_key())
        .col(columns.time("expires_at"))
        .to_owned()
}

fn block() -> TableCreateStatement {
    table("block")
        .col(big_integer("user_id"))
        .col(big_integer("blocked_id"))
        .primary_key(Index::create().col("user_id").col("blocked_id"))
        .to_owned()
}

fn indexes(columns: Columns) -> Vec<IndexCreateStatement> {
    let on = |name: &'static str, table: &'static str, columns: &[&'static str]| {
        let mut index = Index::create().name(name).table(table).to_owned();
        for column in columns {
            index.col(*column);
        }
        index
    };
    let unique = |name, table, columns| on(name, table, columns).unique().to_owned();
    let mut client_id = unique(
        "message_client_id",
        "message",
        &["chat_id", "sender_id", "client_id"],
    );
    if columns.has_partial_indexes() {
        // Most messages of a busy chat have one; those without need no entry.
        client_id.and_where(Expr::col("client_id").is_not_null());
    }
    vec![
        unique("user_username", "user", &["username"]),
        unique("user_username_key", "user", &["username_key"]),
        unique("user_email_key", "user", &["email_key"]),
        on("user_changed_at", "user", &["changed_at"]),
        unique("chat_room_key", "chat", &["room_key"]),
        unique("chat_pair_key", "chat", &["pair_key"]),
        unique("chat_support_user_id", "chat", &["support_user_id"]),
        on("member_user", "member", &["user_id", "chat_id"]),
        on("member_joined_at", "member", &["joined_at"]),
        unique("message_chat_seq", "message", &["chat_id", "seq"]),
        client_id,
        on("session_user", "session", &["user_id"]),
        on("session_revoked_at", "session", &["revoked_at"]),
        on("ticket_use_expires_at", "ticket_use", &["expires_at"]),
        on("block_blocked", "block", &["blocked_id"]),
    ]
}
