//! The writing side of the socket's own task: ready frames out, all that is in hand with as few calls as it takes.

use std::{
    io,
    task::{Context, Poll},
};

use super::pulse::Pulse;
use crate::{
    hub::{Backlog, Written},
    server::Stream,
};

/// What was taken from the queue and isn't written yet.
#[derive(Default)]
pub(super) struct Outbound {
    pub(super) in_hand: Backlog,
    /// Since the queue was told last.
    pub(super) written: Written,
    pub(super) frames_out: u32,
}

impl Outbound {
    /// Writes until nothing is left (true) or the peer takes no more for now (false).
    pub(super) fn flush(
        &mut self,
        stream: &Stream,
        pulse: &Pulse,
        now: u32,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        while let Some(outcome) = self
            .in_hand
            .next_piece(|piece| stream.poll_write(cx, piece))
        {
            match outcome {
                Poll::Pending => {
                    pulse.blocked(now);
                    return Ok(false);
                }
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(len)) => {
                    pulse.spoke(now);
                    self.in_hand.advance(len, |frame| {
                        self.written.add(frame);
                        self.frames_out = self.frames_out.wrapping_add(frame.count());
                    });
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        match stream.poll_flush(cx) {
            Poll::Ready(flushed) => flushed.map(|()| true),
            Poll::Pending => {
                pulse.blocked(now);
                Ok(false)
            }
        }
    }

    /// Gives up what isn't begun, but for control frames.
    pub(super) fn cut(&mut self) {
        self.in_hand
            .retain(|frame| frame.is_control(), |frame| self.written.add(frame));
    }
}
