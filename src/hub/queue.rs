//! What one connection is still owed: a bounded queue between everyone who has something for it
//! (the hub's events, its own consumer's answers, the registry's pings and its end) and the one
//! task that owns its socket.
//!
//! Not here: the socket (`ws`), what a frame says. What is full is closed here, and nowhere else.
//! Relies on: `turn` is called by one task alone, and last thing before that task sleeps. While it sleeps with nothing
//! in hand, what the hub pushes is written in its place (`round`), under the lock.
//! Bounded by: `QueueLimits`, for one connection and for all together. Frames count until they are
//! written, also where the socket's task holds them already. Answers are outside the bounds: a
//! connection's next frame isn't read before they are written (but for sends, a bounded number of
//! which are answered later).

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    task::{Poll, Waker},
};

use entity::ChatId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    backlog::Backlog,
    frame::{Lane, SharedFrame},
    round::{Line, Round},
};
use crate::{chat::ConnectionId, metrics};

/// Why a connection ends, as its client is told. The table of all codes is `ws/close.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The close code of RFC 6455, 7.4, or one of ours.
    pub code: u16,
    /// A short text beside it.
    pub reason: &'static str,
}

impl Close {
    /// The queue is full: the client reads slower than its chats speak.
    pub const TOO_SLOW: Close = Close::new(4008, "Too slow");

    /// A code and its text.
    pub const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Frames of one connection. A burst that begins below it is taken whole, as far as its bytes fit.
    pub frames_max: usize,
    /// Bytes of one connection.
    pub bytes_max: usize,
    /// Bytes of all connections together.
    pub total_bytes_max: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            frames_max: 256,
            bytes_max: 1 << 20,
            total_bytes_max: 256 << 20,
        }
    }
}

/// What all queues of the node hold together.
#[derive(Debug)]
pub struct QueueTotal {
    limits: QueueLimits,
    bytes: AtomicUsize,
    over: Notify,
}

impl QueueTotal {
    /// Nothing waits yet.
    pub fn new(limits: QueueLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            bytes: AtomicUsize::new(0),
            over: Notify::new(),
        })
    }

    /// Bytes that wait in all queues.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Comes back when the bound for all was passed: who knows all queues then ends the fullest.
    pub(crate) async fn over(&self) {
        self.over.notified().await;
    }

    /// Bytes by which the bound is passed.
    pub(crate) fn excess(&self) -> usize {
        self.bytes().saturating_sub(self.limits.total_bytes_max)
    }

    /// Where a push itself gives way: whoever ends the fullest hasn't had a turn for so long that
    /// an eighth more has come.
    fn hard_max(&self) -> usize {
        self.limits.total_bytes_max + self.limits.total_bytes_max / 8
    }
}

/// One connection's queue. Empty, it has room for a few frames at most.
#[derive(Debug)]
pub struct Queue {
    id: ConnectionId,
    total: Arc<QueueTotal>,
    /// Of the frames that count. Written under the lock, read without it to find the fullest.
    bytes: AtomicUsize,
    /// Frames that were written in the place of the socket's task.
    frames_out: AtomicU32,
    /// Something was, since this was last asked.
    spoke: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of their coming.
    frames: Backlog,
    /// Where they can be written by others than the socket's task.
    line: Option<Arc<dyn Line>>,
    /// A round will come by.
    in_round: bool,
    /// The consumer's while it connects; they go before the hub's.
    answers: VecDeque<SharedFrame>,
    /// Frames that count: those in `frames` and those that the socket's task has in hand.
    counted: usize,
    /// Answers that the socket's task has in hand, or will have in turn.
    answers_in_hand: usize,
    closing: Option<Close>,
    signals: Signals,
    /// Nothing of `frames` is written before the consumer is connected.
    live: bool,
    /// The socket's task sleeps; without `wants_frames` only a signal is worth waking it for: the
    /// peer takes no bytes.
    asleep: bool,
    wants_frames: bool,
    waker: Option<Waker>,
    answers_waker: Option<Waker>,
}

/// What the socket's task is told besides frames.
#[derive(Debug, Clone, Copy, Default)]
struct Signals {
    ping: bool,
    /// Nothing more is written before the close frame.
    cut: bool,
    reset: bool,
}

/// What the socket's task has written since its last turn.
#[derive(Debug, Default)]
pub(crate) struct Written {
    frames: usize,
    bytes: usize,
    answers: usize,
}

