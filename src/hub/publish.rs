//! What goes to the channel layer and comes from it, each in a task of its own: a slow layer never holds a chat up.

use std::{sync::Arc, time::Duration};

use entity::ChatId;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    bridge::{self, Heard},
    elsewhere::Note,
    hubs::Hubs,
};
use crate::{chat::ChatEvent, layer::LayerError, metrics};

/// A layer that is away is asked again after so long.
const RETRY: Duration = Duration::from_millis(500);

/// Events of other nodes that are delivered at once.
const AT_HAND_MAX: usize = 256;

/// Something for the layer's task.
pub(super) enum LayerWork {
    /// Hear of a chat.
    Join(ChatId),
    /// Hear of it no more.
    Leave(ChatId),
    /// Tell the other nodes.
    Send(Arc<ChatEvent>),
    /// Tell them what is no event.
    Note(ChatId, Note),
}

/// Does what is to be done, in order, until the hubs end.
pub(super) async fn send(
    hubs: Arc<Hubs>,
    node: String,
    mut todo: mpsc::Receiver<LayerWork>,
    shutdown: CancellationToken,
) {
    loop {
        let work = tokio::select! {
            work = todo.recv() => work,
            () = shutdown.cancelled() => None,
        };
        let Some(work) = work else { return };
        let (chat, done) = match work {
            LayerWork::Join(chat) => (
                chat,
                hubs.layer.group_add(&bridge::group(chat), &node).await,
            ),
            LayerWork::Leave(chat) => (
                chat,
                hubs.layer.group_discard(&bridge::group(chat), &node).await,
            ),
            LayerWork::Note(chat, note) => {
                let Some(message) = bridge::outgoing_note(&node, &note) else {
                    continue;
                };
                (
                    chat,
                    hubs.layer.group_send(&bridge::group(chat), message).await,
                )
            }
            LayerWork::Send(event) => {
                let Some(message) = bridge::outgoing(&node, &event) else {
                    continue;
                };
                let sent = hubs
                    .layer
                    .group_send(&bridge::group(event.chat), message)
                    .await;
                let outcome = if sent.is_ok() { "sent" } else { "failed" };
                metrics::LAYER_PUBLISHES.of(outcome).one();
                (event.chat, sent)
            }
        };
        if let Err(error) = done {
            debug!(chat = %chat, "chat {chat}: the channel layer: {error}");
            if let Some(hub) = hubs.find(chat) {
                // The sweep joins again.
                hub.set_joined(false);
            }
        }
    }
}

/// Hands what other nodes tell to the hubs.
pub(super) async fn receive(hubs: Arc<Hubs>, node: String, shutdown: CancellationToken) {
    let mut is_away = false;
    metrics::UP.of("layer").set(1);
    let mut events = Vec::new();
    loop {
        let heard = tokio::select! {
            heard = hear(&hubs, &node, &mut events) => heard,
            () = shutdown.cancelled() => return,
        };
        metrics::LAYER_RECEIVED.add(events.len());
        hubs.deliver(&mut events);
        events.clear();
        match heard {
            Ok(()) => {
                if std::mem::take(&mut is_away) {
                    metrics::LAYER_RECONNECTS.one();
                    metrics::UP.of("layer").set(1);
                    info!("the channel layer is back");
                }
            }
            Err(error) => {
                metrics::UP.of("layer").set(0);
                if !std::mem::replace(&mut is_away, true) {
                    warn!("the channel layer doesn't answer, the sweep carries on: {error}");
                }
                for hub in hubs.all() {
                    hub.set_joined(false);
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Waits for a message, and takes those that wait behind it too: hubs deliver their events in one burst.
async fn hear(hubs: &Hubs, node: &str, events: &mut Vec<Arc<ChatEvent>>) -> Result<(), LayerError> {
    let mut message = hubs.layer.receive(node).await?;
    loop {
        match bridge::incoming(node, message) {
            Some(Heard::Event(event)) => events.push(Arc::new(event)),
            Some(Heard::Note(note)) => hubs.hear_note(note),
            None => debug!("a message of the channel layer is not for this node"),
        }
        if events.len() == AT_HAND_MAX {
            return Ok(());
        }
        match hubs.layer.receive(node).now_or_never() {
            Some(next) => message = next?,
            None => return Ok(()),
        }
    }
}
