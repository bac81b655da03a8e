//! An event as a message of the channel layer, and back; and what is exchanged with a Django project there. Nodes talk on
//! groups of their own, so that nothing collides with that project's groups on the same Redis.

use std::{collections::HashSet, sync::Arc};

use entity::{ChatId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{elsewhere::Note, hub::passing};
use crate::{
    chat::{ChatEvent, What},
    layer::{LayerMessage, MessageError},
    view::EventView,
};

/// The `type` of messages between nodes.
const EVENT: &str = "tertulia.event";
const NOTE: &str = "tertulia.note";
/// What a Django project asks of the nodes.
const SEND: &str = "chat.send";
const PASS: &str = "chat.event";
/// The group in which it asks. Only nodes are in it.
pub(super) const REQUESTS: &str = "tertulia";
/// Of an event that is passed on as it is: it goes to each of a chat's clients, whose queues hold not much more.
const PASSED_BYTES_MAX: usize = 64 << 10;
/// Whose doing it is: ids begin at 1.
const NOBODY: UserId = UserId(0);

/// What a Django project on the same layer is told.
#[derive(Clone, Debug, Default)]
pub struct ToDjango {
    /// The group of a chat, `{id}` in the place of its number.
    pub group: String,
    /// The events, by their names in the chat dialect; none: it is told nothing.
    pub events: HashSet<String>,
}

impl ToDjango {
    /// The names that events can have.
    pub fn events() -> &'static [&'static str] {
        EventView::NAMES
    }

    /// The event as `chat.<event>`, with the keys of the chat dialect's frame, where it is to be told; and the group.
    pub(super) fn outgoing(&self, event: &ChatEvent) -> Option<(String, LayerMessage)> {
        if self.events.is_empty() {
            return None;
        }
        let view = EventView::of(event)?;
        let name = view.name().filter(|name| self.events.contains(*name))?;
        let Ok(Value::Object(mut frame)) = serde_json::to_value(view) else {
            return None;
        };
        frame.insert("type".to_owned(), format!("chat.{name}").into());
        let group = self.group.replace("{id}", &event.chat.to_string());
        Some((group, LayerMessage::pack(&frame).ok()?))
    }
}

/// The group of a chat's events.
pub(super) fn group(chat: ChatId) -> String {
    format!("tertulia.chat_{chat}")
}

#[derive(Serialize)]
struct Outgoing<'a> {
    r#type: &'static str,
    node: &'a str,
    event: &'a ChatEvent,
}

/// An event on its way to the other nodes. `node` is the sender's channel: it has delivered it already.
pub(super) fn outgoing(node: &str, event: &ChatEvent) -> Option<LayerMessage> {
    if event.is_presence() {
        return None; // told by notes, whoever is here by how many nodes
    }
    let outgoing = Outgoing {
        r#type: EVENT,
        node,
        event,
    };
    LayerMessage::pack(&outgoing).ok()
}

#[derive(Serialize)]
struct OutgoingNote<'a> {
    r#type: &'static str,
    node: &'a str,
    note: &'a Note,
}

/// A note on its way to the other nodes.
pub(super) fn outgoing_note(node: &str, note: &Note) -> Option<LayerMessage> {
    let outgoing = OutgoingNote {
        r#type: NOTE,
        node,
        note,
    };
    LayerMessage::pack(&outgoing).ok()
}

/// A message that Django wants to be stored.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct SendRequest {
    #[serde(rename = "chat_id")]
    pub(super) chat: ChatId,
    #[serde(rename = "sender_id")]
    pub(super) sender: UserId,
    pub(super) text: String,
    /// Without it, each node that hears this would store one.
    pub(super) client_id: String,
}

/// What came from the layer.
#[derive(Debug)]
pub(super) enum Heard {
    /// An event, for the hubs.
    Event(ChatEvent),
    /// What another node tells beside events.
    Note(Note),
    /// A message that is to be stored.
    Send(SendRequest),
    /// What this node has told itself.
    Own,
}

#[derive(Deserialize)]
struct Head {
    r#type: String,
    #[serde(default)]
    node: Option<String>,
}

#[derive(Deserialize)]
struct Incoming {
    event: ChatEvent,
}

#[derive(Deserialize)]
struct IncomingNote {
    note: Note,
}

