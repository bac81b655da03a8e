//! The shape of what is held in common.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use entity::{ChatId, UserId};
use tokio::sync::watch;

/// An owner of a place who isn't renewed for so long has lost it.
pub const OWNER_EXPIRES: Duration = Duration::from_secs(30);
/// A node that hasn't been heard of for so long is gone, and all who were there by it.
pub const NODE_SILENT_AFTER: Duration = Duration::from_secs(12);
/// Who is in a chat is kept for so long after somebody was put there last.
pub const PRESENCE_KEPT: Duration = Duration::from_secs(3600);

/// The common store doesn't answer: each node's own rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what nodes hold in common is away")]
pub struct Away;

/// The future of a lease's method.
pub type Leased<'a, T> = Pin<Box<dyn Future<Output = Result<T, Away>> + Send + 'a>>;

/// One limit: at most so many in any period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Names the limit; no other has this name.
    pub name: &'static str,
    /// How many.
    pub limit: u32,
    /// In any time of this length.
    pub period: Duration,
}

/// One thing that counts in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose window.
    pub key: String,
    /// Which of this node's places: no other of the rule has this number.
    pub number: u64,
}

/// Somebody wants a place that only one may have.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Which chat.
    pub chat: ChatId,
    /// Which user's place there.
    pub user: UserId,
    /// Whoever has it stays.
    pub rejects: bool,
    /// Whoever has it by this number is known not to answer any more: as if nobody had it. 0: of nobody.
    pub deserted: u64,
    /// The highest number by which it was taken as far as this node knows: it may have given one itself.
    pub above: u64,
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The place is the claimant's, by this number: higher than that of everybody who had it before.
    Granted {
        /// Which.
        number: u64,
        /// Somebody else had it.
        was_taken: bool,
    },
    /// Whoever has it stays.
    Refused,
}

/// Whether a user is in a chat by a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Presence {
    /// Where.
    pub chat: ChatId,
    /// Who.
    pub user: UserId,
    /// There, or gone.
    pub is_here: bool,
}

/// Who is in a chat, and by which node.
pub type There = Vec<(Arc<str>, UserId)>;

/// What the nodes of a service hold in common until it expires.
///
/// Each node has one `Lease`, with a name that no other has (`node`), and calls it from any task. What is put is there
/// for every node's next question, unless the store is lost meanwhile. It may be away (`Away`, within a quarter of a
/// second, and at once while it is known to be away): what it was asked then may never be done, or be done later, in the
/// order in which it was asked. Whoever is answered so puts the same again later; putting twice is as putting once. And
/// it may come back empty: `returned` tells of that, and nodes put again what they still hold. Methods without an answer
/// neither block nor fail: what can't be put is lost, and repaired by expiry.
///
/// Times are those of the store's clock alone, so that nodes' clocks may differ.
pub trait Lease: Send + Sync + 'static {
    /// This node's name.
    fn node(&self) -> &Arc<str>;

    /// Whether another node may hold something too. Where none does, nothing needs to be asked or put.
    fn is_shared(&self) -> bool;

    /// Changes each time that the store is reached anew, perhaps without what it held: the first time included, which
    /// whoever asks later is told at once. Everybody who asks has a receiver of their own.
    fn returned(&self) -> watch::Receiver<u64>;

    /// Microseconds since 1970 by the store's clock, as far as this node knows it.
    fn clock(&self) -> u64;

    /// Takes a place in each window, in this order and as one step: of any two nodes one comes first. For each: nothing
    /// where it was taken, else how long until there is room. A window never holds more places than its limit.
    fn take<'a>(&'a self, rule: &'a Rule, places: &'a [Place])
    -> Leased<'a, Vec<Option<Duration>>>;

    /// For each window: nothing where there is room, else how long until there is. Takes nothing.
    fn look<'a>(&'a self, rule: &'a Rule, keys: &'a [String]) -> Leased<'a, Vec<Option<Duration>>>;

    /// Gives a place back: as if it had never been taken.
    fn give_back(&self, rule: &Rule, place: Place);

    /// Puts places that this node took so long ago, where they aren't there: the limit isn't asked.
    fn recall<'a>(&'a self, rule: &'a Rule, places: &'a [(Place, Duration)]) -> Leased<'a, ()>;

    /// Takes somebody's place in a chat. After a third replacement within 60 s whoever has it stays for 30 s. An owner
    /// that isn't renewed within `OWNER_EXPIRES` has lost it. Numbers are of the store's clock, unless that is behind
    /// the last one. Without an answer (`Away`) the node gives a number itself, by `clock`.
    fn claim<'a>(&'a self, claim: &'a Claim) -> Leased<'a, Grant>;

    /// Renews ownerships by their numbers. For each by which number it is one now, or none where another node has the
    /// place by a higher one. Where this node has it by a higher one, as by a claim that was granted when nobody waited
    /// for the answer any more, that is the number; where nobody has it, a new one.
    fn renew<'a>(&'a self, owners: &'a [(ChatId, UserId, u64)]) -> Leased<'a, Vec<Option<u64>>>;

    /// Gives a place up, if it is owned by this number; without a number, if this node owns it by whatever number.
    fn disown(&self, chat: ChatId, user: UserId, number: Option<u64>);

    /// This node lives: said every few seconds. Comes back with the names of all nodes that said so within
    /// `NODE_SILENT_AFTER`, this one's too. Nothing comes back, and nothing is done, where this node isn't among them, or
    /// not any more: it puts all its people, and then says so as one that is `new`. So whoever finds it living finds
    /// its people.
    fn beat(&self, new: bool) -> Leased<'_, Option<Vec<Arc<str>>>>;

    /// This node ends: it isn't named by `beat` any more, and nobody is online or present by it.
    fn resign(&self) -> Leased<'_, ()>;

    /// Puts who is in which chats by this node. Of a chat in which nobody is put for `PRESENCE_KEPT` all is forgotten:
    /// whoever is there is put again in time.
    fn put_presence<'a>(&'a self, changes: &'a [Presence]) -> Leased<'a, ()>;

    /// For each chat who is there, and by which nodes: also by nodes that are gone, until somebody says `forget`.
    fn presence<'a>(&'a self, chats: &'a [ChatId]) -> Leased<'a, Vec<There>>;

    /// Takes away what a node that is gone has left in a chat.
    fn forget(&self, chat: ChatId, left: Vec<(Arc<str>, UserId)>);

    /// Puts who has a socket open at this node, or has none any more. It is forgotten after `NODE_SILENT_AFTER` without
    /// `renew_online`.
    fn put_online<'a>(&'a self, users: &'a [(UserId, bool)]) -> Leased<'a, ()>;

    /// Puts who has a socket open at this node, as one step in the place of all who were put before: what was put may
    /// have been lost, or be older than what was put last.
    fn put_online_anew<'a>(&'a self, users: &'a [UserId]) -> Leased<'a, ()>;

    /// Everybody who has a socket open at this node was put.
    fn complete_online(&self) -> Leased<'_, ()>;

    /// Who was put by `put_online` is online for another `NODE_SILENT_AFTER`. Whether that is everybody: whether nothing
    /// was forgotten since `complete_online`, as far as the store knows: one that came back may know of an older one.
    fn renew_online(&self) -> Leased<'_, bool>;

    /// For each user whether they have a socket open at another node that lives.
    fn online<'a>(&'a self, users: &'a [UserId]) -> Leased<'a, Vec<bool>>;
}
