//! An event as a message of the channel layer, and back. Nodes talk on groups of their own, so that nothing collides
//! with the groups of a Django project on the same Redis.

use entity::ChatId;
use serde_json::Value;

use crate::{chat::ChatEvent, layer::LayerMessage};

/// The `type` of messages between nodes.
const TYPE: &str = "tertulia.event";

/// The group of a chat's events.
pub(super) fn group(chat: ChatId) -> String {
    format!("tertulia.chat_{chat}")
}

/// An event on its way to the other nodes. `node` is the sender's channel: it has delivered it already.
pub(super) fn outgoing(node: &str, event: &ChatEvent) -> Option<LayerMessage> {
    let mut message = LayerMessage::new();
    message.insert("type".to_owned(), TYPE.into());
    message.insert("node".to_owned(), node.into());
    message.insert("event".to_owned(), serde_json::to_value(event).ok()?);
    Some(message)
}

/// An event of another node; none of one's own, nor of what isn't one.
pub(super) fn incoming(node: &str, mut message: LayerMessage) -> Option<ChatEvent> {
    if message.get("type").and_then(Value::as_str) != Some(TYPE)
        || message.get("node").and_then(Value::as_str) == Some(node)
    {
        return None;
    }
    serde_json::from_value(message.remove("event")?).ok()
}
