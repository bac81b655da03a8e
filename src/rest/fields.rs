//! A body's fields, checked as DRF's serializers check them: every field is looked at, and all that
//! is wrong is told at once, in DRF's words.
//!
//! Not here: what the domain decides (whether a name is taken, whether a user exists).

use serde::{Serialize, Serializer};

use crate::rest::json::Given;

/// What an object of the API is made of, read from what somebody sent.
pub(crate) trait FromFields: Sized {
    /// Reads every field; none where a required one can't be had. `Body` looks at the complaints first.
    fn from_fields(fields: &mut Fields) -> Option<Self>;
}

/// What was sent, and what is wrong with it so far.
pub(crate) struct Fields {
    given: Vec<(String, Given)>,
    is_form: bool,
    complaints: Complaints,
}

/// What is wrong, field by field, in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Complaints(Vec<(&'static str, Complaint)>);

/// What is wrong with a value, in sentences.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Complaint(pub(crate) Vec<String>);

/// How a value is read. Null and missing values never get here.
pub(crate) trait Rule {
    type Value;
    fn read(&self, given: Given) -> Result<Self::Value, Complaint>;

    /// Whether a form's empty text means that nothing was given.
    fn takes_empty(&self) -> bool {
        false
    }
}

impl Complaint {
    pub(crate) fn of(sentence: impl Into<String>) -> Self {
        Complaint(vec![sentence.into()])
    }
}

impl Complaints {
    /// The name that DRF uses for what concerns no single field.
    pub(crate) const NO_FIELD: &'static str = "non_field_errors";

    pub(crate) fn of(field: &'static str, sentence: impl Into<String>) -> Self {
        let mut complaints = Self::default();
        complaints.add(field, sentence);
        complaints
    }

    pub(crate) fn add(&mut self, field: &'static str, sentence: impl Into<String>) {
        match self.0.iter_mut().find(|(name, _)| *name == field) {
            Some((_, known)) => known.0.push(sentence.into()),
            None => self.0.push((field, Complaint::of(sentence))),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Fields {
    /// The fields of an object, or DRF's complaint about what isn't one.
    pub(crate) fn new(given: Given) -> Result<Self, Complaints> {
        let given = match given {
            Given::Object(entries) => entries,
            Given::Null => return Err(Complaints::of(Complaints::NO_FIELD, "No data provided")),
            other => {
                let type_name = other.type_name();
                let sentence = format!("Invalid data. Expected a dictionary, but got {type_name}.");
                return Err(Complaints::of(Complaints::NO_FIELD, sentence));
            }
        };
        let is_form = given
            .iter()
            .any(|(_, value)| matches!(value, Given::Form(_)));
        Ok(Self {
            given,
            is_form,
            complaints: Complaints::default(),
        })
    }

    /// A field that must be there.
    pub(crate) fn required<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<R::Value> {
        match self.take(name) {
            None => self.complain(name, Complaint::of("This field is required.")),
            Some(given) => self.read(name, given, &rule),
        }
    }

    /// A field that may be missing, but not null.
    pub(crate) fn optional<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<R::Value> {
        let given = self.take(name)?;
        if self.is_form && !rule.takes_empty() && is_empty_form(&given) {
            return None;
        }
        self.read(name, given, &rule)
    }

    /// A field that may be missing or null.
    pub(crate) fn nullable<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<R::Value> {
        let given = self.take(name)?;
        if given == Given::Null || is_empty_form(&given) {
            return None;
        }
        self.read(name, given, &rule)
    }

    /// A complaint of the caller's own.
    pub(crate) fn complain<T>(&mut self, name: &'static str, complaint: Complaint) -> Option<T> {
        self.complaints.0.push((name, complaint));
        None
    }

    pub(crate) fn into_complaints(self) -> Complaints {
        self.complaints
    }

    /// The last value of that name, as Python's dictionaries keep it.
    fn take(&mut self, name: &str) -> Option<Given> {
        let index = self.given.iter().rposition(|(given, _)| given == name)?;
        Some(self.given.remove(index).1)
    }

    fn read<R: Rule>(&mut self, name: &'static str, given: Given, rule: &R) -> Option<R::Value> {
        if given == Given::Null {
            return self.complain(name, Complaint::of("This field may not be null."));
        }
        match rule.read(given) {
            Ok(value) => Some(value),
            Err(complaint) => self.complain(name, complaint),
        }
    }
}

fn is_empty_form(given: &Given) -> bool {
    matches!(given, Given::Form(values) if values.last().is_none_or(String::is_empty))
}

impl Serialize for Complaints {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, complaint)| (name, complaint)))
    }
}
