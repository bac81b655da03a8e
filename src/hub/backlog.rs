//! Frames that wait to be written, the first of which may be begun.
//!
//! All that waits is written with as few calls as it takes: bursts cost a quarter of what single writes do.

use std::{cell::RefCell, collections::VecDeque};

use super::SharedFrame;

/// Frames are gathered to pieces of at most this size; one of more than half of it is written from where it lies.
const GATHER_BYTES: usize = 32 << 10;
/// Room for so many frames is kept while nothing waits.
const KEPT_FRAMES: usize = 4;

thread_local! {
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(GATHER_BYTES));
}

/// Frames in the order of their writing.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    frames: VecDeque<SharedFrame>,
    /// Bytes of the first frame that are written.
    begun: usize,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn push(&mut self, frame: SharedFrame) {
        self.frames.push_back(frame);
    }

    /// Hands what comes next to `write`, all that waits where it fits into one piece; none where nothing waits.
    pub(crate) fn next_piece<R>(&self, write: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let first = &self.frames.front()?.wire()[self.begun..];
        if self.frames.len() == 1 || first.len() > GATHER_BYTES / 2 {
            return Some(write(first));
        }
        let gathered = GATHERED.with_borrow_mut(|gathered| {
            gathered.clear();
            gathered.extend_from_slice(first);
            for frame in self.frames.iter().skip(1) {
                if gathered.len() + frame.len() > GATHER_BYTES {
                    break;
                }
                gathered.extend_from_slice(frame.wire());
            }
            write(gathered)
        });
        Some(gathered)
    }

    /// So many bytes more are written; `done` is told each frame that is now written whole.
    pub(crate) fn advance(&mut self, mut bytes: usize, mut done: impl FnMut(&SharedFrame)) {
        while let Some(first) = self.frames.front() {
            let left = first.len() - self.begun;
            if bytes < left {
                self.begun += bytes;
                return;
            }
            bytes -= left;
            self.begun = 0;
            done(first);
            self.frames.pop_front();
        }
        if self.frames.capacity() > KEPT_FRAMES {
            self.frames = VecDeque::new();
        }
    }

    /// Gives up the frames that `stays` doesn't keep, but for one that is begun: `gone` is told each.
    pub(crate) fn retain(
        &mut self,
        mut stays: impl FnMut(&SharedFrame) -> bool,
        mut gone: impl FnMut(&SharedFrame),
    ) {
        let mut is_begun = self.begun > 0;
        self.frames.retain(|frame| {
            let stays = std::mem::take(&mut is_begun) || stays(frame);
            if !stays {
                gone(frame);
            }
            stays
        });
        self.frames.shrink_to_fit();
    }

    /// Takes over all of another, behind what waits here. Mostly nothing does: then the emptied one goes the other way,
    /// so that a frame now and then costs no allocation.
    pub(crate) fn take_over(&mut self, other: &mut Backlog) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else {
            debug_assert_eq!(other.begun, 0, "a begun frame is never overtaken");
            self.frames.append(&mut other.frames);
        }
    }
}

impl Extend<SharedFrame> for Backlog {
    fn extend<T: IntoIterator<Item = SharedFrame>>(&mut self, frames: T) {
        self.frames.extend(frames);
    }
}

impl IntoIterator for Backlog {
    type Item = SharedFrame;
    type IntoIter = std::collections::vec_deque::IntoIter<SharedFrame>;

    fn into_iter(self) -> Self::IntoIter {
        self.frames.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(texts: &[&str]) -> Backlog {
        let mut backlog = Backlog::default();
        backlog.extend(texts.iter().map(|text| SharedFrame::text(text)));
        backlog
    }

    fn written(backlog: &mut Backlog, bytes: usize) -> (Vec<u8>, usize) {
        let mut done = 0;
        let piece = backlog
            .next_piece(|piece| piece[..bytes.min(piece.len())].to_vec())
            .unwrap_or_default();
        backlog.advance(piece.len(), |_| done += 1);
        (piece, done)
    }

    #[test]
    fn what_is_taken_in_crumbs_is_the_same_bytes() {
        for step in 1..12 {
            let mut backlog = backlog(&["one", "two", "three"]);
            let (mut all, mut frames) = (Vec::new(), 0);
            while !backlog.is_empty() {
                let (piece, done) = written(&mut backlog, step);
                all.extend(piece);
                frames += done;
            }
            assert_eq!(all, b"\x81\x03one\x81\x03two\x81\x05three", "{step}");
            assert_eq!(frames, 3);
        }
    }

    #[test]
    fn a_frame_that_is_begun_is_finished_whatever_is_given_up() {
        let mut backlog = backlog(&["one", "two", "three"]);
        written(&mut backlog, 2);
        let mut gone = 0;
        backlog.retain(|_| false, |_| gone += 1);
        assert_eq!(gone, 2);
        let mut hand = Backlog::default();
        hand.take_over(&mut backlog);
        assert_eq!(written(&mut hand, 100), (b"one".to_vec(), 1));
        assert!(hand.is_empty() && backlog.is_empty());
    }

    #[test]
    fn a_frame_larger_than_a_piece_goes_by_itself() {
        let long = "x".repeat(GATHER_BYTES + 1);
        let mut backlog = backlog(&["one", &long, "two"]);
        let pieces: Vec<usize> = std::iter::from_fn(|| {
            (!backlog.is_empty()).then(|| written(&mut backlog, usize::MAX).1)
        })
        .collect();
        assert_eq!(pieces, [1, 1, 1]);
    }
}
