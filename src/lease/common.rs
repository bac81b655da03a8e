//! The shape of what is held in common.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use entity::{ChatId, UserId};

/// An owner of a place who isn't renewed for so long has lost it.
pub const OWNER_EXPIRES: Duration = Duration::from_secs(30);
/// A node that hasn't been heard of for so long is gone, and all who were there by it.
pub const NODE_SILENT_AFTER: Duration = Duration::from_secs(12);

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
/// for every node's next question, unless the store is lost meanwhile: it may be away (`Away`, within a quarter of a
/// second, and at once while it is known to be away), and it may come back empty. `returned` tells of both: then nodes
/// put again what they still hold, and putting twice is as putting once. Methods without an answer neither block nor
/// fail: what can't be put is lost, and repaired by expiry, or by the next `returned`.
///
/// Times are those of the store's clock alone, so that nodes' clocks may differ.
pub trait Lease: Send + Sync + 'static {
    /// This node's name.
    fn node(&self) -> &Arc<str>;

    /// Whether another node may hold something too. Where none does, nothing needs to be asked or put.
    fn is_shared(&self) -> bool;

    /// Comes back each time that the store could be reached again, the first time included. Asked from one task alone.
    fn returned(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

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
    /// that isn't renewed within `OWNER_EXPIRES` has lost it.
    fn claim<'a>(&'a self, claim: &'a Claim) -> Leased<'a, Grant>;

    /// Renews ownerships by their numbers; for each whether it still is one: nobody came with a higher number.
    fn renew<'a>(&'a self, owners: &'a [(ChatId, UserId, u64)]) -> Leased<'a, Vec<bool>>;

    /// Gives a place up, unless somebody else has it by now.
    fn disown(&self, chat: ChatId, user: UserId, number: u64);

    /// This node lives: said every few seconds. Comes back with the names of all nodes that said so within
    /// `NODE_SILENT_AFTER`, this one's too. Nothing comes back, and nothing is done, where this node isn't among them, or
    /// not any more: it puts all its people, and then says so as one that is `new`. So whoever finds it living finds
    /// its people.
    fn beat(&self, new: bool) -> Leased<'_, Option<Vec<Arc<str>>>>;

    /// This node ends: it isn't named by `beat` any more, and nobody is online or present by it.
    fn resign(&self) -> Leased<'_, ()>;

    /// Puts who is in which chats by this node.
    fn put_presence<'a>(&'a self, changes: &'a [Presence]) -> Leased<'a, ()>;

    /// For each chat who is there, and by which nodes: also by nodes that are gone, until somebody says `forget`.
    fn presence<'a>(&'a self, chats: &'a [ChatId]) -> Leased<'a, Vec<There>>;

    /// Takes away what a node that is gone has left in a chat.
    fn forget(&self, chat: ChatId, left: Vec<(Arc<str>, UserId)>);

    /// Puts who has a socket open at this node, or has none any more. It is forgotten after `NODE_SILENT_AFTER` without
    /// `renew_online`, which says whether there was anything left to renew.
    fn put_online<'a>(&'a self, users: &'a [(UserId, bool)]) -> Leased<'a, ()>;

    /// Who was put by `put_online` is online for another `NODE_SILENT_AFTER`; or nobody, where that is forgotten.
    fn renew_online(&self) -> Leased<'_, bool>;

    /// For each user whether they have a socket open at another node that lives.
    fn online<'a>(&'a self, users: &'a [UserId]) -> Leased<'a, Vec<bool>>;
}
