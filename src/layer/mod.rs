//! The channel layer: groups of channels across processes, as in Django Channels.
//!
//! Not here: what messages mean. A layer may lose, repeat and reorder: who relies on more repairs it elsewhere.

#[cfg(test)]
mod contract;
mod memory;

use std::{future::Future, pin::Pin};

pub use memory::MemoryLayer;

/// What travels: a dictionary with a `type`, as in Django Channels.
pub type LayerMessage = serde_json::Map<String, serde_json::Value>;

/// The future of a layer's method.
pub type Layered<'a, T> = Pin<Box<dyn Future<Output = Result<T, LayerError>> + Send + 'a>>;

/// Why a layer did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LayerError {
    /// It can't be reached just now.
    #[error("the channel layer is away: {0}")]
    Away(String),
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
/// message may be lost (a full channel, a cut connection), come twice, or out of order between nodes. Being in a
/// group may end when the layer loses its memory; `receive` then answers `Away` once, and the node joins anew.
pub trait ChannelLayer: Send + Sync + 'static {
    /// A channel of this process, with a name that no other has.
    fn new_channel(&self) -> Layered<'_, String>;

    /// Puts a channel into a group. Twice is as once.
    fn group_add<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()>;

    /// Takes a channel out of a group. Not being in it is no error.
    fn group_discard<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()>;

    /// Hands a message to every channel of a group.
    fn group_send<'a>(&'a self, group: &'a str, message: LayerMessage) -> Layered<'a, ()>;

    /// Hands a message to one channel.
    fn send<'a>(&'a self, channel: &'a str, message: LayerMessage) -> Layered<'a, ()>;

    /// The next message of one's own channel. Safe to drop while it waits.
    fn receive<'a>(&'a self, channel: &'a str) -> Layered<'a, LayerMessage>;

    /// Whether anybody but this node may listen: where nobody does, nothing needs to be sent.
    fn has_others(&self) -> bool;
}
