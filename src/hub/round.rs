//! A round: the connections that a burst of events has left something for, written to one after the other by few tasks
//! instead of each by its own. Waking a thousand tasks, each of which then finds one frame, costs as much again as all
//! that happens before the system call (measured at 500 receivers).
//!
//! Not here: what waits, and whether it may be written from here (`queue`).

use std::{io, sync::Arc};

use super::Queue;

/// Connections that one task writes to, without a pause: about a quarter of a millisecond.
const AT_ONCE: usize = 64;

/// Where a connection's bytes go, as others than its own task see it.
pub trait Line: std::fmt::Debug + Send + Sync {
    /// Writes what the peer takes at once, without waiting. Called under the queue's lock, by one thread at a time.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// Queues with something to write. Dropped, it is written.
#[derive(Debug, Default)]
pub(super) struct Round(Vec<Arc<Queue>>);

impl Round {
    /// One more.
    pub(super) fn add(&mut self, queue: Arc<Queue>) {
        self.0.push(queue);
        if self.0.len() == AT_ONCE {
            self.begin();
        }
    }

    // Nobody waits for these tasks: they never do either, so they end with the first turn that they get.
    fn begin(&mut self) {
        let queues = std::mem::take(&mut self.0);
        tokio::spawn(async move { queues.iter().for_each(|queue| queue.write()) });
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.begin();
        }
    }
}