impl Written {
    /// This frame is written, or given up.
    pub(crate) fn add(&mut self, frame: &SharedFrame) {
        match frame.lane {
            Lane::Queue => {
                self.frames += frame.count() as usize;
                self.bytes += frame.len();
            }
            Lane::Answer => self.answers += 1,
            Lane::Control => {}
        }
    }
}

/// What is to be done at a turn, besides writing what was handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Send a ping.
    pub(crate) ping: bool,
    /// Let go of the connection without another word.
    pub(crate) reset: bool,
    /// Send this as the last frame, once all that was handed over is written.
    pub(crate) close: Option<Close>,
    /// With `close`: give up what was handed over, but for a frame that has been begun.
    pub(crate) cut: bool,
    /// Every answer is written: the connection's next frame may be read.
    pub(crate) answered: bool,
}

impl Queue {
    /// An empty queue for a connection that isn't live yet.
    pub fn new(id: ConnectionId, total: Arc<QueueTotal>) -> Arc<Self> {
        Arc::new(Self {
            id,
            total,
            bytes: AtomicUsize::new(0),
            frames_out: AtomicU32::new(0),
            spoke: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// What the hub pushes may be written straight to here while the socket's task sleeps.
    pub(crate) fn set_line(&self, line: Arc<dyn Line>) {
        self.state.lock().line = Some(line);
    }

    /// Whose queue this is.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Bytes that wait and count.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Adds a frame that the hub has for this connection. False: it is ending, its seat can be given up.
    ///
    /// Never waits. Where the frame doesn't fit, ephemeral ones are dropped, this one first; else the connection ends
    /// with 4008 and its queue is dropped.
    pub fn push(&self, frame: SharedFrame) -> bool {
        let mut state = self.state.lock();
        let is_kept = state.closing.is_none() && self.squeeze_in(&mut state, frame);
        state.wake_for_frames();
        is_kept
    }

    /// Takes all out of `frames` and adds them as `push` does one after the other, but locked, counted and woken once.
    /// Where there was room for the first, the number of the others is no reason to end a connection that had no turn
    /// meanwhile: a batch of the writer and a repaired gap come at once. Their bytes are.
    pub fn push_all(&self, frames: &mut Vec<SharedFrame>) -> bool {
        let mut state = self.state.lock();
        let is_kept = self.add_all(&mut state, frames);
        state.wake_for_frames();
        is_kept
    }

    /// The same; where the socket's task sleeps, `round` writes in its place.
    pub(super) fn push_in_round(
        self: &Arc<Self>,
        frames: &mut Vec<SharedFrame>,
        round: &mut Round,
    ) -> bool {
        let mut state = self.state.lock();
        let is_kept = self.add_all(&mut state, frames);
        if !state.is_writable() {
            state.wake_for_frames();
        } else if !std::mem::replace(&mut state.in_round, true) {
            drop(state);
            round.add(self.clone());
        }
        is_kept
    }

    fn add_all(&self, state: &mut State, frames: &mut Vec<SharedFrame>) -> bool {
        if state.closing.is_some() {
            frames.clear();
            return false;
        }
        let bytes = frames.iter().map(SharedFrame::len).sum();
        if self.fits(state, bytes) {
            let count = frames.iter().map(SharedFrame::count).sum();
            self.add(state, frames.drain(..), count, bytes);
        } else {
            for frame in frames.drain(..) {
                if !self.squeeze_in(state, frame) {
                    return false;
                }
            }
        }
        true
    }

    /// Adds a frame although there may be no room; false where there is none.
    fn squeeze_in(&self, state: &mut State, frame: SharedFrame) -> bool {
        let bytes = frame.len();
        if !self.fits(state, bytes) {
            if frame.is_ephemeral() {
                metrics::QUEUE_DROPPED.one();
                return true;
            }
            self.drop_ephemeral(state);
            if !self.fits(state, bytes) {
                metrics::QUEUE_OVERFLOWS.of("own").one();
                self.cut(state, Close::TOO_SLOW);
                return false;
            }
        }
        let count = frame.count();
        self.add(state, std::iter::once(frame), count, bytes);
        true
    }

    fn add(
        &self,
        state: &mut State,
        frames: impl Iterator<Item = SharedFrame>,
        count: u32,
        bytes: usize,
    ) {
        state.counted += count as usize;
        self.bytes.store(self.bytes() + bytes, Relaxed);
        let total_bytes = self.total.bytes.fetch_add(bytes, Relaxed) + bytes;
        state
            .frames
            .extend(frames.map(|frame| frame.in_lane(Lane::Queue)));
        if total_bytes > self.total.limits.total_bytes_max {
            self.total.over.notify_one();
        }
    }

    /// Adds an answer to the connection's own request, or a part of its history: before all that the hub pushes while
    /// the consumer connects, and later in turn with it.
    pub fn answer(&self, frame: SharedFrame) -> Result<(), Close> {
        let mut state = self.state.lock();
        if let Some(close) = state.closing {
            return Err(close);
        }
        let frame = frame.in_lane(Lane::Answer);
        if state.live {
            state.answers_in_hand += 1;
            state.frames.push(frame);
            state.wake_for_frames();
        } else {
            state.answers.push_back(frame);
            state.wake();
        }
        Ok(())
    }

    /// Comes back when every answer has been written to the socket: so a long history is written
    /// as fast as its client reads.
    pub async fn answered(&self) -> Result<(), Close> {
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if let Some(close) = state.closing {
                return Poll::Ready(Err(close));
            }
            if state.is_answered() {
                return Poll::Ready(Ok(()));
            }
            state.answers_waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Whether every answer has been written to the socket.
    pub(crate) fn is_answered(&self) -> bool {
        self.state.lock().is_answered()
    }

    /// Drops what the hub pushed of a chat and isn't being written yet: a replay tells it again.
    pub fn forget_pushed(&self, chat: ChatId) {
        let is_of_chat =
            |frame: &SharedFrame| frame.chat == Some(chat) && matches!(frame.lane, Lane::Queue);
        self.drop_frames(&mut self.state.lock(), is_of_chat);
    }

    /// From now on what the hub pushed is written: the consumer is connected.
    pub fn open(&self) {
        let mut state = self.state.lock();
        state.live = true;
        if !state.frames.is_empty() {
            state.wake();
        }
    }

    /// Ends the connection: what waits is written first (for a bounded time), then the close
    /// frame. The first reason counts. With 4008 what waits is dropped.
    pub fn close(&self, close: Close) {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return;
        }
        if close == Close::TOO_SLOW {
            return self.cut(&mut state, close);
        }
        if !state.live {
            self.drop_frames(&mut state, |_| true);
        }
        state.end(close);
    }

    /// Ends the connection without writing what waits.
    pub(crate) fn close_now(&self, close: Close) {
        self.cut(&mut self.state.lock(), close);
    }

    /// What waits has had its time: where the connection is closing, it closes now.
    pub(crate) fn cut_short(&self) {
        let mut state = self.state.lock();
        if let Some(close) = state.closing {
            self.cut(&mut state, close);
        }
    }

    /// Why it ends, once it does.
    pub fn closing(&self) -> Option<Close> {
        self.state.lock().closing
    }

    /// Asks for a sign of life.
    pub(crate) fn ping(&self) {
        let mut state = self.state.lock();
        state.signals.ping = true;
        state.wake();
    }

    /// Wakes the socket's task, for something else than frames. Where that is awake it may have looked already: ask again.
    pub(crate) fn nudge(&self) {
        self.state.lock().wake();
    }

    /// Lets go of the connection without another word.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        state.signals.reset = true;
        state.wake();
    }

    /// The socket's task has its turn: `written` is counted off, what waits goes to `in_hand`
    /// (unless `blocked`: the peer takes no bytes just now). If nothing was handed over, the task
    /// is woken by whatever comes next.
    pub(crate) fn turn(
        &self,
        waker: &Waker,
        written: Written,
        in_hand: &mut Backlog,
        blocked: bool,
    ) -> Turn {
        let mut state = self.state.lock();
        self.settle(&mut state, written);
        if !blocked {
            state.hand_over(in_hand);
        }
        let answered = state.is_answered();
        if answered && let Some(waiting) = state.answers_waker.take() {
            waiting.wake();
        }
        let turn = Turn {
            ping: std::mem::take(&mut state.signals.ping),
            reset: state.signals.reset,
            close: state.closing,
            cut: state.signals.cut,
            answered,
        };
        state.wants_frames = !blocked;
        // A ping is in hand as soon as the task hears of it.
        state.asleep = blocked || (in_hand.is_empty() && !turn.ping);
        if !state
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            state.waker = Some(waker.clone());
        }
        turn
    }

    /// Writes what waits in the place of the socket's task, if that still sleeps; whatever doesn't go at once is its
    /// own affair again.
    pub(super) fn write(&self) {
        let mut state = self.state.lock();
        state.in_round = false;
        if !state.is_writable() {
            return state.wake_for_frames();
        }
        let (mut written, mut is_stopped) = (Written::default(), false);
        let State { line, frames, .. } = &mut *state;
        let Some(line) = line else { return };
        while let Some(outcome) = frames.next_piece(|piece| line.try_write(piece)) {
            match outcome {
                Ok(bytes) if bytes > 0 => frames.advance(bytes, |frame| written.add(frame)),
                _ => {
                    is_stopped = true;
                    break;
                }
            }
        }
        if is_stopped {
            state.wake();
        }
        let frames = u32::try_from(written.frames + written.answers).unwrap_or(u32::MAX);
        self.frames_out.fetch_add(frames, Relaxed);
        self.spoke.store(true, Relaxed);
        self.settle(&mut state, written);
    }

    /// Frames that were written in the place of the socket's task.
    pub(crate) fn frames_out(&self) -> u32 {
        self.frames_out.load(Relaxed)
    }

    /// Whether anything was written in the place of the socket's task since this was last asked.
    pub(crate) fn take_spoke(&self) -> bool {
        self.spoke.load(Relaxed) && self.spoke.swap(false, Relaxed)
    }

    /// The connection is gone: nothing is kept, nothing is taken any more.
    pub(crate) fn finish(&self, close: Close) {
        let mut state = self.state.lock();
        state.closing.get_or_insert(close);
        let answers_waker = state.answers_waker.take();
        *state = State {
            closing: state.closing,
            ..State::default()
        };
        let bytes = self.bytes.swap(0, Relaxed);
        self.total.bytes.fetch_sub(bytes, Relaxed);
        drop(state);
        if let Some(waiting) = answers_waker {
            waiting.wake();
        }
    }

    fn fits(&self, state: &State, bytes: usize) -> bool {
        let limits = &self.total.limits;
        state.counted < limits.frames_max
            && self.bytes() + bytes <= limits.bytes_max
            && self.total.bytes() + bytes <= self.total.hard_max()
    }

    fn drop_ephemeral(&self, state: &mut State) {
        let dropped = self.drop_frames(state, SharedFrame::is_ephemeral);
        metrics::QUEUE_DROPPED.add(dropped);
    }

    /// How many were dropped.
    fn drop_frames(&self, state: &mut State, which: impl Fn(&SharedFrame) -> bool) -> usize {
        let mut dropped = Written::default();
        let stays = |frame: &SharedFrame| !which(frame);
        state.frames.retain(stays, |frame| dropped.add(frame));
        let count = dropped.frames;
        self.settle(state, dropped);
        count
    }

    fn settle(&self, state: &mut State, written: Written) {
        state.counted = state.counted.saturating_sub(written.frames);
        state.answers_in_hand = state.answers_in_hand.saturating_sub(written.answers);
        // A queue that was finished meanwhile has been counted off as a whole.
        let bytes = written.bytes.min(self.bytes());
        if bytes > 0 {
            self.bytes.store(self.bytes() - bytes, Relaxed);
            self.total.bytes.fetch_sub(bytes, Relaxed);
        }
    }

    fn cut(&self, state: &mut State, close: Close) {
        self.drop_frames(state, |_| true);
        state.answers = VecDeque::new();
        state.signals.cut = true;
        state.end(close);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.total.bytes.fetch_sub(self.bytes(), Relaxed);
    }
}

impl State {
    fn is_answered(&self) -> bool {
        self.answers.is_empty() && self.answers_in_hand == 0
    }

    fn hand_over(&mut self, in_hand: &mut Backlog) {
        if !self.answers.is_empty() {
            self.answers_in_hand += self.answers.len();
            in_hand.extend(std::mem::take(&mut self.answers));
        }
        if self.live {
            in_hand.take_over(&mut self.frames);
        }
    }

    fn end(&mut self, close: Close) {
        self.closing.get_or_insert(close);
        self.wake();
        if let Some(waiting) = self.answers_waker.take() {
            waiting.wake();
        }
    }

    /// Whether what waits may be written by others than the socket's task: that sleeps with nothing in hand, and has
    /// nothing else to do.
    fn is_writable(&self) -> bool {
        let is_at_rest = self.asleep && self.wants_frames && self.closing.is_none();
        is_at_rest && self.live && self.line.is_some() && !self.frames.is_empty()
    }

    /// What the hub pushed is written by a task that is connected and whose peer takes bytes.
    fn wake_for_frames(&mut self) {
        if !self.frames.is_empty() && self.live && self.wants_frames {
            self.wake();
        }
    }

    fn wake(&mut self) {
        if std::mem::take(&mut self.asleep)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }
}
