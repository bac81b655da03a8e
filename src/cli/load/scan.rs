//! The few values that a load needs of an event, without parsing the rest: every receiver looks at
//! every frame, and shall not cost more than the server that it measures.
//!
//! The scan trusts that a frame is JSON and checks only what it steps on. Strings are given as they
//! stand in the frame, escapes and all.

/// What is read of a frame; what isn't there stays none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Event<'a> {
    pub(super) kind: &'a [u8],
    pub(super) seq: Option<u64>,
    pub(super) client_id: Option<&'a [u8]>,
    /// `data.id` and `data.text`.
    pub(super) id: Option<u64>,
    pub(super) text: Option<&'a [u8]>,
}

impl<'a> Event<'a> {
    /// None where `frame` isn't an object.
    pub(super) fn scan(frame: &'a [u8]) -> Option<Self> {
        let mut event = Self::default();
        let mut cursor = Cursor { rest: frame };
        cursor.object(|key, cursor| {
            match key {
                b"type" => event.kind = cursor.string()?,
                b"seq" => event.seq = cursor.number(),
                b"client_id" => event.client_id = cursor.string_or_other()?,
                b"data" if cursor.at(b'{') => cursor.object(|key, cursor| {
                    match key {
                        b"id" => event.id = cursor.number(),
                        b"text" => event.text = cursor.string_or_other()?,
                        _ => cursor.skip()?,
                    }
                    Some(())
                })?,
                _ => cursor.skip()?,
            }
            Some(())
        })?;
        Some(event)
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Steps through an object; `each` steps over the value of its key.
    fn object(&mut self, mut each: impl FnMut(&'a [u8], &mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        while self.at(b'"') {
            let key = self.string()?;
            self.expect(b':')?;
            self.space();
            each(key, self)?;
            if self.at(b',') {
                self.expect(b',')?;
                self.space();
            }
        }
        self.expect(b'}')
    }

    fn skip(&mut self) -> Option<()> {
        self.space();
        match self.rest.first()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.nested(),
            _ => {
                let end = self
                    .rest
                    .iter()
                    .position(|byte| matches!(byte, b',' | b'}' | b']'));
                self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
                Some(())
            }
        }
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let step = self
                .rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))?;
            self.rest = &self.rest[step..];
            match self.rest[0] {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            self.rest = &self.rest[1..];
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let whole = self.rest;
        let mut end = 0;
        loop {
            end += whole[end..]
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\'))?;
            if whole[end] == b'"' {
                break;
            }
            end += 2;
            if end > whole.len() {
                return None;
            }
        }
        self.rest = &whole[end + 1..];
        Some(&whole[..end])
    }

    fn string_or_other(&mut self) -> Option<Option<&'a [u8]>> {
        if self.at(b'"') {
            return self.string().map(Some);
        }
        self.skip()?;
        Some(None)
    }

    /// A whole number; anything else is stepped over.
    fn number(&mut self) -> Option<u64> {
        self.space();
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let number = parse_number(&self.rest[..digits]);
        self.skip()?;
        number
    }

    fn at(&mut self, byte: u8) -> bool {
        self.space();
        self.rest.first() == Some(&byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.space();
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        (*first == byte).then_some(())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}

/// The number that these digits write; none for no digits, and for more than fit.
pub(super) fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn scan(frame: &str) -> Event<'_> {
        Event::scan(frame.as_bytes()).unwrap()
    }

    #[test]
    fn a_message_is_read_whatever_order_and_space_it_is_written_with() {
        let expected = Event {
            kind: b"message",
            seq: Some(12),
            client_id: Some(b"7"),
            id: Some(99),
            text: Some(b"0 7 123 xx"),
        };
        let frames = [
            r#"{"type":"message","seq":12,"data":{"id":99,"chat":1,"seq":12,"text":"0 7 123 xx","sender":{"id":5}},"client_id":"7"}"#,
            r#"{"client_id": "7", "data": {"sender": {"id": 5, "tags": ["}", "\"]"]}, "text": "0 7 123 xx", "id": 99}, "seq": 12, "type": "message"}"#,
            "{\n \"seq\" : 12 ,\n \"type\":\"message\",\"client_id\":\"7\",\"data\":{\"reply_to\":null,\"id\":99,\"text\":\"0 7 123 xx\"} }\n",
        ];
        for frame in frames {
            assert_eq!(scan(frame), expected, "{frame}");
        }
    }

    #[test]
    fn what_lies_deeper_or_is_no_number_is_not_taken_for_the_value() {
        let event = scan(
            r#"{"type":"x","other":{"seq":1,"data":{"text":"no"}},"seq":null,"data":[{"text":"no"}]}"#,
        );
        assert_eq!(
            event,
            Event {
                kind: b"x",
                ..Event::default()
            }
        );
        assert_eq!(
            scan(r#"{"seq":"12","data":{"text":null}}"#),
            Event::default()
        );
    }

    #[test]
    fn what_is_no_object_or_breaks_off_is_none() {
        for frame in [
            "",
            "[]",
            "12",
            "null",
            "{",
            r#"{"type"#,
            r#"{"type":"a\"#,
            r#"{"seq":1"#,
            r#"{"a":["#,
        ] {
            assert_eq!(Event::scan(frame.as_bytes()), None, "{frame}");
        }
    }

    #[test]
    fn numbers_have_digits_only_and_fit() {
        assert_eq!(parse_number(b"18446744073709551615"), Some(u64::MAX));
        for digits in ["", "-1", "1.5", "1e3", "18446744073709551616"] {
            assert_eq!(parse_number(digits.as_bytes()), None, "{digits}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_scan_finds_what_a_parser_finds(seq: u64, id: u64, a in any_value(), b in any_value(), pretty: bool) {
            let frame = json!({"a": a, "type": "message", "seq": seq, "zz": b, "data": {"b": b, "id": id, "text": "t", "zz": a}});
            let frame = if pretty { serde_json::to_string_pretty(&frame) } else { serde_json::to_string(&frame) }.unwrap();
            prop_assert_eq!(scan(&frame), Event { kind: b"message", seq: Some(seq), client_id: None, id: Some(id), text: Some(b"t") });
        }

        #[test]
        fn no_bytes_make_the_scan_panic(frame in prop::collection::vec(prop::sample::select(b"{}[]:,\"\\ a1".to_vec()), 0..40)) {
            Event::scan(&frame);
        }
    }
}
