//! What a server leaves in its database, looked at from outside.

use std::collections::BTreeMap;

use entity::{Role, attachment, change, chat, member, message, user};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    DbBackend, EntityTrait, PaginatorTrait, Set, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};

/// Opens the database of a server, running or not.
pub(crate) async fn open(url: &str) -> DatabaseConnection {
    Database::connect(url).await.expect("the server's database")
}

/// Takes the right to write from everybody else, until it is rolled back.
pub(crate) async fn holds(database: &DatabaseConnection) -> DatabaseTransaction {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let held = database.begin_with_options(options).await;
    let held = held.expect("the right to write");
    let lock = match held.get_database_backend() {
        DbBackend::Postgres => "LOCK TABLE chat, member, message IN EXCLUSIVE MODE",
        // MySQL locks whole tables outside of transactions only.
        DbBackend::MySql => "SELECT id FROM chat ORDER BY id FOR UPDATE",
        _ => return held,
    };
    held.execute_unprepared(lock).await.expect("the locks");
    held
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

/// A chat's members, and up to which number each has read.
pub(crate) async fn read_marks(database: &DatabaseConnection, chat: i64) -> Vec<(i64, i64)> {
    let all = member::Entity::find()
        .all(database)
        .await
        .expect("the members");
    let mut marks: Vec<_> = all
        .into_iter()
        .filter(|row| row.chat_id.0 == chat)
        .map(|row| (row.user_id.0, row.last_read_seq.0))
        .collect();
    marks.sort();
    marks
}

/// A chat's members, and what each is there.
pub(crate) async fn roles(database: &DatabaseConnection, chat: i64) -> Vec<(i64, Role)> {
    let all = member::Entity::find()
        .all(database)
        .await
        .expect("the members");
    let mut roles: Vec<_> = all
        .into_iter()
        .filter(|row| row.chat_id.0 == chat)
        .map(|row| (row.user_id.0, row.role))
        .collect();
    roles.sort_by_key(|(user, _)| *user);
    roles
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

/// The words that the search index holds, in whatever form it keeps them.
pub(crate) async fn indexed_words(database: &DatabaseConnection) -> Vec<String> {
    let backend = database.get_database_backend();
    let looked = database.begin().await.expect("a transaction");
    let (before, ask) = match backend {
        DbBackend::Postgres => (
            "SELECT 1",
            "SELECT word AS term FROM ts_stat('SELECT words FROM message_search')",
        ),
        DbBackend::MySql => ("SELECT 1", "SELECT words AS term FROM message_search"),
        _ => (
            "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', 'message_search', 'row')",
            "SELECT term FROM vocabulary UNION ALL SELECT words FROM message_search",
        ),
    };
    looked.execute_unprepared(before).await.expect("the index");
    let rows = looked
        .query_all_raw(Statement::from_string(backend, ask))
        .await;
    let terms = rows.expect("the index").into_iter();
    let terms = terms.map(|row| row.try_get::<String>("", "term").expect("a word"));
    let words = terms.flat_map(|terms| terms.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let words = words.map(|word| match backend {
        DbBackend::MySql => uncoded(&word),
        _ => word,
    });
    let words = words.collect();
    looked.rollback().await.expect("nothing is left of it");
    words
}

/// MySQL is given words as hexadecimal digits.
fn uncoded(word: &str) -> String {
    let digits = word.trim_start_matches('w').as_bytes().chunks(2);
    let bytes = digits.map(|pair| {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        u8::from_str_radix(pair, 16).unwrap_or(b'?')
    });
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

/// Empties the search index.
pub(crate) async fn forgets_index(database: &DatabaseConnection) {
    for table in ["message_search", "search_mark"] {
        let emptied = database
            .execute_unprepared(&format!("DELETE FROM {table}"))
            .await;
        emptied.expect("the index");
    }
}

/// How many files there are.
pub(crate) async fn attachments(database: &DatabaseConnection) -> u64 {
    attachment::Entity::find()
        .count(database)
        .await
        .expect("the files")
}
