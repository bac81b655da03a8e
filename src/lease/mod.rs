//! What nodes hold in common until it expires: rate windows. In memory for one process.
//!
//! Not here: which limits there are (`chat`). Nothing of ours is imported.
//! Bounded by: keys whose window has run out are dropped by the next sweep of their shard.

mod window;

pub use window::{Slot, Windows};
