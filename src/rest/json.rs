//! JSON read as Python's `json.loads` reads it (CPython 3.11), with its messages: clients of a Django
//! service have seen those, and tests of theirs compare them.
//!
//! Why not serde_json: it names other positions in other words, and refuses what Python takes (lone
//! surrogates, integers of any size), for which DRF has field errors of its own.
//! Bounded by: the body's size, which its reader checks, and `DEPTH_MAX`.

/// Nesting that is followed: more than any client needs, and far from the end of the stack.
const DEPTH_MAX: usize = 128;

/// A value that somebody sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given {
    Null,
    Bool(bool),
    Integer(i64),
    /// An integer beyond 64 bits, as it was written.
    Huge(String),
    Float(f64),
    Text(String),
    /// A text with a lone surrogate, which no Rust string can hold: the first one.
    Surrogate(u16),
    List(Vec<Given>),
    Object(Vec<(String, Given)>),
    /// A form's field: all of its values, in order.
    Form(Vec<String>),
}

impl Given {
    /// What Python calls such a value's type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Given::Null => "NoneType",
            Given::Bool(_) => "bool",
            Given::Integer(_) | Given::Huge(_) => "int",
            Given::Float(_) => "float",
            Given::Text(_) | Given::Surrogate(_) | Given::Form(_) => "str",
            Given::List(_) => "list",
            Given::Object(_) => "dict",
        }
    }
}

/// Reads one JSON value. The error is what stands after `JSON parse error - `.
pub(crate) fn parse(body: &[u8]) -> Result<Given, String> {
    let text = decode(body)?;
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    if text.starts_with('\u{feff}') {
        return Err(reader.error("Unexpected UTF-8 BOM (decode using utf-8-sig)", 0));
    }
    reader.skip_space();
    let value = reader.value()?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.error("Extra data", reader.at));
    }
    Ok(value)
}

/// UTF-8 as Python's stream reader takes it: what is cut off at the end is left out silently.
fn decode(body: &[u8]) -> Result<&str, String> {
    let error = match std::str::from_utf8(body) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let start = error.valid_up_to();
    let Some(bad_bytes) = error.error_len() else {
        return Ok(std::str::from_utf8(&body[..start]).unwrap_or_default());
    };
    let first = body[start];
    let reason = match first {
        0xc2..=0xf4 => "invalid continuation byte",
        _ => "invalid start byte",
    };
    Err(match bad_bytes {
        1 => format!("'utf-8' codec can't decode byte 0x{first:02x} in position {start}: {reason}"),
        _ => {
            let end = start + bad_bytes - 1;
            format!("'utf-8' codec can't decode bytes in position {start}-{end}: {reason}")
        }
    })
}

