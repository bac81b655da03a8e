//! The client's frames, of both generations: `{message}`, and those with a `type`.

use serde_json::Value;

/// The frames' names, as the documents list them.
pub(crate) const FRAMES: &[&str] = &["message", "typing"];

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Message { text: String },
    Typing { is_typing: bool },
}

/// A frame that says nothing that could be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    NotJson,
    NoMessage,
    NotTyping,
}

impl Wrong {
    pub(super) fn text(self) -> &'static str {
        match self {
            Wrong::NotJson => "Invalid JSON format received",
            Wrong::NoMessage => super::frames::NO_MESSAGE,
            Wrong::NotTyping => "is_typing must be true or false",
        }
    }
}

impl Incoming {
    pub(super) fn parse(frame: &str) -> Result<Incoming, Wrong> {
        // serde_json refuses nesting beyond 128, lone surrogates and trailing text by itself.
        let Ok(Value::Object(mut fields)) = serde_json::from_str(frame) else {
            return Err(Wrong::NotJson);
        };
        let kind = fields.get("type").and_then(Value::as_str);
        let text = match kind {
            Some("typing") => {
                return match fields.get("is_typing") {
                    Some(Value::Bool(is_typing)) => Ok(Incoming::Typing {
                        is_typing: *is_typing,
                    }),
                    None | Some(Value::Null) => Ok(Incoming::Typing { is_typing: false }),
                    Some(_) => Err(Wrong::NotTyping),
                };
            }
            Some("message") => fields
                .remove("content")
                .or_else(|| fields.remove("message")),
            // The first generation has no types: one that it doesn't know is passed over, as any other key.
            _ => fields.remove("message"),
        };
        match text {
            Some(Value::String(text)) => Ok(Incoming::Message { text }),
            _ => Err(Wrong::NoMessage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Result<Incoming, Wrong> {
        Ok(Incoming::Message {
            text: text.to_owned(),
        })
    }

    #[test]
    fn both_generations_of_frames_are_read() {
        for frame in [
            r#"{"message":"Hi"}"#,
            r#"{"type":"message","content":"Hi"}"#,
            r#"{"type":"message","message":"Hi"}"#,
            r#"{"type":"chat_message","message":"Hi","sender_id":"7"}"#,
            r#"{"type":null,"message":"Hi"}"#,
        ] {
            assert_eq!(Incoming::parse(frame), message("Hi"), "{frame}");
        }
        let typing = |is_typing| Ok(Incoming::Typing { is_typing });
        let frame = r#"{"type":"typing","is_typing":true,"message":"Hi"}"#;
        assert_eq!(Incoming::parse(frame), typing(true));
        assert_eq!(Incoming::parse(r#"{"type":"typing"}"#), typing(false));
    }

    #[test]
    fn what_says_nothing_is_told_so() {
        for frame in ["", "null", "[]", "7", "\"Hi\"", "{", "{'message': 'Hi'}"] {
            assert_eq!(Incoming::parse(frame), Err(Wrong::NotJson), "{frame}");
        }
        for frame in [
            "{}",
            r#"{"message":null}"#,
            r#"{"message":7}"#,
            r#"{"message":["Hi"]}"#,
            r#"{"content":"Hi"}"#,
            r#"{"type":"message"}"#,
            r#"{"type":"join"}"#,
        ] {
            assert_eq!(Incoming::parse(frame), Err(Wrong::NoMessage), "{frame}");
        }
        let frame = r#"{"type":"typing","is_typing":"yes"}"#;
        assert_eq!(Incoming::parse(frame), Err(Wrong::NotTyping));
    }
}
