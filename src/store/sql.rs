//! What differs between databases: how a batch of rows travels as one parameter, and how times are written in it.
//!
//! One statement has one text whatever the number of rows, so that it is prepared once per connection.

use chrono::{NaiveDate, SecondsFormat, SubsecRound, Utc};
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

/// A moment as `time_text` writes it, and the driver; none for anything else. By place: a page holds dozens, and
/// chrono's own reader, which takes many forms, costs ten times as much.
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

/// A statement whose first parameter is a whole table: `rows` as a JSON array of arrays, read by `jsonb_each` (whose
/// rows needn't be parsed again for each column) or `json_each`.
pub(super) fn with_rows(
    on: &impl ConnectionTrait,
    sql: &str,
    rows: &impl Serialize,
    more: impl IntoIterator<Item = Value>,
) -> Stored<Statement> {
    let values = std::iter::once(Value::from(rows_text(rows)?)).chain(more);
    Ok(Statement::from_sql_and_values(
        on.get_database_backend(),
        sql,
        values,
    ))
}

/// A whole table as a parameter.
pub(super) fn rows_text(rows: &impl Serialize) -> Stored<String> {
    serde_json::to_string(rows).map_err(|error| StoreError::Refused(error.to_string().into()))
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
            assert_eq!(time_text(time), text);
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
}
