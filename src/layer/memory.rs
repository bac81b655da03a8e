//! The layer within one process. Nodes of one process that share a `MemoryLayer` hear each other.
//!
//! Bounded by: `CHANNEL_MESSAGES_MAX` for each channel; a full one loses what comes.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use super::{ChannelLayer, LayerError, LayerMessage, Layered};

/// Messages that wait in one channel.
const CHANNEL_MESSAGES_MAX: usize = 10_000;

type Inbox = Arc<AsyncMutex<mpsc::Receiver<LayerMessage>>>;

#[derive(Debug, Default)]
struct State {
    channels: HashMap<String, (mpsc::Sender<LayerMessage>, Inbox)>,
    groups: HashMap<String, HashSet<String>>,
}

/// `memory://`
#[derive(Debug, Default)]
pub struct MemoryLayer {
    state: Mutex<State>,
    next: AtomicU64,
}

impl MemoryLayer {
    fn put(&self, channel: &str, message: LayerMessage) -> Result<(), LayerError> {
        let sender = self
            .state
            .lock()
            .channels
            .get(channel)
            .map(|(sender, _)| sender.clone());
        let sender = sender.ok_or_else(|| LayerError::Name(channel.to_owned()))?;
        sender.try_send(message).map_err(|_| LayerError::Full)
    }
}

impl ChannelLayer for MemoryLayer {
    fn new_channel(&self) -> Layered<'_, String> {
        let name = format!(
            "specific.inmemory!{}",
            self.next.fetch_add(1, Ordering::Relaxed)
        );
        let (sender, receiver) = mpsc::channel(CHANNEL_MESSAGES_MAX);
        let inbox = Arc::new(AsyncMutex::new(receiver));
        self.state
            .lock()
            .channels
            .insert(name.clone(), (sender, inbox));
        Box::pin(async move { Ok(name) })
    }

    fn end_channel<'a>(&'a self, channel: &'a str) -> Layered<'a, ()> {
        let mut state = self.state.lock();
        state.channels.remove(channel);
        state.groups.retain(|_, channels| {
            channels.remove(channel);
            !channels.is_empty()
        });
        Box::pin(async { Ok(()) })
    }

    fn group_add<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()> {
        let mut state = self.state.lock();
        let is_here = state.channels.contains_key(channel);
        if is_here {
            let channels = state.groups.entry(group.to_owned()).or_default();
            channels.insert(channel.to_owned());
        }
        Box::pin(async move {
            match is_here {
                true => Ok(()),
                false => Err(LayerError::Name(channel.to_owned())),
            }
        })
    }

    fn group_discard<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()> {
        let mut state = self.state.lock();
        if let Some(channels) = state.groups.get_mut(group) {
            channels.remove(channel);
            if channels.is_empty() {
                state.groups.remove(group);
            }
        }
        Box::pin(async { Ok(()) })
    }

    fn group_send<'a>(&'a self, group: &'a str, message: LayerMessage) -> Layered<'a, ()> {
        let channels: Vec<String> = self
            .state
            .lock()
            .groups
            .get(group)
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        // As upstream's: a full channel misses it, the others don't.
        let full = channels
            .iter()
            .filter(|channel| self.put(channel, message.clone()).is_err())
            .count();
        Box::pin(async move {
            if full == 0 {
                Ok(())
            } else {
                Err(LayerError::Full)
            }
        })
    }

    fn send<'a>(&'a self, channel: &'a str, message: LayerMessage) -> Layered<'a, ()> {
        let sent = self.put(channel, message);
        Box::pin(async move { sent })
    }

    fn receive<'a>(&'a self, channel: &'a str) -> Layered<'a, LayerMessage> {
        let inbox = self
            .state
            .lock()
            .channels
            .get(channel)
            .map(|(_, inbox)| inbox.clone());
        Box::pin(async move {
            let inbox = inbox.ok_or_else(|| LayerError::Name(channel.to_owned()))?;
            let message = inbox.lock().await.recv().await;
            message.ok_or_else(|| LayerError::Away("the channel is closed".to_owned()))
        })
    }

    fn has_others(&self) -> bool {
        self.state.lock().channels.len() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: usize) -> LayerMessage {
        LayerMessage::pack(&serde_json::json!({"type": "x", "n": n})).expect("packed")
    }

    #[tokio::test]
    async fn a_full_channel_keeps_the_oldest_and_refuses_what_comes() {
        let layer = MemoryLayer::default();
        let channel = layer.new_channel().await.unwrap();
        for n in 0..CHANNEL_MESSAGES_MAX {
            layer.send(&channel, message(n)).await.unwrap();
        }
        let one_more = layer.send(&channel, message(CHANNEL_MESSAGES_MAX)).await;
        assert!(matches!(one_more, Err(LayerError::Full)), "{one_more:?}");
        assert_eq!(layer.receive(&channel).await.unwrap(), message(0));
        layer.send(&channel, message(7)).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_channel_that_has_ended() {
        let layer = MemoryLayer::default();
        let [stays, ends] = [
            layer.new_channel().await.unwrap(),
            layer.new_channel().await.unwrap(),
        ];
        layer.group_add("trip", &ends).await.unwrap();
        layer.end_channel(&ends).await.unwrap();
        assert!(!layer.has_others());
        assert!(layer.state.lock().groups.is_empty());
        layer.group_send("trip", message(1)).await.unwrap();
        assert!(layer.send(&ends, message(2)).await.is_err());
        assert!(layer.group_add("trip", &ends).await.is_err());
        layer.send(&stays, message(3)).await.unwrap();
        assert_eq!(layer.receive(&stays).await.unwrap(), message(3));
    }
}
