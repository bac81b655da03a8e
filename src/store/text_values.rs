//! Columns' texts as what they mean, in the forms that SQLite, PostgreSQL and MySQL give.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SubsecRound};
use entity::Time;

/// `true`, `t` and `1`; `false`, `f` and `0`.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "t" | "1" => Some(true),
        "false" | "False" | "f" | "0" => Some(false),
        _ => None,
    }
}

/// A moment, of UTC where it names no zone: `2026-11-21 03:55:59.305864`, `2026-11-21T03:55:59+02:00`,
/// `2026-11-21`, seconds since 1970.
pub fn moment(text: &str) -> Option<Time> {
    let text = text.trim();
    let zoned = [
        "%Y-%m-%d %H:%M:%S%.f%#z",
        "%Y-%m-%dT%H:%M:%S%.f%#z",
        "%Y-%m-%d %H:%M:%S%.f %#z",
    ];
    let zoned = zoned
        .into_iter()
        .find_map(|form| DateTime::parse_from_str(text, form).ok());
    let local = || {
        ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
            .into_iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .or_else(|| {
                NaiveDate::parse_from_str(text, "%Y-%m-%d")
                    .ok()?
                    .and_hms_opt(0, 0, 0)
            })
            .map(|local| local.and_utc())
    };
    let seconds = || {
        let seconds: f64 = text.parse().ok()?;
        DateTime::from_timestamp_micros((seconds * 1e6) as i64)
    };
    let moment = zoned
        .map(|zoned| zoned.to_utc())
        .or_else(local)
        .or_else(seconds)?;
    Some(moment.trunc_subsecs(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_each_database_writes_them() {
        for (text, expected) in [
            ("2026-11-21 03:55:59.305864", "2026-11-21T03:55:59.305864Z"),
            ("2026-11-21 03:55:59", "2026-11-21T03:55:59Z"),
            (
                "2026-11-21 03:55:59.305864+00",
                "2026-11-21T03:55:59.305864Z",
            ),
            ("2026-11-21 05:55:59+02", "2026-11-21T03:55:59Z"),
            ("2026-11-21T05:25:59+01:30", "2026-11-21T03:55:59Z"),
            ("2026-11-21T03:55:59Z", "2026-11-21T03:55:59Z"),
            ("2026-11-21", "2026-11-21T00:00:00Z"),
            ("1795233359.25", "2026-11-21T03:55:59.250Z"),
        ] {
            let expected: Time = expected.parse().unwrap();
            assert_eq!(moment(text), Some(expected), "{text}");
        }
        for wrong in ["", "yesterday", "2026-13-01"] {
            assert_eq!(moment(wrong), None, "{wrong}");
        }
    }
}
