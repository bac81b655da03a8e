//! How single values are read: DRF's fields, one by one, with what they take and what they say.

use crate::rest::{
    fields::{Complaint, Rule},
    json::Given,
};

/// `CharField`: trimmed before it is checked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Text {
    chars_max: Option<usize>,
    may_be_blank: bool,
}

impl Text {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn at_most(self, chars_max: usize) -> Self {
        Self {
            chars_max: Some(chars_max),
            ..self
        }
    }

    pub(crate) fn or_blank(self) -> Self {
        Self {
            may_be_blank: true,
            ..self
        }
    }
}

impl Rule for Text {
    type Value = String;

    fn read(&self, given: Given) -> Result<String, Complaint> {
        let text = match given {
            Given::Text(text) => text,
            Given::Form(mut values) => values.pop().unwrap_or_default(),
            Given::Integer(number) => number.to_string(),
            Given::Huge(digits) => digits,
            Given::Float(number) => python_float(number),
            Given::Surrogate(code) => {
                let sentence = format!("Surrogate characters are not allowed: U+{code:X}.");
                return Err(Complaint::of(sentence));
            }
            Given::Null | Given::Bool(_) | Given::List(_) | Given::Object(_) => {
                return Err(Complaint::of("Not a valid string."));
            }
        };
        let text = text.trim();
        if text.is_empty() && !self.may_be_blank {
            return Err(Complaint::of("This field may not be blank."));
        }
        let mut wrong = Vec::new();
        if let Some(max) = self.chars_max
            && text.len() > max
            && text.chars().count() > max
        {
            wrong.push(format!(
                "Ensure this field has no more than {max} characters."
            ));
        }
        if text.contains('\0') {
            wrong.push("Null characters are not allowed.".to_owned());
        }
        if wrong.is_empty() {
            Ok(text.to_owned())
        } else {
            Err(Complaint(wrong))
        }
    }

    fn takes_empty(&self) -> bool {
        self.may_be_blank
    }
}

/// `IntegerField`, bounded by the column. Takes `"7"` and `7.0` too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Integer;

impl Rule for Integer {
    type Value = i64;

    fn read(&self, given: Given) -> Result<i64, Complaint> {
        let invalid = || Complaint::of("A valid integer is required.");
        match given {
            Given::Integer(number) => Ok(number),
            Given::Huge(digits) => Err(out_of_range(&digits)),
            // Up to 2^53 a float holds whole numbers exactly; beyond, nobody meant an id.
            Given::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                Ok(number as i64)
            }
            Given::Text(text) => integer_of(&text).ok_or_else(invalid)?,
            Given::Form(values) => {
                integer_of(values.last().map_or("", String::as_str)).ok_or_else(invalid)?
            }
            _ => Err(invalid()),
        }
    }
}

/// None: not a number. A number beyond the column: an error of its own.
fn integer_of(text: &str) -> Option<Result<i64, Complaint>> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(whole.parse().map_err(|_| out_of_range(whole)))
}

fn out_of_range(digits: &str) -> Complaint {
    Complaint::of(if digits.starts_with('-') {
        format!(
            "Ensure this value is greater than or equal to {}.",
            i64::MIN
        )
    } else {
        format!("Ensure this value is less than or equal to {}.", i64::MAX)
    })
}

/// `BooleanField`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag;

impl Rule for Flag {
    type Value = bool;

    fn read(&self, given: Given) -> Result<bool, Complaint> {
        let word = match given {
            Given::Bool(flag) => return Ok(flag),
            Given::Integer(number @ (0 | 1)) => return Ok(number == 1),
            Given::Float(number) if number == 0.0 || number == 1.0 => return Ok(number == 1.0),
            Given::Text(text) => text,
            Given::Form(mut values) => values.pop().unwrap_or_default(),
            _ => String::new(),
        };
        match word.to_lowercase().as_str() {
            "t" | "y" | "yes" | "true" | "on" | "1" => Ok(true),
            "f" | "n" | "no" | "false" | "off" | "0" => Ok(false),
            _ => Err(Complaint::of("Must be a valid boolean.")),
        }
    }
}

/// `ChoiceField`: one of a few words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy> Rule for Choice<T> {
    type Value = T;

    fn read(&self, given: Given) -> Result<T, Complaint> {
        let word = match given {
            Given::Text(text) => text,
            Given::Form(mut values) => values.pop().unwrap_or_default(),
            other => python_repr(&other),
        };
        let choice = self.0.iter().find(|(name, _)| *name == word);
        choice
            .map(|(_, value)| *value)
            .ok_or_else(|| Complaint::of(format!("\"{word}\" is not a valid choice.")))
    }
}

/// `PrimaryKeyRelatedField`, as far as it needs no database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key;

impl Rule for Key {
    type Value = i64;

    fn read(&self, given: Given) -> Result<i64, Complaint> {
        let type_name = given.type_name();
        let wrong_type = || {
            Complaint::of(format!(
                "Incorrect type. Expected pk value, received {type_name}."
            ))
        };
        match given {
            Given::Text(text) if text.is_empty() => {
                Err(Complaint::of("This field may not be null."))
            }
            Given::Huge(digits) => Err(unknown_key(digits)),
            given => Integer.read(given).map_err(|_| wrong_type()),
        }
    }
}

/// What DRF says of a key that names nothing.
pub(crate) fn unknown_key(key: impl std::fmt::Display) -> Complaint {
    Complaint::of(format!("Invalid pk \"{key}\" - object does not exist."))
}

/// `PrimaryKeyRelatedField(many=True)`: DRF tells the first wrong key only, without its index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) count_max: usize,
}

impl Rule for Keys {
    type Value = Vec<i64>;

    fn read(&self, given: Given) -> Result<Vec<i64>, Complaint> {
        let items = match given {
            Given::List(items) => items,
            Given::Form(values) => values.into_iter().map(Given::Text).collect(),
            other => {
                let type_name = other.type_name();
                let sentence = format!("Expected a list of items but got type \"{type_name}\".");
                return Err(Complaint::of(sentence));
            }
        };
        if items.len() > self.count_max {
            let max = self.count_max;
            let sentence = format!("Ensure this field has no more than {max} elements.");
            return Err(Complaint::of(sentence));
        }
        items.into_iter().map(|item| Key.read(item)).collect()
    }
}

/// A float as Python's `str` writes it.
fn python_float(number: f64) -> String {
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or_default();
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        None => text,
    }
}

/// A value as Python shows it inside a sentence.
fn python_repr(given: &Given) -> String {
    match given {
        Given::Null => "None".to_owned(),
        Given::Bool(true) => "True".to_owned(),
        Given::Bool(false) => "False".to_owned(),
        Given::Integer(number) => number.to_string(),
        Given::Huge(digits) => digits.clone(),
        Given::Float(number) => python_float(*number),
        Given::Surrogate(code) => format!("'\\u{code:04x}'"),
        Given::Text(text) => format!("'{text}'"),
        Given::Form(values) => format!("'{}'", values.join(",")),
        Given::List(items) => {
            let items: Vec<String> = items.iter().map(python_repr).collect();
            format!("[{}]", items.join(", "))
        }
        Given::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(name, value)| format!("'{name}': {}", python_repr(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
