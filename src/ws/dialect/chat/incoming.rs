//! The client's frames.

use entity::{MessageId, Seq};
use serde_json::{Map, Value};

use crate::chat::{Direction, PageNumber};

/// The frames' types, as the documents list them.
pub(crate) const FRAMES: &[&str] = &[
    "message",
    "typing",
    "read_messages",
    "edit_message",
    "delete_message",
    "get_messages",
    "sync",
    "authenticate",
    "ping",
];

/// Messages of a page that asks for no size.
pub(super) const PAGE_SIZE: u64 = 50;
const PAGE_SIZE_MAX: u64 = 100;
/// Of an unknown type, this much is shown in the error.
const TYPE_CHARS_SHOWN: usize = 100;

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::ws::dialect) enum Incoming {
    Message {
        text: String,
        client_id: Option<String>,
        reply_to: Option<MessageId>,
    },
    Typing {
        is_typing: bool,
    },
    ReadMessages {
        up_to: Option<MessageId>,
    },
    EditMessage {
        message: MessageId,
        text: String,
    },
    DeleteMessage {
        message: MessageId,
    },
    Page(PageNumber),
    Keyset {
        direction: Direction,
        page_size: u64,
    },
    Sync {
        since: Seq,
    },
    Authenticate {
        token: String,
    },
    Ping,
}

/// A frame that says nothing that could be done.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::ws::dialect) struct Wrong {
    pub(in crate::ws::dialect) text: String,
    pub(in crate::ws::dialect) code: &'static str,
    /// The frame's own, where it had one.
    pub(in crate::ws::dialect) client_id: Option<String>,
}

/// A frame's fields.
pub(in crate::ws::dialect) fn fields(frame: &str) -> Result<Map<String, Value>, Wrong> {
    // serde_json refuses nesting beyond 128, lone surrogates and trailing text by itself.
    match serde_json::from_str(frame) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(wrong("Invalid JSON format", "invalid_json")),
    }
}

impl Incoming {
    pub(super) fn parse(frame: &str) -> Result<Incoming, Wrong> {
        Self::read(&mut fields(frame)?)
    }

    /// What these fields want.
    pub(in crate::ws::dialect) fn read(fields: &mut Map<String, Value>) -> Result<Incoming, Wrong> {
        Self::of(fields).map_err(|wrong| Wrong {
            client_id: string(fields, "client_id"),
            ..wrong
        })
    }

    fn of(fields: &mut Map<String, Value>) -> Result<Incoming, Wrong> {
        let kind = match fields.get("type") {
            None => "message",
            Some(Value::String(kind)) if FRAMES.contains(&kind.as_str()) => kind.as_str(),
            Some(Value::String(unknown)) => return Err(unknown_type(unknown)),
            Some(other) => return Err(unknown_type(&other.to_string())),
        };
        match kind {
            "message" => {
                // Before the text is taken: an error tells the frame's `client_id`.
                let client_id = match fields.get("client_id") {
                    None | Some(Value::Null) => None,
                    Some(Value::String(client_id)) => Some(client_id.clone()),
                    Some(_) => return Err(invalid("client_id must be a string")),
                };
                let reply_to = id(fields, "reply_to")?;
                Ok(Incoming::Message {
                    text: text(fields)?,
                    client_id,
                    reply_to,
                })
            }
            "typing" => match fields.get("is_typing") {
                Some(Value::Bool(is_typing)) => Ok(Incoming::Typing {
                    is_typing: *is_typing,
                }),
                None | Some(Value::Null) => Ok(Incoming::Typing { is_typing: false }),
                Some(_) => Err(invalid("is_typing must be true or false")),
            },
            "read_messages" => Ok(Incoming::ReadMessages {
                up_to: id(fields, "up_to")?,
            }),
            "edit_message" => {
                let message =
                    id(fields, "message_id")?.ok_or_else(|| invalid("message_id is required"))?;
                Ok(Incoming::EditMessage {
                    message,
                    text: text(fields)?,
                })
            }
            "delete_message" => {
                let message =
                    id(fields, "message_id")?.ok_or_else(|| invalid("message_id is required"))?;
                Ok(Incoming::DeleteMessage { message })
            }
            "get_messages" => Self::get_messages(fields),
            "sync" => match number(fields, "since")? {
                Some(since) if since >= 0 => Ok(Incoming::Sync { since: Seq(since) }),
                _ => Err(invalid("since must be a number")),
            },
            "authenticate" => match string(fields, "token") {
                Some(token) => Ok(Incoming::Authenticate { token }),
                None => Err(invalid("token must be a string")),
            },
            "ping" => Ok(Incoming::Ping),
            unknown => Err(unknown_type(unknown)),
        }
    }

