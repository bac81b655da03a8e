//! What differs between databases: how a whole table travels as one parameter, how rows are counted so far and no
//! further, how times are written where they travel as text, and the marks for parameters.
//!
//! A statement is written once, in what all three understand: parameters `?1`, `?2`; names that some database keeps for
//! itself in double quotes. It has one text for each database, made at its first use, whatever the number of rows: so
//! it is prepared once per connection.

use std::{collections::BTreeSet, sync::OnceLock};

use chrono::{NaiveDate, SecondsFormat};
use entity::Time;
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use serde::Serialize;

use super::{StoreError, Stored};

/// A statement, with its text for each database.
pub(super) struct Sql {
    write: fn(DbBackend) -> String,
    sqlite: OnceLock<Text>,
    postgres: OnceLock<Text>,
    mysql: OnceLock<Text>,
}

/// A statement's text for one database.
struct Text {
    sql: String,
    /// Which value stands at each mark, where marks have no numbers (MySQL).
    places: Option<Vec<usize>>,
}

impl Sql {
    /// A statement that `write` writes for a database.
    pub(super) const fn new(write: fn(DbBackend) -> String) -> Self {
        Self {
            write,
            sqlite: OnceLock::new(),
            postgres: OnceLock::new(),
            mysql: OnceLock::new(),
        }
    }

    fn text(&self, database: DbBackend) -> &Text {
        let kept = match database {
            DbBackend::Postgres => &self.postgres,
            DbBackend::MySql => &self.mysql,
            _ => &self.sqlite,
        };
        kept.get_or_init(|| Text::new(database, &(self.write)(database)))
    }
}

impl Text {
    fn new(database: DbBackend, neutral: &str) -> Self {
        let (mut sql, mut places) = (String::with_capacity(neutral.len()), Vec::new());
        let mut rest = neutral;
        while let Some(at) = rest.find(['?', '"']) {
            let (before, from) = rest.split_at(at);
            sql.push_str(before);
            let (mark, after) = from.split_at(1);
            rest = after;
            match (mark, database) {
                ("?", DbBackend::Postgres) => sql.push('$'),
                ("?", DbBackend::MySql) => {
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    let (number, after) = rest.split_at(digits);
                    places.push(number.parse::<usize>().map_or(0, |number| number - 1));
                    sql.push('?');
                    rest = after;
                }
                ("\"", DbBackend::MySql) => sql.push('`'),
                (other, _) => sql.push_str(other),
            }
        }
        sql.push_str(rest);
        let places = (database == DbBackend::MySql).then_some(places);
        Self { sql, places }
    }

    fn with(&self, database: DbBackend, values: impl IntoIterator<Item = Value>) -> Statement {
        match &self.places {
            None => Statement::from_sql_and_values(database, &self.sql, values),
            Some(places) => {
                let values: Vec<Value> = values.into_iter().collect();
                let placed = places
                    .iter()
                    .filter_map(|place| values.get(*place).cloned());
                Statement::from_sql_and_values(database, &self.sql, placed)
            }
        }
    }
}

/// A statement with its values.
pub(super) fn statement(
    on: &impl ConnectionTrait,
    sql: &Sql,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    let database = on.get_database_backend();
    sql.text(database).with(database, values)
}

/// A statement whose conditions depend on what is asked for, with its values.
pub(super) fn composed(
    on: &impl ConnectionTrait,
    neutral: &str,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    let database = on.get_database_backend();
    Text::new(database, neutral).with(database, values)
}

/// A statement whose first parameter is a whole table, which `rows` or `ids` reads.
pub(super) fn with_rows(
    on: &impl ConnectionTrait,
    sql: &Sql,
    rows: &impl Serialize,
    more: impl IntoIterator<Item = Value>,
) -> Stored<Statement> {
    let values = std::iter::once(Value::from(rows_text(rows)?)).chain(more);
    Ok(statement(on, sql, values))
}

