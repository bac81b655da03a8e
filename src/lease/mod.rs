//! What nodes hold in common until it expires: rate windows, who owns a place, who is where. In memory for one process,
//! in Redis for several.
//!
//! A node always keeps its own rule beside it (`Windows`, the connections' table, the hubs' rosters): what is held in
//! common adds the other nodes' part. So nobody waits for a store that is away, and one process asks nobody.
//!
//! Not here: which limits there are (`chat`), what presence means (`hub`). Of ours only the typed ids.
//! Bounded by: keys whose window has run out are dropped by the next sweep of their shard; in Redis everything expires.

mod common;
mod memory;
mod redis;
mod window;

pub use self::redis::RedisLease;
pub use common::{
    Away, Claim, Grant, Lease, Leased, NODE_SILENT_AFTER, OWNER_EXPIRES, PRESENCE_KEPT, Place,
    Presence, Rule, There,
};
pub use memory::{MemoryLease, MemoryTown};
pub use window::{CommonWindows, Key, Slot, Windows, take_all};
