//! The channel layer: groups of channels across processes, as in Django Channels.
//!
//! Not here: what messages mean. A layer may lose, repeat and reorder: who relies on more repairs it elsewhere.

mod complaints;
mod memory;
mod message;
mod redis;

use std::{future::Future, pin::Pin};

pub use complaints::Complaints;
pub use memory::MemoryLayer;
pub use message::{LayerMessage, MessageError};
pub use redis::{CoreLayer, PubSubLayer, RedisOptions};

/// The future of a layer's method.
pub type Layered<'a, T> = Pin<Box<dyn Future<Output = Result<T, LayerError>> + Send + 'a>>;

/// Why a layer did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LayerError {
    /// It can't be reached just now.
    #[error("the channel layer is away: {0}")]
    Away(String),
    /// Messages for one's own channel were lost; those that come are whole again.
    #[error("the channel layer lost messages: {0}")]
    Lost(&'static str),
    /// The channel holds as many messages as it may.
    #[error("the channel is full")]
    Full,
    /// The channel or group has a name that can't be.
    #[error("not a name: {0}")]
    Name(String),
}

/// Groups of channels across processes.
///
/// A node has one channel, `new_channel`, and calls `receive` on it from one task alone; everything else is called
/// from any task. `group_send` hands a message to every channel that is in the group at that moment, the sender's
/// own included; of two sends by one node the first arrives first, unless one is lost. Nothing is promised beyond: a
/// message may be lost (a full channel, a cut connection), come twice, or out of order between nodes.
///
/// A layer that is away refuses at once, and never makes a caller wait for its return. It remembers who is in which
/// group, and joins them anew when it is back, also after a `group_add` that was answered `Away`; then `receive`
/// answers `Lost` once, as it does where a channel was full.
pub trait ChannelLayer: Send + Sync + 'static {
    /// A channel of this process, with a name that no other has.
    fn new_channel(&self) -> Layered<'_, String>;

    /// Ends a channel: it leaves its groups, and what waits in it is dropped.
    fn end_channel<'a>(&'a self, channel: &'a str) -> Layered<'a, ()>;

    /// Puts a channel into a group. Twice is as once. Many at once cost hardly more than one.
    fn group_add<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()>;

    /// Takes a channel out of a group. Not being in it is no error.
    fn group_discard<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()>;

    /// Hands a message to every channel of a group.
    fn group_send<'a>(&'a self, group: &'a str, message: LayerMessage) -> Layered<'a, ()>;

    /// Hands many messages to their groups, in their order: what one round trip can do is done by one. All are tried;
    /// what comes back is the first failure.
    fn group_send_all(&self, messages: Vec<(String, LayerMessage)>) -> Layered<'_, ()> {
        Box::pin(async move {
            let mut all_sent = Ok(());
            for (group, message) in messages {
                let sent = self.group_send(&group, message).await;
                all_sent = all_sent.and(sent);
            }
            all_sent
        })
    }

    /// Hands a message to one channel.
    fn send<'a>(&'a self, channel: &'a str, message: LayerMessage) -> Layered<'a, ()>;

    /// The next message of one's own channel. Safe to drop while it waits.
    fn receive<'a>(&'a self, channel: &'a str) -> Layered<'a, LayerMessage>;

    /// Whether anybody but this node may listen: where nobody does, nothing needs to be sent.
    fn has_others(&self) -> bool;

    /// Whether it answers, as far as is known.
    fn is_up(&self) -> bool {
        true
    }
}
