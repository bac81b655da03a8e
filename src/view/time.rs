//! Times as DRF writes them.

use entity::Time;
use serde::{Serialize, Serializer};

/// RFC 3339 in UTC: six digits of microseconds, none when they are all 0, `Z` (compat: DRF 3.18 `DateTimeField`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub Time);

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.timestamp_subsec_micros();
        let whole = self.0.format("%Y-%m-%dT%H:%M:%S");
        if micros == 0 {
            write!(f, "{whole}Z")
        } else {
            write!(f, "{whole}.{micros:06}Z")
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