#[derive(Deserialize)]
struct Passed {
    chat_id: ChatId,
    event: Map<String, Value>,
}

/// What a message is.
pub(super) fn incoming(node: &str, message: &LayerMessage) -> Result<Heard, MessageError> {
    let head: Head = message.read()?;
    match (head.r#type.as_str(), head.node.as_deref()) {
        (EVENT | NOTE, Some(sender)) if sender == node => Ok(Heard::Own),
        (EVENT, Some(_)) => Ok(Heard::Event(message.read::<Incoming>()?.event)),
        (NOTE, Some(_)) => Ok(Heard::Note(message.read::<IncomingNote>()?.note)),
        (SEND, _) => Ok(Heard::Send(message.read()?)),
        (PASS, _) => {
            if message.packed().len() > PASSED_BYTES_MAX {
                return Err(MessageError::Content(format!(
                    "{PASS} of more than {PASSED_BYTES_MAX} bytes"
                )));
            }
            let Passed { chat_id, event } = message.read()?;
            let what = What::Passed(Arc::new(event));
            Ok(Heard::Event(passing(chat_id, NOBODY, what)))
        }
        (other, _) => Err(MessageError::Content(format!(
            "a type that nodes don't know: {other:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn heard(message: &Value) -> Result<Heard, MessageError> {
        incoming("me", &LayerMessage::pack(message).unwrap())
    }

    #[test]
    fn what_another_node_tells_is_an_event_and_what_oneself_has_told_is_not() {
        let typing = What::Hidden;
        let event = passing(ChatId(7), UserId(1), typing);
        let message = outgoing("they", &event).unwrap();
        assert!(matches!(incoming("me", &message), Ok(Heard::Event(heard)) if heard == event));
        assert!(matches!(incoming("they", &message), Ok(Heard::Own)));
    }

    #[test]
    fn what_a_django_project_asks_is_understood_and_what_is_malformed_is_not() {
        let send = json!({"type": "chat.send", "chat_id": 1, "sender_id": 2, "text": "Hi", "client_id": "k"});
        assert!(matches!(heard(&send), Ok(Heard::Send(request)) if request.client_id == "k"));
        let pass = json!({"type": "chat.event", "chat_id": 1, "event": {"type": "banner", "deep": [1, {"a": null}]}});
        let Ok(Heard::Event(event)) = heard(&pass) else {
            panic!("an event")
        };
        assert_eq!((event.chat, event.seq), (ChatId(1), None));
        assert!(
            matches!(event.what, What::Passed(passed) if passed["deep"][1]["a"] == Value::Null)
        );
        for wrong in [
            json!({}),
            json!({"type": 1}),
            json!({"type": "chat.message", "text": "x"}),
            json!({"type": "tertulia.event"}),
            json!({"type": "tertulia.event", "node": "they", "event": {"chat": "x"}}),
            json!({"type": "chat.send", "chat_id": 1, "sender_id": 2, "text": "Hi"}),
            json!({"type": "chat.send", "chat_id": "1", "sender_id": 2, "text": "Hi", "client_id": "k"}),
            json!({"type": "chat.send", "chat_id": 1, "sender_id": 2, "text": null, "client_id": "k"}),
            json!({"type": "chat.event", "chat_id": 1}),
            json!({"type": "chat.event", "chat_id": 1, "event": ["x"]}),
            json!({"type": "chat.event", "chat_id": 1, "event": {"x": "y".repeat(70_000)}}),
        ] {
            assert!(heard(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn django_is_told_of_the_events_that_it_wants_alone() {
        let presence = crate::chat::Presence {
            users: None,
            count: 3,
        };
        let event = passing(ChatId(7), UserId(1), What::Presence(presence));
        let told = |events: &[&str]| {
            let to_django = ToDjango {
                group: "chat_{id}".to_owned(),
                events: events.iter().map(|&name| name.to_owned()).collect(),
            };
            to_django.outgoing(&event)
        };
        assert!(told(&[]).is_none() && told(&["message"]).is_none());
        let (group, message) = told(&["message", "presence"]).unwrap();
        assert_eq!(group, "chat_7");
        assert_eq!(
            message.read::<Value>().unwrap(),
            json!({"type": "chat.presence", "count": 3})
        );
    }
}
