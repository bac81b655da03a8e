//! What a receiver of the fan-out speaks: where it connects, what it says first, and how it hears a message.

use serde_json::{Value, json};

/// A dialect in which messages are heard. They are sent in the chat dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Dialect {
    /// One chat a socket
    #[default]
    Chat,
    /// All of a user's chats on one socket
    Chats,
    /// A room by its name
    Room,
    /// Any number of rooms on one socket
    Lobby,
    /// The whole account, told of new messages once it has asked for that
    Rpc,
    /// The operators of a support chat, whose customer speaks
    Support,
}

/// What a frame is to its receiver.
#[derive(Debug, PartialEq)]
pub(super) enum Heard<'a> {
    /// The connection stands: from here on every message comes.
    Established,
    /// A message of this text.
    Message(&'a [u8]),
    Refused,
    /// Something that a load doesn't look at.
    Other,
}

impl Dialect {
    /// Its name, for the figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Chats => "chats",
            Self::Room => "room",
            Self::Lobby => "lobby",
            Self::Rpc => "rpc",
            Self::Support => "support",
        }
    }

    /// A chat that is heard in it, as REST makes one.
    pub(super) fn new_chat(self, name: &str, others: &[u64]) -> Value {
        match self {
            Self::Chat | Self::Chats | Self::Rpc => {
                json!({"kind": "group", "name": name, "members": others})
            }
            Self::Room | Self::Lobby => json!({"kind": "room", "name": name, "members": others}),
            Self::Support => json!({"kind": "support"}),
        }
    }

    /// Whether its events are numbered as the chat dialect's are, in the same places of a frame.
    pub(super) fn is_numbered(self) -> bool {
        matches!(self, Self::Chat | Self::Chats)
    }

    /// Where a member of a chat connects.
    pub(super) fn path(self, chat: u64, name: &str) -> String {
        match self {
            Self::Chat => format!("/ws/chat/{chat}/"),
            Self::Chats => "/ws/chats/".to_owned(),
            Self::Room => format!("/ws/room/{name}/"),
            Self::Lobby => "/ws/lobby/".to_owned(),
            Self::Rpc => "/ws/rpc/".to_owned(),
            Self::Support => "/ws/support/".to_owned(),
        }
    }

    /// What the member then says.
    pub(super) fn first_words(self, name: &str, username: &str, token: &str) -> Vec<String> {
        let words = match self {
            Self::Chat | Self::Chats | Self::Room => Vec::new(),
            // Nothing answers a join: that what follows is answered shows that it was served.
            Self::Lobby => vec![
                json!({"type": "join", "username": username, "room": name}),
                json!({"type": "", "username": username, "room": name}),
            ],
            Self::Rpc => vec![json!({"mode": "subscribe", "timestamp": "", "token": token})],
            Self::Support => vec![json!({"method": "message.auth", "params": [token], "id": 1})],
        };
        words.into_iter().map(|frame| frame.to_string()).collect()
    }

    /// Reads a frame of a dialect that isn't numbered.
    pub(super) fn hear(self, frame: &[u8], is_established: bool) -> Heard<'_> {
        let has = |part: &str| find(frame, part.as_bytes()).is_some();
        let (established, message, key, refused) = match self {
            Self::Chat | Self::Chats => return Heard::Other,
            Self::Room => (
                r#""type":"room_users_list""#,
                r#""type":"chat_message""#,
                r#""message":""#,
                r#"{"error":"#,
            ),
            Self::Lobby => (
                r#""type":"error""#,
                r#""type":"message""#,
                r#""message":""#,
                r#""type":"error""#,
            ),
            Self::Rpc => (
                r#""mode":"subscribe""#,
                r#""mode":"newMessage""#,
                r#""content":""#,
                r#""error_msg""#,
            ),
            Self::Support => (
                r#""id":1}"#,
                r#""message_text":""#,
                r#""message_text":""#,
                r#"{"error":{"#,
            ),
        };
        if !is_established && has(established) && (self == Self::Lobby || !has(refused)) {
            return Heard::Established;
        }
        if has(message) {
            return text(frame, key.as_bytes()).map_or(Heard::Other, Heard::Message);
        }
        if has(refused) {
            Heard::Refused
        } else {
            Heard::Other
        }
    }
}

/// The string that follows a key. A load's texts have nothing to escape.
fn text<'a>(frame: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let begins = find(frame, key)? + key.len();
    let text = &frame[begins..];
    let ends = text.iter().position(|byte| *byte == b'"')?;
    Some(&text[..ends])
}

fn find(frame: &[u8], part: &[u8]) -> Option<usize> {
    frame.windows(part.len()).position(|here| here == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_heard_in_the_words_of_each_dialect() {
        let said: &[u8] = b"0 7 123 xx";
        for (dialect, frame) in [
            (
                Dialect::Room,
                r#"{"type":"chat_message","message":"0 7 123 xx","user":"anna"}"#,
            ),
            (
                Dialect::Lobby,
                r#"{"type":"message","username":"anna","message":"0 7 123 xx","room":"r"}"#,
            ),
            (
                Dialect::Rpc,
                r#"{"mode":"newMessage","chat_id":1,"message":{"message_id":7,"content":"0 7 123 xx"}}"#,
            ),
            (
                Dialect::Support,
                r#"{"error":null,"result":{"message":{"message_text":"0 7 123 xx"}},"id":null}"#,
            ),
        ] {
            assert_eq!(dialect.hear(frame.as_bytes(), true), Heard::Message(said));
        }
    }

    #[test]
    fn what_ends_connecting_is_no_message_and_a_refusal_is_none_of_both() {
        for (dialect, established, refused) in [
            (
                Dialect::Room,
                r#"{"type":"room_users_list","users":[]}"#,
                r#"{"error":"no"}"#,
            ),
            (
                Dialect::Lobby,
                r#"{"type":"error","message":"?"}"#,
                r#"{"type":"error","message":"?"}"#,
            ),
            (
                Dialect::Rpc,
                r#"{"mode":"subscribe","status":"200"}"#,
                r#"{"mode":"subscribe","status":"401","error_msg":"no"}"#,
            ),
            (
                Dialect::Support,
                r#"{"error":null,"result":{"messages":null},"id":1}"#,
                r#"{"error":{"code":2,"message":"Not allowed."},"result":null,"id":1}"#,
            ),
        ] {
            assert_eq!(
                dialect.hear(established.as_bytes(), false),
                Heard::Established
            );
            assert_eq!(dialect.hear(refused.as_bytes(), true), Heard::Refused);
            assert_eq!(dialect.hear(b"{}", true), Heard::Other);
        }
    }
}
