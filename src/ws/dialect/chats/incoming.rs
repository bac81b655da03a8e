//! The client's frames: the chat dialect's, each with its chat.

use entity::{ChatId, Seq};
use serde_json::{Map, Value};

use crate::ws::dialect::chat::{self, Frames, Wrong, fields, invalid, number};

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// In a chat.
    Of(ChatId, chat::Incoming),
    /// In none.
    OfNone(chat::Incoming),
    /// To be told what happened in some chats.
    Sync(Vec<Since>),
}

/// Where a client stands in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) chat: ChatId,
    pub(super) seq: Seq,
}

impl Incoming {
    /// What is wrong names the frame's chat, where it had one.
    pub(super) fn parse(frame: &str) -> Result<Incoming, (Frames, Wrong)> {
        let mut fields = fields(frame).map_err(|wrong| (Frames::default(), wrong))?;
        let chat = fields.get("chat_id").and_then(Value::as_i64).map(ChatId);
        Self::of(&mut fields).map_err(|wrong| (Frames { chat }, wrong))
    }

    fn of(fields: &mut Map<String, Value>) -> Result<Incoming, Wrong> {
        let is_sync = fields.get("type").and_then(Value::as_str) == Some("sync");
        if is_sync && let Some(Value::Object(since)) = fields.get("since") {
            return several(since);
        }
        let incoming = chat::Incoming::read(fields)?;
        if matches!(
            incoming,
            chat::Incoming::Authenticate { .. } | chat::Incoming::Ping
        ) {
            return Ok(Incoming::OfNone(incoming));
        }
        let chat = number(fields, "chat_id").and_then(|chat| {
            chat.map(ChatId)
                .ok_or_else(|| invalid("chat_id is required"))
        });
        let chat = chat.map_err(|wrong| Wrong {
            client_id: match fields.get("client_id") {
                Some(Value::String(client_id)) => Some(client_id.clone()),
                _ => None,
            },
            ..wrong
        })?;
        Ok(match incoming {
            chat::Incoming::Sync { since } => Incoming::Sync(vec![Since { chat, seq: since }]),
            incoming => Incoming::Of(chat, incoming),
        })
    }
}

fn several(since: &Map<String, Value>) -> Result<Incoming, Wrong> {
    let several = since.iter().map(|(chat, seq)| {
        let chat = chat.parse().map(ChatId);
        let chat = chat.map_err(|_| invalid("since must name chats by their numbers"))?;
        match seq.as_i64() {
            Some(seq) if seq >= 0 => Ok(Since {
                chat,
                seq: Seq(seq),
            }),
            _ => Err(invalid("since must be a number")),
        }
    });
    several.collect::<Result<_, _>>().map(Incoming::Sync)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(frame: &str) -> (Option<i64>, String) {
        let (frames, wrong) = Incoming::parse(frame).unwrap_err();
        (frames.chat.map(|chat| chat.0), wrong.text)
    }

    #[test]
    fn every_frame_but_those_of_the_connection_names_its_chat() {
        let typing = Incoming::parse(r#"{"type":"typing","is_typing":true,"chat_id":7}"#);
        let wanted = chat::Incoming::Typing { is_typing: true };
        assert_eq!(typing.unwrap(), Incoming::Of(ChatId(7), wanted));
        let ping = Incoming::parse(r#"{"type":"ping"}"#);
        assert_eq!(ping.unwrap(), Incoming::OfNone(chat::Incoming::Ping));
        let required = "chat_id is required".to_owned();
        assert_eq!(wrong(r#"{"text":"x"}"#), (None, required.clone()));
        assert_eq!(wrong(r#"{"type":"sync","since":1}"#), (None, required));
        let number = "chat_id must be a number".to_owned();
        assert_eq!(wrong(r#"{"text":"x","chat_id":"7"}"#), (None, number));
        let text = "Message text must be a string".to_owned();
        assert_eq!(wrong(r#"{"text":1,"chat_id":7}"#), (Some(7), text));
    }

    #[test]
    fn one_chat_or_several_are_asked_for_at_once() {
        let one = Incoming::parse(r#"{"type":"sync","chat_id":7,"since":3}"#).unwrap();
        let since = |chat, seq| Since {
            chat: ChatId(chat),
            seq: Seq(seq),
        };
        assert_eq!(one, Incoming::Sync(vec![since(7, 3)]));
        let two = Incoming::parse(r#"{"type":"sync","since":{"7":3,"12":0}}"#).unwrap();
        let Incoming::Sync(mut two) = two else {
            panic!("{two:?}")
        };
        two.sort_by_key(|since| since.chat);
        assert_eq!(two, [since(7, 3), since(12, 0)]);
        for (frame, text) in [
            (
                r#"{"type":"sync","since":{"x":3}}"#,
                "since must name chats by their numbers",
            ),
            (
                r#"{"type":"sync","since":{"7":-1}}"#,
                "since must be a number",
            ),
            (
                r#"{"type":"sync","since":{"7":"3"}}"#,
                "since must be a number",
            ),
        ] {
            assert_eq!(wrong(frame), (None, text.to_owned()), "{frame}");
        }
    }
}
