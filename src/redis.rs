//! Connections to Redis that are kept: opened anew, with a growing wait, whenever they end, and asked every now and then
//! whether they still answer. So a Redis that is away costs nobody a wait: commands are refused at once until it is back.
//!
//! Not here: what lies on Redis (`layer`, `lease`). Nothing of ours is imported.
//! Bounded by: each command has a deadline, and each connection attempt too.

mod address;
mod link;

pub use address::{Address, AddressError};
pub use link::{Link, LinkError, OnPush};
