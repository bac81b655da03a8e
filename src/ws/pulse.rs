//! Whether a connection still breathes: what its task notes, and what the sweep makes of it.
//! All times are counts of sweeps (a second each); 0 means never.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::close;
use crate::hub::{Close, Queue};

/// Silence in either direction after which a ping is sent: proxies cut at 60.
const PING_AFTER: u32 = 25;
/// Without anything from the client for longer than this it is taken for dead.
const SILENCE_MAX: u32 = 60;
/// A peer that takes no bytes for longer than this is reset.
const BLOCKED_MAX: u32 = 10;
/// What waits is written for so long before a close frame, and so long the peer's own is awaited.
/// A sweep comes up to a second after what it sees.
const CLOSING_MAX: u32 = 2;
/// A closing peer that takes bytes, but never all, is reset.
const PARTING_MAX: u32 = 30;

#[derive(Debug)]
pub(super) struct Pulse {
    /// Anything came from the client.
    heard: AtomicU32,
    /// Anything went to it.
    spoke: AtomicU32,
    pinged: AtomicU32,
    /// Since when the peer takes no bytes although there are some.
    blocked: AtomicU32,
    /// Since when it is to be closed.
    closing: AtomicU32,
    /// Since when the close frame is out.
    parted: AtomicU32,
    /// When its sign-in must be done, or ends.
    deadline: AtomicU32,
    /// When it is asked whether its session lives on.
    asks: AtomicU32,
}

impl Pulse {
    pub(super) fn new(now: u32) -> Self {
        Self {
            heard: AtomicU32::new(now),
            spoke: AtomicU32::new(now),
            pinged: AtomicU32::new(now),
            blocked: AtomicU32::new(0),
            closing: AtomicU32::new(0),
            parted: AtomicU32::new(0),
            deadline: AtomicU32::new(0),
            asks: AtomicU32::new(0),
        }
    }

    pub(super) fn heard(&self, now: u32) {
        self.heard.store(now, Relaxed);
    }

    /// How long nothing was heard from the client.
    pub(super) fn silence(&self, now: u32) -> u32 {
        now.saturating_sub(self.heard.load(Relaxed))
    }

    pub(super) fn spoke(&self, now: u32) {
        self.spoke.store(now, Relaxed);
        self.blocked.store(0, Relaxed);
    }

    pub(super) fn blocked(&self, now: u32) {
        if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(now, Relaxed);
        }
    }

    pub(super) fn parted(&self, now: u32) {
        self.parted.store(now, Relaxed);
    }

    /// Ends the connection (as one that isn't signed in) at this sweep; 0 never.
    pub(super) fn set_deadline(&self, at: u32) {
        self.deadline.store(at, Relaxed);
    }

    /// Has the connection's task ask at this sweep whether its session lives on; 0 never.
    pub(super) fn set_asks(&self, at: u32) {
        self.asks.store(at, Relaxed);
    }

    /// Whether the connection's task is to ask that now.
    pub(super) fn asks(&self, now: u32) -> bool {
        let at = self.asks.load(Relaxed);
        at != 0 && now >= at
    }

    /// What is due: by the sweep, once a second.
    pub(super) fn examine(&self, now: u32, queue: &Queue, signed_out: Close) {
        let since = |time: &AtomicU32| match time.load(Relaxed) {
            0 => None,
            time => Some(now.saturating_sub(time)),
        };
        let is_over = |time: &AtomicU32, max: u32| since(time).is_some_and(|passed| passed > max);
        if queue.take_spoke() {
            self.spoke.store(now, Relaxed);
        }
        if is_over(&self.blocked, BLOCKED_MAX) {
            return queue.reset();
        }
        if queue.closing().is_some() {
            if self.closing.load(Relaxed) == 0 {
                self.closing.store(now, Relaxed);
            }
            if is_over(&self.parted, CLOSING_MAX) || is_over(&self.closing, PARTING_MAX) {
                queue.reset();
            } else if since(&self.closing) == Some(CLOSING_MAX) {
                queue.cut_short();
            }
            return;
        }
        if self.asks(now) {
            queue.nudge();
        }
        let deadline = self.deadline.load(Relaxed);
        if deadline != 0 && now >= deadline {
            queue.close(signed_out);
        } else if is_over(&self.heard, SILENCE_MAX) {
            queue.close(close::GOING_AWAY);
        } else if since(&self.pinged) >= Some(PING_AFTER)
            && (since(&self.heard) >= Some(PING_AFTER) || since(&self.spoke) >= Some(PING_AFTER))
        {
            self.pinged.store(now, Relaxed);
            queue.ping();
        }
    }
}
