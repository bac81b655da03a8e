//! The hub: after the commit, and before the sockets.

mod frame;
mod queue;

pub use frame::SharedFrame;
pub use queue::{Close, Queue, QueueLimits, QueueTotal};
pub(crate) use queue::{Turn, Written};
