//! Times as DRF writes them.

use chrono::{Datelike, Timelike};
use entity::Time;
use serde::{Serialize, Serializer};

/// RFC 3339 in UTC: six digits of microseconds, none when they are all 0, `Z` (compat: DRF 3.18 `DateTimeField`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub Time);

/// `YYYY-MM-DDThh:mm:ss.uuuuuuZ`
const LONGEST: usize = 27;

impl Timestamp {
    /// Written digit by digit: chrono's `format` reads its pattern anew each time, which for a page of
    /// messages costs more than all the rest of its JSON.
    fn write<'a>(&self, buffer: &'a mut [u8; LONGEST]) -> &'a str {
        buffer.copy_from_slice(b"0000-00-00T00:00:00.000000Z");
        let time = self.0;
        digits(&mut buffer[0..4], time.year().unsigned_abs());
        digits(&mut buffer[5..7], time.month());
        digits(&mut buffer[8..10], time.day());
        digits(&mut buffer[11..13], time.hour());
        digits(&mut buffer[14..16], time.minute());
        digits(&mut buffer[17..19], time.second());
        let micros = time.timestamp_subsec_micros();
        let length = if micros == 0 {
            buffer[19] = b'Z';
            20
        } else {
            digits(&mut buffer[20..26], micros);
            LONGEST
        };
        // Digits and the pattern's own signs: always ASCII.
        std::str::from_utf8(&buffer[..length]).unwrap_or_default()
    }
}

/// The last digits of `number`, filling `place`.
fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.write(&mut [0; LONGEST]))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.write(&mut [0; LONGEST]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_or_none() {
        for text in [
            "2026-11-02T10:20:30.002000Z",
            "2026-11-01T10:20:30Z",
            "1999-12-31T23:59:59.999999Z",
            "0001-01-01T00:00:00.000001Z",
        ] {
            assert_eq!(Timestamp(text.parse().unwrap()).to_string(), text);
        }
    }
}
