//! Query strings and forms: read, and written as Python's `urlencode` writes them. Below every room,
//! since REST, the sockets' handshakes and the links of pages all need them.

use std::{borrow::Cow, fmt::Write};

/// All pairs, in order.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    split(text)
        .map(|(name, value)| (decode(name).into_owned(), decode(value).into_owned()))
        .collect()
}

/// The last value of that name, as Django's `QueryDict` gives it.
pub fn value<'a>(text: &'a str, name: &str) -> Option<Cow<'a, str>> {
    split(text)
        .filter(|(given, _)| decode(given) == name)
        .last()
        .map(|(_, value)| decode(value))
}

/// `name=value&...`, with `+` for spaces.
pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        quote(name, &mut text);
        text.push('=');
        quote(value, &mut text);
    }
    text
}

fn split(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('&')
        .filter(|item| !item.is_empty())
        .map(|item| item.split_once('=').unwrap_or((item, "")))
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match after {
                [high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    bytes.push(hex(*high) << 4 | hex(*low));
                    rest = tail;
                }
                _ => bytes.push(b'%'),
            },
            other => bytes.push(other),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn quote(text: &str, into: &mut String) {
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                into.push(char::from(byte));
            }
            b' ' => into.push('+'),
            _ => {
                let _ = write!(into, "%{byte:02X}"); // a String takes everything
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_quoted_is_read_again() {
        let text = "кот & 100%+~*";
        let quoted = encode([("search", text), ("x", "")]);
        assert_eq!(quoted, "search=%D0%BA%D0%BE%D1%82+%26+100%25%2B~%2A&x=");
        assert_eq!(value(&quoted, "search").as_deref(), Some(text));
        assert_eq!(value(&quoted, "x").as_deref(), Some(""));
        assert_eq!(value(&quoted, "y"), None);
    }

    #[test]
    fn broken_escapes_stay_as_they_are_and_the_last_value_counts() {
        assert_eq!(
            pairs("a=%zz&a=%4&=b&c"),
            [
                ("a".into(), "%zz".into()),
                ("a".into(), "%4".into()),
                (String::new(), "b".into()),
                ("c".into(), String::new()),
            ]
        );
        assert_eq!(value("a=1&a=2", "a").as_deref(), Some("2"));
    }
}