/// Positions are bytes; only an error counts characters.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    fn error(&self, what: &str, at: usize) -> String {
        let before = String::from_utf8_lossy(&self.text.as_bytes()[..at.min(self.text.len())]);
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        let chars = before.chars().count();
        format!("{what}: line {line} column {column} (char {chars})")
    }

    fn value(&mut self) -> Result<Given, String> {
        let start = self.at;
        for constant in ["NaN", "Infinity", "-Infinity"] {
            if self.takes(constant) {
                return Err(format!(
                    "Out of range float values are not JSON compliant: '{constant}'"
                ));
            }
        }
        match self.peek() {
            Some(b'"') => Ok(match self.string()? {
                Ok(text) => Given::Text(text),
                Err(surrogate) => Given::Surrogate(surrogate),
            }),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'n') if self.takes("null") => Ok(Given::Null),
            Some(b't') if self.takes("true") => Ok(Given::Bool(true)),
            Some(b'f') if self.takes("false") => Ok(Given::Bool(false)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.error("Expecting value", start)),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Given, String>) -> Result<Given, String> {
        if self.depth == DEPTH_MAX {
            return Err(self.error("Too deeply nested", self.at));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Given, String> {
        let mut entries: Vec<(String, Given)> = Vec::new();
        if self.takes("}") {
            return Ok(Given::Object(entries));
        }
        loop {
            if self.peek() != Some(b'"') {
                let what = "Expecting property name enclosed in double quotes";
                return Err(self.error(what, self.at));
            }
            let name = self.string()?;
            self.skip_space();
            if !self.takes(":") {
                return Err(self.error("Expecting ':' delimiter", self.at));
            }
            self.skip_space();
            let value = self.value()?;
            // A name that no Rust string can hold is no field of ours: unknown names are ignored.
            if let Ok(name) = name {
                entries.push((name, value));
            }
            if self.ends(b'}')? {
                return Ok(Given::Object(entries));
            }
        }
    }

    fn list(&mut self) -> Result<Given, String> {
        let mut items = Vec::new();
        if self.takes("]") {
            return Ok(Given::List(items));
        }
        loop {
            items.push(self.value()?);
            if self.ends(b']')? {
                return Ok(Given::List(items));
            }
        }
    }

    /// After an entry: the end, or a comma and what follows it.
    fn ends(&mut self, end: u8) -> Result<bool, String> {
        self.skip_space();
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(false)
            }
            _ => Err(self.error("Expecting ',' delimiter", self.at)),
        }
    }

    fn number(&mut self) -> Result<Given, String> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let digits_from = |from: usize| {
            bytes[from..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count()
        };
        let mut end = start + usize::from(bytes[start] == b'-');
        match digits_from(end) {
            0 => return Err(self.error("Expecting value", start)),
            // A leading zero stands alone: what follows it is taken for the next token.
            _ if bytes[end] == b'0' => end += 1,
            digits => end += digits,
        }
        let mut is_float = false;
        if bytes.get(end) == Some(&b'.') && digits_from(end + 1) > 0 {
            end += 1 + digits_from(end + 1);
            is_float = true;
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = end + 1 + sign;
            if exponent < bytes.len() && digits_from(exponent) > 0 {
                end = exponent + digits_from(exponent);
                is_float = true;
            }
        }
        self.at = end;
        let text = &self.text[start..end];
        if is_float {
            return Ok(Given::Float(text.parse().unwrap_or(f64::INFINITY)));
        }
        Ok(text
            .parse()
            .map_or_else(|_| Given::Huge(text.to_owned()), Given::Integer))
    }

    /// A text, or the first lone surrogate in it.
    fn string(&mut self) -> Result<Result<String, u16>, String> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut text = String::new();
        let mut lone = None;
        self.at += 1;
        loop {
            let plain = bytes[self.at..]
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
                .ok_or_else(|| self.error("Unterminated string starting at", start))?;
            text.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match bytes[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(lone.map_or(Ok(text), Err));
                }
                b'\\' => match self.escape(start)? {
                    Ok(char) => text.push(char),
                    Err(surrogate) => lone = lone.or(Some(surrogate)),
                },
                _ => return Err(self.error("Invalid control character at", self.at)),
            }
        }
    }

    fn escape(&mut self, string_start: usize) -> Result<Result<char, u16>, String> {
        let backslash = self.at;
        let Some(&kind) = self.text.as_bytes().get(backslash + 1) else {
            return Err(self.error("Unterminated string starting at", string_start));
        };
        self.at += 2;
        Ok(Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(backslash),
            _ => return Err(self.error("Invalid \\escape", backslash)),
        }))
    }

    fn unicode(&mut self, backslash: usize) -> Result<Result<char, u16>, String> {
        let first = self.hex(backslash)?;
        let is_high = (0xd800..0xdc00).contains(&first);
        let follows = self
            .text
            .as_bytes()
            .get(self.at..)
            .filter(|rest| rest.len() > 6);
        if is_high && follows.is_some_and(|rest| rest.starts_with(b"\\u")) {
            let second_at = self.at;
            self.at += 2;
            let second = self.hex(second_at)?;
            if let Some(Ok(char)) = char::decode_utf16([first, second]).next() {
                return Ok(Ok(char));
            }
            self.at = second_at; // not its partner: an escape of its own
        }
        Ok(char::from_u32(u32::from(first)).ok_or(first))
    }

    fn hex(&mut self, backslash: usize) -> Result<u16, String> {
        // As in CPython, an escape at the very end is a broken one, not an unterminated text.
        let five = self.text.as_bytes().get(self.at..self.at + 5);
        let code = five
            .map(|five| &five[..4])
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("Invalid \\uXXXX escape", backslash + 1))?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: &str) -> String {
        parse(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn errors_are_worded_and_placed_as_python_does_it() {
        for (body, expected) in [
            (r#"{"name": "#, "Expecting value: line 1 column 10 (char 9)"),
            (
                "{'name': 'x'}",
                "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
            ),
            (
                r#"{"name": NaN}"#,
                "Out of range float values are not JSON compliant: 'NaN'",
            ),
            (
                "\u{feff}{}",
                "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)",
            ),
            ("{} x", "Extra data: line 1 column 4 (char 3)"),
            (
                "{\"é\"\n 1}",
                "Expecting ':' delimiter: line 2 column 2 (char 6)",
            ),
            ("[1 2]", "Expecting ',' delimiter: line 1 column 4 (char 3)"),
            ("[1,]", "Expecting value: line 1 column 4 (char 3)"),
            ("[01]", "Expecting ',' delimiter: line 1 column 3 (char 2)"),
            ("[-]", "Expecting value: line 1 column 2 (char 1)"),
            ("", "Expecting value: line 1 column 1 (char 0)"),
            (
                r#"["a"#,
                "Unterminated string starting at: line 1 column 2 (char 1)",
            ),
            (r#"["a\q"]"#, r"Invalid \escape: line 1 column 4 (char 3)"),
            (
                r#"["\ud83d"#,
                r"Invalid \uXXXX escape: line 1 column 4 (char 3)",
            ),
            (
                r#"["\u12"]"#,
                r"Invalid \uXXXX escape: line 1 column 4 (char 3)",
            ),
            (
                "[\"\n\"]",
                "Invalid control character at: line 1 column 3 (char 2)",
            ),
        ] {
            assert_eq!(message(body), expected, "{body}");
        }
        assert_eq!(
            parse(b"{\"name\": \"\xff\"}").unwrap_err(),
            "'utf-8' codec can't decode byte 0xff in position 10: invalid start byte"
        );
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_end_of_the_stack() {
        let depth = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(depth(DEPTH_MAX).as_bytes()).is_ok());
        assert!(message(&depth(DEPTH_MAX + 1)).starts_with("Too deeply nested"));
        assert!(message(&"[".repeat(1_000_000)).starts_with("Too deeply nested"));
    }

    #[test]
    fn what_python_takes_and_serde_json_does_not_is_kept() {
        assert_eq!(parse(br#""\ud800x""#), Ok(Given::Surrogate(0xd800)));
        assert_eq!(parse(br#""\ud83d\ude00""#), Ok(Given::Text("😀".into())));
        assert_eq!(
            parse(b"99999999999999999999"),
            Ok(Given::Huge("9".repeat(20)))
        );
        assert_eq!(
            parse(b"[-0, 1e2]"),
            Ok(Given::List(vec![Given::Integer(0), Given::Float(100.0)]))
        );
    }

    fn as_given(value: serde_json::Value) -> Given {
        use serde_json::Value;
        match value {
            Value::Null => Given::Null,
            Value::Bool(flag) => Given::Bool(flag),
            Value::Number(number) => number
                .as_i64()
                .map_or_else(|| Given::Float(number.as_f64().unwrap()), Given::Integer),
            Value::String(text) => Given::Text(text),
            Value::Array(items) => Given::List(items.into_iter().map(as_given).collect()),
            Value::Object(entries) => Given::Object(
                entries
                    .into_iter()
                    .map(|(name, value)| (name, as_given(value)))
                    .collect(),
            ),
        }
    }

    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|entries| {
                    entries
                        .into_iter()
                        .collect::<serde_json::Map<_, _>>()
                        .into()
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_serde_json_writes_is_read_alike(value in values()) {
            let body = serde_json::to_vec_pretty(&value).unwrap();
            prop_assert_eq!(parse(&body), Ok(as_given(value)));
        }

        #[test]
        fn no_input_panics(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&body);
        }

        #[test]
        fn no_nearly_good_input_panics(body in r#"[\[\]{}":,\\u0-9a-f.eE+\- é"n]{0,40}"#) {
            let ours = parse(body.as_bytes()).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(&body).is_ok();
            prop_assert!(ours || !theirs, "serde_json takes {:?}", body);
        }
    }
}
