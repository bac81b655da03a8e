//! What a server leaves in its database file, looked at from outside.

use std::{collections::BTreeMap, path::Path};

use entity::{change, chat, member, message, user};
use sea_orm::{ActiveModelTrait, Database, DatabaseConnection, EntityTrait, Set};

/// Opens the database file of a server, running or not.
pub(crate) async fn open(file: &Path) -> DatabaseConnection {
    let url = format!("sqlite://{}?mode=rw", file.display());
    Database::connect(url).await.expect("the server's database")
}

/// Every chat's numbers from 1 to `last_seq` are each exactly one row of message or of change; else
/// what is wrong.
pub(crate) async fn numbers_without_gap(database: &DatabaseConnection) -> Result<(), String> {
    let failed = |error: sea_orm::DbErr| error.to_string();
    let mut taken: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in message::Entity::find()
        .all(database)
        .await
        .map_err(failed)?
    {
        taken.entry(row.chat_id.0).or_default().push(row.seq.0);
    }
    for row in change::Entity::find().all(database).await.map_err(failed)? {
        taken.entry(row.chat_id.0).or_default().push(row.seq.0);
    }
    for row in chat::Entity::find().all(database).await.map_err(failed)? {
        let mut numbers = taken.remove(&row.id.0).unwrap_or_default();
        numbers.sort_unstable();
        let wanted: Vec<i64> = (1..=row.last_seq.0).collect();
        if numbers != wanted {
            let (chat, last) = (row.id, row.last_seq);
            return Err(format!(
                "chat {chat}: last_seq is {last}, rows have {numbers:?}"
            ));
        }
    }
    match taken.is_empty() {
        true => Ok(()),
        false => Err(format!("rows of chats that don't exist: {taken:?}")),
    }
}

/// A chat's messages in the order of their numbers.
pub(crate) async fn messages(database: &DatabaseConnection, chat: i64) -> Vec<message::Model> {
    let all = message::Entity::find()
        .all(database)
        .await
        .expect("the messages");
    let mut of_chat: Vec<_> = all
        .into_iter()
        .filter(|row| row.chat_id.0 == chat)
        .collect();
    of_chat.sort_by_key(|row| row.seq.0);
    of_chat
}

/// All rows that may come from elsewhere, as text.
pub(crate) async fn everything(database: &DatabaseConnection) -> Vec<String> {
    let mut rows = Vec::new();
    macro_rules! of {
        ($table:ident) => {
            let all = $table::Entity::find().all(database).await;
            rows.extend(all.expect("the rows").iter().map(|row| format!("{row:?}")));
        };
    }
    of!(user);
    of!(chat);
    of!(member);
    of!(message);
    rows.sort();
    rows
}

/// Somebody's account.
pub(crate) async fn account(database: &DatabaseConnection, user: i64) -> user::Model {
    let row = user::Entity::find_by_id(entity::UserId(user)).one(database);
    row.await.expect("the accounts").expect("an account")
}

/// Makes an operator of somebody, as another node would: the sweep tells the service.
pub(crate) async fn makes_staff(database: &DatabaseConnection, user: i64) {
    let row = user::ActiveModel {
        id: Set(entity::UserId(user)),
        is_staff: Set(true),
        changed_at: Set(chrono::Utc::now()),
        ..Default::default()
    };
    row.update(database)
        .await
        .expect("a user to make an operator of");
}