/// A whole table as a parameter: a JSON array of arrays, or of numbers.
pub(super) fn rows_text(rows: &impl Serialize) -> Stored<String> {
    serde_json::to_string(rows).map_err(|error| StoreError::Refused(error.to_string().into()))
}

/// What a column of a table that travels as a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number.
    Number,
    /// Words, at most 300.
    Words,
    /// A text of any length.
    Long,
    /// A moment, as `time_text` writes it.
    Moment,
    /// True or false.
    Truth,
}

/// The table that travels as the first parameter, with the columns that it has and, as `place`, each row's place from 0.
pub(super) fn rows(database: DbBackend, columns: &[(&str, Kind)]) -> String {
    let column = |(number, (name, kind)): (usize, &(&str, Kind))| match database {
        DbBackend::Postgres => format!("(t.value ->> {number}){} AS {name}", postgres(*kind)),
        DbBackend::MySql => format!("{name} {} PATH '$[{number}]'", mysql(*kind)),
        _ => format!("value ->> {number} AS {name}"),
    };
    let columns: Vec<String> = columns.iter().enumerate().map(column).collect();
    table(database, &columns.join(", "))
}

/// The numbers that travel as the first parameter, as a table with the column `id`.
pub(super) fn ids(database: DbBackend) -> String {
    let column = match database {
        DbBackend::Postgres => "t.value::text::bigint AS id",
        DbBackend::MySql => "id BIGINT PATH '$'",
        _ => "value AS id",
    };
    table(database, column)
}

fn table(database: DbBackend, columns: &str) -> String {
    match database {
        DbBackend::Postgres => format!(
            "(SELECT t.place - 1 AS place, {columns} \
             FROM jsonb_array_elements(?1::jsonb) WITH ORDINALITY AS t(value, place))"
        ),
        DbBackend::MySql => format!(
            "(SELECT t.*, t.ordinal - 1 AS place \
             FROM JSON_TABLE(?1, '$[*]' COLUMNS (ordinal FOR ORDINALITY, {columns})) t)"
        ),
        // Its rows needn't be parsed again for each column, as those of json_each.
        _ => format!("(SELECT key AS place, {columns} FROM jsonb_each(?1))"),
    }
}

fn postgres(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "::bigint",
        Kind::Words | Kind::Long => "",
        Kind::Moment => "::timestamptz",
        Kind::Truth => "::boolean",
    }
}

fn mysql(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "BIGINT",
        Kind::Words => "VARCHAR(300)",
        Kind::Long => "LONGTEXT",
        Kind::Moment => "DATETIME(6)",
        Kind::Truth => "BOOLEAN",
    }
}

/// Changes rows of a table, `t`, that match rows of the parameter, `j`.
pub(super) fn update(
    database: DbBackend,
    table: &str,
    set: &str,
    rows: &str,
    matching: &str,
) -> String {
    match database {
        DbBackend::MySql => format!("UPDATE {table} t JOIN {rows} j ON {matching} SET {set}"),
        _ => format!("UPDATE {table} AS t SET {set} FROM {rows} j WHERE {matching}"),
    }
}

/// How many rows `from` finds, counted to `most` and no further.
pub(super) fn counted(database: DbBackend, most: u32, from: &str) -> String {
    match database {
        // What is named in FROM there can't look at the rows around it.
        DbBackend::MySql => format!(
            "coalesce((SELECT {most} {from} LIMIT 1 OFFSET {}), (SELECT count(*) {from}))",
            most - 1
        ),
        _ => format!("(SELECT count(*) FROM (SELECT 1 {from} LIMIT {most}) counted)"),
    }
}

/// A moment as it travels within a table: on SQLite as its driver writes it into columns of text, so that what a batch
/// writes compares with what others wrote.
pub(super) fn time_text(database: DbBackend, time: Time) -> String {
    match database {
        DbBackend::MySql => time.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        _ => time.to_rfc3339_opts(SecondsFormat::AutoSi, false),
    }
}