    fn get_messages(fields: &Map<String, Value>) -> Result<Incoming, Wrong> {
        let page_size = match number(fields, "page_size")? {
            None => PAGE_SIZE,
            Some(size) => u64::try_from(size)
                .ok()
                .filter(|size| (1..=PAGE_SIZE_MAX).contains(size))
                .ok_or_else(|| invalid("page_size must be from 1 to 100"))?,
        };
        let places = ["before", "after", "page"]
            .iter()
            .filter(|name| fields.contains_key(**name))
            .count();
        if places > 1 {
            return Err(invalid("name one of before, after and page"));
        }
        if fields.contains_key("before") {
            let direction = Direction::Before(id(fields, "before")?);
            return Ok(Incoming::Keyset {
                direction,
                page_size,
            });
        }
        if fields.contains_key("after") {
            let after = id(fields, "after")?.ok_or_else(|| invalid("after must be a number"))?;
            return Ok(Incoming::Keyset {
                direction: Direction::After(after),
                page_size,
            });
        }
        let page = number(fields, "page")?.unwrap_or(1);
        let page = u64::try_from(page)
            .ok()
            .filter(|page| *page > 0)
            .ok_or_else(|| invalid("Invalid page."))?;
        Ok(Incoming::Page(PageNumber { page, page_size }))
    }
}

fn wrong(text: &str, code: &'static str) -> Wrong {
    Wrong {
        text: text.to_owned(),
        code,
        client_id: None,
    }
}

pub(in crate::ws::dialect) fn invalid(text: &str) -> Wrong {
    wrong(text, "invalid")
}

fn unknown_type(kind: &str) -> Wrong {
    let shown: String = kind.chars().take(TYPE_CHARS_SHOWN).collect();
    wrong(&format!("Unknown message type: {shown}"), "unknown_type")
}

/// A message's text: missing or null is empty, which the domain refuses in its own words.
fn text(fields: &mut Map<String, Value>) -> Result<String, Wrong> {
    match fields.remove("text") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(invalid("Message text must be a string")),
    }
}

fn string(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn id(fields: &Map<String, Value>, name: &str) -> Result<Option<MessageId>, Wrong> {
    Ok(number(fields, name)?.map(MessageId))
}

pub(in crate::ws::dialect) fn number(
    fields: &Map<String, Value>,
    name: &str,
) -> Result<Option<i64>, Wrong> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(&format!("{name} must be a number"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_text(frame: &str) -> String {
        Incoming::parse(frame).unwrap_err().text
    }

    #[test]
    fn a_frame_without_a_type_is_a_message() {
        let parsed = Incoming::parse(r#"{"text":"Hi","client_id":"k","extra":[1]}"#).unwrap();
        let expected = Incoming::Message {
            text: "Hi".into(),
            client_id: Some("k".into()),
            reply_to: None,
        };
        assert_eq!(parsed, expected);
        let empty = Incoming::Message {
            text: String::new(),
            client_id: None,
            reply_to: None,
        };
        assert_eq!(
            Incoming::parse(r#"{"type":"message","text":null}"#).unwrap(),
            empty
        );
    }

    #[test]
    fn every_listed_type_is_known() {
        for kind in FRAMES {
            let frame = serde_json::json!({ "type": kind }).to_string();
            let code = Incoming::parse(&frame).err().map(|wrong| wrong.code);
            assert_ne!(code, Some("unknown_type"), "{kind}");
        }
    }

    #[test]
    fn what_is_no_json_object_says_so() {
        let deep = "[".repeat(100_000);
        for frame in [
            "",
            "null",
            "[]",
            "1",
            "\"x\"",
            "{",
            "{\"a\":1}x",
            r#"{"text":"\ud800"}"#,
            &deep,
        ] {
            assert_eq!(
                wrong_text(frame),
                "Invalid JSON format",
                "{}",
                &frame[..frame.len().min(40)]
            );
        }
    }

    #[test]
    fn wrong_types_are_named_and_the_client_id_comes_back() {
        assert_eq!(
            wrong_text(r#"{"type":"invalid_type"}"#),
            "Unknown message type: invalid_type"
        );
        assert_eq!(wrong_text(r#"{"type":7}"#), "Unknown message type: 7");
        let wrong = Incoming::parse(r#"{"text":7,"client_id":"k"}"#).unwrap_err();
        assert_eq!(
            (wrong.text.as_str(), wrong.client_id.as_deref()),
            ("Message text must be a string", Some("k"))
        );
        assert_eq!(
            wrong_text(r#"{"type":"typing","is_typing":"yes"}"#),
            "is_typing must be true or false"
        );
        assert_eq!(wrong_text(r#"{"type":"sync"}"#), "since must be a number");
        assert_eq!(
            wrong_text(r#"{"type":"sync","since":1.5}"#),
            "since must be a number"
        );
        assert_eq!(
            wrong_text(r#"{"type":"get_messages","page_size":101}"#),
            "page_size must be from 1 to 100"
        );
        assert_eq!(
            wrong_text(r#"{"type":"get_messages","page":0}"#),
            "Invalid page."
        );
        assert_eq!(
            wrong_text(r#"{"type":"delete_message"}"#),
            "message_id is required"
        );
    }

    #[test]
    fn a_page_is_the_first_of_fifty_unless_it_says_otherwise() {
        let page = |page, page_size| Incoming::Page(PageNumber { page, page_size });
        assert_eq!(
            Incoming::parse(r#"{"type":"get_messages"}"#).unwrap(),
            page(1, 50)
        );
        assert_eq!(
            Incoming::parse(r#"{"type":"get_messages","page":3,"page_size":7}"#).unwrap(),
            page(3, 7)
        );
        let newest = Incoming::Keyset {
            direction: Direction::Before(None),
            page_size: 50,
        };
        assert_eq!(
            Incoming::parse(r#"{"type":"get_messages","before":null}"#).unwrap(),
            newest
        );
    }
}
