//! What goes to the channel layer and comes from it, each in a task of its own: a slow layer never holds a chat up.

use std::{sync::Arc, time::Duration};

use entity::ChatId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{bridge, hubs::Hubs};
use crate::chat::ChatEvent;

/// A layer that is away is asked again after so long.
const RETRY: Duration = Duration::from_millis(500);

/// Something for the layer's task.
pub(super) enum LayerWork {
    /// Hear of a chat.
    Join(ChatId),
    /// Hear of it no more.
    Leave(ChatId),
    /// Tell the other nodes.
    Send(Arc<ChatEvent>),
    /// A hub misses something.
    Repair(ChatId),
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
            LayerWork::Send(event) => {
                let Some(message) = bridge::outgoing(&node, &event) else {
                    continue;
                };
                (
                    event.chat,
                    hubs.layer
                        .group_send(&bridge::group(event.chat), message)
                        .await,
                )
            }
            LayerWork::Repair(chat) => {
                if let Some(hub) = hubs.find(chat) {
                    hubs.repair(&hub);
                }
                continue;
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
    loop {
        let message = tokio::select! {
            message = hubs.layer.receive(&node) => message,
            () = shutdown.cancelled() => return,
        };
        match message {
            Ok(message) => {
                if std::mem::take(&mut is_away) {
                    info!("the channel layer is back");
                }
                match bridge::incoming(&node, message) {
                    Some(event) => hubs.deliver(&Arc::new(event)),
                    None => debug!("a message of the channel layer is not for this node"),
                }
            }
            Err(error) => {
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