/// A moment as `time_text` writes it for SQLite, and PostgreSQL as JSON; none for anything else. By place: a page holds
/// dozens, and chrono's own reader, which takes many forms, costs ten times as much.
pub(super) fn parse_time(text: &str) -> Option<Time> {
    let (whole, rest) = text.split_at_checked(19)?;
    let number = |from: usize, to: usize| -> Option<u32> {
        whole
            .as_bytes()
            .get(from..to)?
            .iter()
            .try_fold(0, |number, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| number * 10 + u32::from(digit - b'0'))
            })
    };
    let micros = match rest.strip_suffix("+00:00")?.as_bytes() {
        [] => 0,
        [b'.', digits @ ..] if matches!(digits.len(), 1..=6) => {
            let missing = 6 - digits.len() as u32;
            let digits = std::str::from_utf8(digits).ok()?;
            digits.parse::<u32>().ok()? * 10_u32.pow(missing)
        }
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(
        number(0, 4)?.try_into().ok()?,
        number(5, 7)?,
        number(8, 10)?,
    )?;
    let time = date.and_hms_micro_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?, micros)?;
    Some(time.and_utc())
}

/// The condition that one of these columns has a text in it, whatever the case; its values are added to the query's.
/// Of letters beyond ASCII databases know different things, and by the column's collation: so they are asked for the
/// text as it may stand in a name.
pub(super) fn contains(columns: &[&str], text: &str, values: &mut Vec<Value>) -> String {
    let mut alternatives = Vec::new();
    for spelling in spellings(text) {
        values.push(like_anywhere(&spelling).into());
        let place = values.len();
        let column = |column| format!("lower({column}) LIKE ?{place} ESCAPE '!'");
        alternatives.extend(columns.iter().map(column));
    }
    format!("({})", alternatives.join(" OR "))
}

/// As it was typed, small, and with a capital.
fn spellings(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let mut letters = lower.chars();
    let capitalised = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(letters)
        .collect();
    BTreeSet::from([text.to_owned(), lower, capitalised])
}

/// A pattern for `lower(column) LIKE ... ESCAPE '!'` that finds `text` anywhere. (A backslash in a literal is itself on
/// some databases and begins something on others.)
fn like_anywhere(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character.to_ascii_lowercase());
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for text in [
            "2026-11-15T10:30:00+00:00",
            "2026-11-15T10:30:00.250+00:00",
            "2026-11-15T10:30:00.250001+00:00",
        ] {
            let time = parse_time(text).unwrap();
            assert_eq!(time_text(DbBackend::Sqlite, time), text);
            assert_eq!(text.parse(), Ok(time));
        }
        for other in [
            "",
            "2026-11-15",
            "2026-11-15T10:30:00+01:00",
            "2026-13-15T10:30:00+00:00",
        ] {
            assert_eq!(parse_time(other), None, "{other}");
        }
    }

    #[test]
    fn a_parameter_named_twice_is_given_twice_where_marks_have_no_numbers() {
        let neutral = r#"SELECT 1 FROM "user" WHERE a = ?2 AND b = ?1 AND c = ?2"#;
        let sql = |database| Text::new(database, neutral).sql;
        assert_eq!(sql(DbBackend::Sqlite), neutral);
        assert_eq!(
            sql(DbBackend::Postgres),
            r#"SELECT 1 FROM "user" WHERE a = $2 AND b = $1 AND c = $2"#
        );
        let text = Text::new(DbBackend::MySql, neutral);
        assert_eq!(
            text.sql,
            "SELECT 1 FROM `user` WHERE a = ? AND b = ? AND c = ?"
        );
        let statement = text.with(DbBackend::MySql, [Value::from(1), Value::from(2)]);
        let values = statement.values.map(|values| values.0);
        assert_eq!(
            values,
            Some(vec![Value::from(2), Value::from(1), Value::from(2)])
        );
    }
}
