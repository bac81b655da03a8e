//! What differs between databases: how a batch of rows travels as one parameter, and how times are written in it.
//!
//! One statement has one text whatever the number of rows, so that it is prepared once per connection.

use chrono::{SecondsFormat, SubsecRound, Utc};
use entity::Time;
use sea_orm::{ConnectionTrait, Statement, Value};
use serde::Serialize;

use super::{StoreError, Stored};

/// The database's clock: SQLite lives on this machine, so it is this process's, cut to what columns hold.
pub fn database_time() -> Time {
    Utc::now().trunc_subsecs(6)
}

/// A moment as the driver writes it into SQLite's text columns: what a batch writes compares with what others wrote.
pub(super) fn time_text(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

/// A statement whose first parameter is a whole table: `rows` as a JSON array of arrays, read by `json_each`.
pub(super) fn with_rows(
    on: &impl ConnectionTrait,
    sql: &str,
    rows: &impl Serialize,
    more: impl IntoIterator<Item = Value>,
) -> Stored<Statement> {
    let json = serde_json::to_string(rows)
        .map_err(|error| StoreError::Refused(error.to_string().into()))?;
    let values = std::iter::once(Value::from(json)).chain(more);
    Ok(Statement::from_sql_and_values(
        on.get_database_backend(),
        sql,
        values,
    ))
}

/// A statement with `?` for its parameters.
pub(super) fn statement(
    on: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(on.get_database_backend(), sql, values)
}

/// A pattern for `LIKE ... ESCAPE '\'` that finds `text` anywhere.
pub(super) fn like_anywhere(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
