//! What comes over a layer may be anything, and any amount of it: what is dropped is logged, but not each of it.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::warn;

const EVERY: Duration = Duration::from_secs(10);

/// A log line now and then, with the number of what was dropped since the last one.
#[derive(Debug, Default)]
pub struct Complaints {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Complaints {
    /// Something was dropped.
    pub fn log(&self, why: &impl Display) {
        let mut state = self.state.lock();
        state.1 += 1;
        if state.0.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        let dropped = std::mem::take(&mut state.1);
        state.0 = Some(Instant::now());
        drop(state);
        warn!(
            dropped,
            "dropped what came over the channel layer, {dropped} since last told: {why}"
        );
    }
}
