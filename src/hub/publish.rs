//! What goes to the channel layer and comes from it, each in a task of its own: a slow layer never holds a chat up.

use std::{sync::Arc, time::Duration};

use entity::{ChatId, ContentType};
use futures_util::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    bridge::{self, Heard, SendRequest, ToDjango},
    elsewhere::Note,
    hubs::Hubs,
};
use crate::{
    chat::{ChatEvent, Domain, SendMessage},
    layer::{Complaints, LayerError, LayerMessage},
    metrics,
};

/// A channel that can't be read is asked again after so long.
const RETRY: Duration = Duration::from_millis(500);
/// What is done for the layer at once, and events of other nodes that are delivered at once.
const AT_HAND_MAX: usize = 256;
/// Messages that Django wants to be stored and that wait for it; one more is dropped.
pub(super) const REQUESTS_MAX: usize = 1000;
/// Of these, so many are in the writer's hands.
const STORED_AT_ONCE: usize = 64;

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

/// Does what is to be done, in order, until the hubs end; then leaves the layer.
pub(super) async fn send(
    hubs: Arc<Hubs>,
    node: String,
    to_django: ToDjango,
    mut todo: mpsc::Receiver<LayerWork>,
    shutdown: CancellationToken,
) {
    if let Err(error) = hubs.layer.group_add(bridge::REQUESTS, &node).await {
        debug!("the channel layer: {error}");
    }
    let mut works = Vec::with_capacity(AT_HAND_MAX);
    loop {
        tokio::select! {
            biased;
            _ = todo.recv_many(&mut works, AT_HAND_MAX) => {}
            () = shutdown.cancelled() => break,
        }
        carry_out(&hubs, &node, &to_django, &works).await;
        works.clear();
    }
    if let Err(error) = hubs.layer.end_channel(&node).await {
        debug!("the channel layer: {error}");
    }
}

/// What is of one sort and comes in a row goes together: as many round trips as there are such rows.
async fn carry_out(hubs: &Hubs, node: &str, to_django: &ToDjango, works: &[LayerWork]) {
    let is_same = |one: &LayerWork, next: &LayerWork| {
        std::mem::discriminant(one) == std::mem::discriminant(next)
    };
    for row in works.chunk_by(is_same) {
        let mut messages: Vec<(String, LayerMessage)> = Vec::new();
        let (mut moves, mut events) = (Vec::new(), 0);
        for work in row {
            match work {
                LayerWork::Join(chat) => moves.push((*chat, true)),
                LayerWork::Leave(chat) => moves.push((*chat, false)),
                LayerWork::Note(chat, note) => {
                    let message = bridge::outgoing_note(node, note);
                    messages.extend(message.map(|message| (bridge::group(*chat), message)));
                }
                LayerWork::Send(event) => {
                    events += 1;
                    let to_nodes = bridge::outgoing(node, event);
                    messages.extend(to_nodes.map(|message| (bridge::group(event.chat), message)));
                    messages.extend(to_django.outgoing(event));
                }
            }
        }
        if !messages.is_empty() {
            let sent = hubs.layer.group_send_all(messages).await;
            let outcome = if sent.is_ok() { "sent" } else { "failed" };
            metrics::LAYER_PUBLISHES.of(outcome).add(events);
            if let Err(error) = sent {
                debug!("the channel layer: {error}");
            }
        }
        let moved = moves.into_iter().map(|(chat, joins)| async move {
            let group = bridge::group(chat);
            let moved = match joins {
                true => hubs.layer.group_add(&group, node).await,
                false => hubs.layer.group_discard(&group, node).await,
            };
            if let Err(error) = moved {
                debug!(chat = %chat, "chat {chat}: the channel layer: {error}");
                if let Some(hub) = hubs.find(chat) {
                    // The sweep joins again.
                    hub.set_joined(false);
                }
            }
        });
        join_all(moved).await;
    }
}

/// Hands what other nodes tell to the hubs, and what Django wants to be stored to whoever does.
pub(super) async fn receive(
    hubs: Arc<Hubs>,
    node: String,
    requests: mpsc::Sender<SendRequest>,
    shutdown: CancellationToken,
) {
    let complaints = Complaints::default();
    let mut is_away = false;
    metrics::UP.of("layer").set(1);
    let mut events = Vec::new();
    loop {
        let heard = tokio::select! {
            heard = hear(&hubs, &node, &mut events, &requests, &complaints) => heard,
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
                    hubs.lost.notify_one();
                }
            }
            Err(LayerError::Lost(why)) => {
                metrics::LAYER_RECONNECTS.one();
                info!("the channel layer lost messages ({why}): comparing with the database");
                hubs.lost.notify_one();
            }
            Err(error) => {
                metrics::UP.of("layer").set(0);
                if !std::mem::replace(&mut is_away, true) {
                    warn!("the channel layer doesn't answer, the sweep carries on: {error}");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Waits for a message, and takes those that wait behind it too: hubs deliver their events in one burst.
async fn hear(
    hubs: &Hubs,
    node: &str,
    events: &mut Vec<Arc<ChatEvent>>,
    requests: &mpsc::Sender<SendRequest>,
    complaints: &Complaints,
) -> Result<(), LayerError> {
    let mut next = hubs.layer.receive(node).await?;
    loop {
        match bridge::incoming(node, &next) {
            Ok(Heard::Event(event)) => events.push(Arc::new(event)),
            Ok(Heard::Note(note)) => hubs.hear_note(note),
            Ok(Heard::Send(request)) => {
                if requests.try_send(request).is_err() {
                    complaints.log(&"more chat.send than can be stored");
                }
            }
            Ok(Heard::Own) => {}
            Err(error) => complaints.log(&error),
        }
        if events.len() == AT_HAND_MAX {
            return Ok(());
        }
        match hubs.layer.receive(node).now_or_never() {
            Some(message) => next = message?,
            None => return Ok(()),
        }
    }
}

/// Stores what Django wants to be stored, in its order, until the hubs end. Every node tries: the sender's own key lets
/// one row be.
pub(super) async fn store(
    domain: Arc<Domain>,
    mut requests: mpsc::Receiver<SendRequest>,
    shutdown: CancellationToken,
) {
    let complaints = Complaints::default();
    let mut stored = FuturesUnordered::new();
    loop {
        let request = tokio::select! {
            request = requests.recv(), if stored.len() < STORED_AT_ONCE => request,
            Some(answer) = stored.next() => {
                if let Err(error) = answer {
                    complaints.log(&format_args!("chat.send: {error}"));
                }
                continue;
            }
            () = shutdown.cancelled() => return,
        };
        let Some(request) = request else { return };
        let send = SendMessage {
            chat: request.chat,
            text: request.text,
            client_id: Some(request.client_id),
            reply_to: None,
            content_type: ContentType::Text,
        };
        match domain.messages.post_as(request.sender, send).await {
            Ok(answer) => stored.push(answer),
            Err(error) => complaints.log(&format_args!("chat.send: {error}")),
        }
    }
}
