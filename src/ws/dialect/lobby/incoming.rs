//! The client's frames. Each names its user, who is never believed, and a room.

use serde_json::{Map, Value};

use super::frames;
use crate::chat::RoomName;

/// The frames' types, as the documents list them.
pub(crate) const FRAMES: &[&str] = &["join", "message", "leave"];

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Join { room: RoomName },
    Leave { room: RoomName },
    Message { room: RoomName, text: String },
}

impl Incoming {
    /// Reads a frame of a user; else what it lacks, by the first field that is wrong.
    pub(super) fn parse(frame: &str, username: &str) -> Result<Incoming, &'static str> {
        // serde_json refuses nesting beyond 128, lone surrogates and trailing text by itself.
        let Ok(value) = serde_json::from_str(frame) else {
            return Err(frames::NOT_JSON);
        };
        let Value::Object(mut fields) = value else {
            return Err(frames::NO_TYPE);
        };
        let kind = match fields.get("type").and_then(Value::as_str) {
            Some(kind) if FRAMES.contains(&kind) => kind.to_owned(),
            Some(_) | None => return Err(frames::NO_TYPE),
        };
        let claimed = filled(&mut fields, "username").ok_or(frames::NO_USERNAME)?;
        if claimed.trim() != username {
            return Err(frames::ANOTHER_USER);
        }
        let room = filled(&mut fields, "room").ok_or(frames::NO_ROOM)?;
        let room = RoomName::parse(Some(&room)).map_err(|_| frames::NO_ROOM)?;
        match kind.as_str() {
            "join" => Ok(Incoming::Join { room }),
            "leave" => Ok(Incoming::Leave { room }),
            _ => {
                let text = filled(&mut fields, "message").ok_or(frames::NO_MESSAGE)?;
                Ok(Incoming::Message { room, text })
            }
        }
    }
}

/// A text in which something is left after trimming.
fn filled(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}
