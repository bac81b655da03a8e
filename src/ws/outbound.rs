//! The writing side: ready frames out, all that is in hand with as few calls as it takes.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

use super::pulse::Pulse;
use crate::hub::{SharedFrame, Written};

/// Frames are gathered here and written with one call (bursts cost a quarter of what single writes
/// do); one of more than half of this is written from where it lies.
const GATHER_BYTES: usize = 32 << 10;

/// Room for so many frames is kept while nothing waits.
const KEPT_FRAMES: usize = 4;

thread_local! {
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(GATHER_BYTES));
}

/// What was taken from the queue and isn't written yet.
#[derive(Default)]
pub(super) struct Outbound {
    pub(super) in_hand: VecDeque<SharedFrame>,
    /// Of the first frame, so much is written.
    offset: usize,
    /// Since the queue was told last.
    pub(super) written: Written,
    pub(super) frames_out: u32,
}

impl Outbound {
    /// Writes until nothing is left (true) or the peer takes no more for now (false).
    pub(super) fn flush(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        pulse: &Pulse,
        now: u32,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        while let Some(first) = self.in_hand.front() {
            let first = &first.wire()[self.offset..];
            let outcome = if self.in_hand.len() == 1 || first.len() > GATHER_BYTES / 2 {
                Pin::new(&mut *stream).poll_write(cx, first)
            } else {
                GATHERED.with_borrow_mut(|gathered| {
                    self.gather(gathered);
                    Pin::new(&mut *stream).poll_write(cx, gathered)
                })
            };
            match outcome {
                Poll::Pending => {
                    pulse.blocked(now);
                    return Ok(false);
                }
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(len)) => {
                    pulse.spoke(now);
                    self.advance(len);
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if self.in_hand.capacity() > KEPT_FRAMES {
            self.in_hand = VecDeque::new();
        }
        Ok(true)
    }

    /// Gives up what isn't begun, but for control frames.
    pub(super) fn cut(&mut self) {
        let mut is_begun = self.offset > 0;
        self.in_hand.retain(|frame| {
            let stays = std::mem::take(&mut is_begun) || frame.is_control();
            if !stays {
                self.written.add(frame);
            }
            stays
        });
    }

    fn gather(&self, gathered: &mut Vec<u8>) {
        gathered.clear();
        let mut offset = self.offset;
        for frame in &self.in_hand {
            let bytes = &frame.wire()[offset..];
            if gathered.len() + bytes.len() > GATHER_BYTES {
                break;
            }
            gathered.extend_from_slice(bytes);
            offset = 0;
        }
    }

    fn advance(&mut self, mut len: usize) {
        while let Some(first) = self.in_hand.front() {
            let left = first.len() - self.offset;
            if len < left {
                self.offset += len;
                return;
            }
            len -= left;
            self.offset = 0;
            self.written.add(first);
            self.frames_out = self.frames_out.wrapping_add(1);
            self.in_hand.pop_front();
        }
    }
}
