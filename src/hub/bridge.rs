//! An event as a message of the channel layer, and back. Nodes talk on groups of their own, so that nothing collides
//! with the groups of a Django project on the same Redis.

use entity::ChatId;
use serde_json::Value;

use super::elsewhere::Note;
use crate::{chat::ChatEvent, layer::LayerMessage};

/// The `type` of messages between nodes.
const TYPE: &str = "tertulia.event";
const NOTE: &str = "tertulia.note";

/// The group of a chat's events.
pub(super) fn group(chat: ChatId) -> String {
    format!("tertulia.chat_{chat}")
}

/// An event on its way to the other nodes. `node` is the sender's channel: it has delivered it already.
pub(super) fn outgoing(node: &str, event: &ChatEvent) -> Option<LayerMessage> {
    if event.is_presence() {
        return None; // told by notes, whoever is here by how many nodes
    }
    let mut message = LayerMessage::new();
    message.insert("type".to_owned(), TYPE.into());
    message.insert("node".to_owned(), node.into());
    message.insert("event".to_owned(), serde_json::to_value(event).ok()?);
    Some(message)
}

/// What came from another node.
pub(super) enum Heard {
    Event(ChatEvent),
    Note(Note),
}

/// A note on its way to the other nodes.
pub(super) fn outgoing_note(node: &str, note: &Note) -> Option<LayerMessage> {
    let mut message = LayerMessage::new();
    message.insert("type".to_owned(), NOTE.into());
    message.insert("node".to_owned(), node.into());
    message.insert("note".to_owned(), serde_json::to_value(note).ok()?);
    Some(message)
}

/// An event or a note of another node; none of one's own, nor of what isn't one.
pub(super) fn incoming(node: &str, mut message: LayerMessage) -> Option<Heard> {
    if message.get("node").and_then(Value::as_str) == Some(node) {
        return None;
    }
    match message.get("type").and_then(Value::as_str) {
        Some(TYPE) => serde_json::from_value(message.remove("event")?)
            .ok()
            .map(Heard::Event),
        Some(NOTE) => serde_json::from_value(message.remove("note")?)
            .ok()
            .map(Heard::Note),
        _ => None,
    }
}
