//! What a request holds, whichever encoding it came in, and the reader of the first one: JSON.
//!
//! Bounded by: [`DEPTH_MAX`] and [`VALUES_MAX`], in both encodings alike; their size is the frame's.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deep lists and dicts may be nested.
pub(super) const DEPTH_MAX: usize = 32;
/// How many values a frame may hold: its bytes become many times as many in memory.
pub(super) const VALUES_MAX: usize = 10_000;

/// A value of JSON or of a Python literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    /// Of a tuple too.
    List(Vec<Value>),
    /// As written: of what is named twice the last counts.
    Dict(Vec<(Value, Value)>),
}

/// Where values are counted while a frame is read.
#[derive(Debug)]
pub(super) struct Budget {
    values: Cell<usize>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            values: Cell::new(VALUES_MAX),
        }
    }

    /// Takes one, if there is one left and it isn't nested too deep.
    pub(super) fn take(&self, depth: usize) -> bool {
        let left = self.values.get();
        self.values.set(left.saturating_sub(1));
        left > 0 && depth <= DEPTH_MAX
    }
}

impl Value {
    /// A frame as JSON.
    pub(super) fn from_json(frame: &str) -> Result<Value, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(frame);
        let budget = Budget::new();
        let seed = Seed {
            budget: &budget,
            depth: 0,
        };
        let value = seed.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// What a dict holds under a name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let Value::Dict(entries) = self else {
            return None;
        };
        let named = |(key, _): &&(Value, Value)| matches!(key, Value::Str(key) if key == name);
        entries.iter().rev().find(named).map(|(_, value)| value)
    }
}

#[derive(Clone, Copy)]
struct Seed<'b> {
    budget: &'b Budget,
    depth: usize,
}

impl Seed<'_> {
    fn inner(self) -> Self {
        Seed {
            depth: self.depth + 1,
            ..self
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.budget.take(self.depth) {
            true => deserializer.deserialize_any(self),
            false => Err(D::Error::custom("too much in one frame")),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        let int = i64::try_from(value).map(Value::Int);
        Ok(int.unwrap_or(Value::Float(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner())? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut dict = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            dict.push((Value::Str(key), entries.next_value_seed(self.inner())?));
        }
        Ok(Value::Dict(dict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_named_twice_the_last_counts() {
        let value = Value::from_json(r#"{"a": 1, "b": 2, "a": 3}"#).unwrap();
        assert_eq!(value.get("a"), Some(&Value::Int(3)));
        assert_eq!(value.get("c"), None);
        assert_eq!(Value::Int(1).get("a"), None);
    }

    #[test]
    fn what_is_too_deep_or_too_much_is_no_value() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Value::from_json(&nested(DEPTH_MAX + 1)).is_ok());
        assert!(Value::from_json(&nested(DEPTH_MAX + 2)).is_err());
        let many = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        assert!(Value::from_json(&many(VALUES_MAX - 1)).is_ok());
        assert!(Value::from_json(&many(VALUES_MAX)).is_err());
    }
}
