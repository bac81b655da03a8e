//! The figures of a load: a table for people, or a line of JSON.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};

use super::latency::Latency;

/// Figures in the order in which they are shown; each name ends with its unit.
#[derive(Default)]
pub(super) struct Report {
    figures: Vec<(String, Value)>,
}

impl Report {
    pub(super) fn of(scenario: &str, is_limit: bool) -> Self {
        let target = if is_limit { "limit" } else { "chat" };
        Self::default()
            .with("scenario", scenario)
            .with("target", target)
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.figures.push((name.to_owned(), value.into()));
        self
    }

    /// A number that is worth three digits behind the point; left out where nothing was measured.
    pub(super) fn with_number(self, name: &str, value: impl Into<Option<f64>>) -> Self {
        match value.into() {
            Some(value) => self.with(name, json!((value * 1000.0).round() / 1000.0)),
            None => self,
        }
    }

    /// p50, p99 and the longest, in milliseconds.
    pub(super) fn with_latency(self, name: &str, latency: &Latency) -> Self {
        let millis = |took: Duration| took.as_secs_f64() * 1000.0;
        self.with_number(&format!("{name}_p50_ms"), latency.quantile(0.5).map(millis))
            .with_number(
                &format!("{name}_p99_ms"),
                latency.quantile(0.99).map(millis),
            )
            .with_number(&format!("{name}_max_ms"), millis(latency.max()))
    }

    pub(super) fn text(&self, as_json: bool) -> String {
        if as_json {
            // Not by way of a `Value`: that would put the figures into the order of the alphabet.
            return serde_json::to_string(self).unwrap_or_default() + "\n";
        }
        let width = self
            .figures
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or_default();
        let line = |(name, value): &(String, Value)| match value {
            Value::String(text) => format!("{name:width$}  {text}\n"),
            value => format!("{name:width$}  {value}\n"),
        };
        self.figures.iter().map(line).collect()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.figures.len()))?;
        for (name, value) in &self.figures {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What one of `count` cost, in microseconds.
pub(super) fn micros_each(spent: Option<Duration>, count: u64) -> Option<f64> {
    spent
        .filter(|_| count > 0)
        .map(|spent| spent.as_secs_f64() * 1e6 / count as f64)
}
