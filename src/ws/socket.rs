//! One connection: the task that owns its socket. It reads, lets the consumer work, writes, and
//! sleeps; it has no timer (the sweep wakes it) and, at rest, no buffer.
//!
//! Not here: what a frame says (the consumer), what it is owed (its queue), deadlines (`pulse`).
//! Bounded by: 8 KiB read ahead, one frame served at a time, the queue's limits.

use std::{
    cell::RefCell,
    future::Future,
    io,
    mem::take,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::ReadBuf;
use tracing::info;
use tungstenite::{Message, protocol::CloseFrame};

use super::{
    close, consumer::Consumer, inbound::Inbound, outbound::Outbound, registry::Registration,
    work::Work,
};
use crate::{
    hub::{self, Close, SharedFrame, Turn},
    server::Stream,
};

const READ_BYTES: usize = 8 << 10;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

impl hub::Line for Stream {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Stream::try_write(self, bytes)
    }
}

pub(super) struct Socket<C: Consumer> {
    /// None: gone.
    stream: Option<Arc<Stream>>,
    /// The peer has ended its half of the stream.
    is_at_end: bool,
    inbound: Inbound,
    outbound: Outbound,
    /// Every answer is written: the next frame may be served.
    is_answered: bool,
    line: Line,
    /// Why it ends, once it does.
    ending: Option<Close>,
    work: Work<C>,
    is_connected: bool,
    frames_in: u32,
    registration: Registration,
}

/// How far the goodbyes are (RFC 6455, 7).
#[derive(Debug)]
enum Line {
    Open,
    /// The peer has closed, or broken a rule: this frame is our last word, its next ones are void.
    Over(SharedFrame),
    /// The close frame is in hand.
    Parting(Awaits),
    /// The close frame is written.
    Parted(Awaits),
    Gone,
}

/// What comes from the peer before the socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    ItsClose,
    /// Closing with bytes unread would reset the connection, and our last frame be lost with it.
    ItsEnd,
}

impl<C: Consumer> Socket<C> {
    pub(super) fn new(
        stream: Stream,
        ahead: &[u8],
        registration: Registration,
        work: Work<C>,
    ) -> Self {
        let mut inbound = Inbound::default();
        inbound.feed(ahead);
        let stream = Arc::new(stream);
        if stream.has_direct_line() {
            registration.entry().queue.set_line(stream.clone());
        }
        Self {
            stream: Some(stream),
            is_at_end: false,
            inbound,
            outbound: Outbound::default(),
            is_answered: true,
            line: Line::Open,
            ending: None,
            work,
            is_connected: false,
            frames_in: 0,
            registration,
        }
    }
}

impl<C: Consumer> Future for Socket<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // Each step says whether it has moved, so that another may now go further; what couldn't
        // move has left a waker.
        loop {
            let mut moved = this.read(cx);
            moved |= this.work(cx);
            moved |= this.write(cx);
            if matches!(this.line, Line::Gone) && this.work.is_done() {
                this.log_closed();
                return Poll::Ready(());
            }
            if !moved {
                this.inbound.rest();
                return Poll::Pending;
            }
        }
    }
}

impl<C: Consumer> Socket<C> {
    /// Reads what came, also while the consumer works: so a peer that is gone is noticed.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        if self.is_at_end || !self.inbound.has_room() {
            return false;
        }
        let is_void = matches!(
            self.line,
            Line::Over(_) | Line::Parting(Awaits::ItsEnd) | Line::Parted(Awaits::ItsEnd)
        );
        let read = READ.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let outcome = stream.poll_read(cx, &mut buffer);
            if !is_void {
                self.inbound.feed(buffer.filled());
            }
            outcome.map_ok(|()| buffer.filled().len())
        });
        match read {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.is_at_end = true,
            Poll::Ready(Ok(_)) => {
                let registration = &self.registration;
                registration.entry().pulse.heard(registration.now());
            }
            Poll::Ready(Err(_)) => self.gone(),
        }
        true
    }

    /// Goes on with what the consumer does, or gives it something to do.
    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        loop {
            if self.work.is_idle() {
                let has_begun = match self.ending {
                    Some(close) => {
                        self.work.disconnect(close);
                        true
                    }
                    None if self.asks_for_session() => {
                        self.work.ask_for_session();
                        true
                    }
                    None => self.serve_next(cx),
                };
                if !has_begun {
                    break;
                }
            } else if self.work.is_done() {
                break;
            } else {
                let Poll::Ready(result) = self.work.poll(cx) else {
                    break;
                };
                self.worked(result);
            }
            moved = true;
        }
        moved | self.await_close()
    }

    fn asks_for_session(&self) -> bool {
        let registration = &self.registration;
        registration.entry().pulse.asks(registration.now())
    }

    fn worked(&mut self, result: Result<(), Close>) {
        let queue = &self.registration.entry().queue;
        self.is_answered &= queue.is_answered();
        if let Err(close) = result {
            queue.close(close);
        } else if !self.is_connected && self.work.is_idle() {
            self.is_connected = true;
            queue.open();
        }
    }

    /// Takes the next frame, if the last one's answers are written, or come later.
    fn serve_next(&mut self, cx: &mut Context<'_>) -> bool {
        if self.work.owes_later() {
            let answered = self.work.poll_later(cx);
            self.worked(answered);
            if !self.work.takes_later() {
                return false;
            }
        }
        if !self.is_answered || !matches!(self.line, Line::Open) {
            return false;
        }
        let had_room = self.inbound.has_room();
        match self
            .inbound
            .next(self.registration.entry().frame_bytes_max())
        {
            Ok(None) if self.is_at_end => self.gone(),
            Ok(None) => return self.has_made_room(had_room),
            Ok(Some(message)) => self.take_message(message),
            Err(broken) => self.fail(broken),
        }
        true
    }

    /// Whether the parser has just made room for what `read` had none for, and so left no waker: it is to read now.
    fn has_made_room(&self, had_room: bool) -> bool {
        !had_room && self.inbound.has_room()
    }

    fn take_message(&mut self, message: Message) {
        match message {
            Message::Text(text) => {
                self.frames_in = self.frames_in.wrapping_add(1);
                self.work.receive(text);
            }
            Message::Ping(payload) => {
                self.take_control();
                // Refused where the connection is closing: then a pong isn't owed any more.
                let queue = &self.registration.entry().queue;
                let _ = queue.answer(SharedFrame::pong(&payload));
                self.is_answered = false;
            }
            Message::Pong(_) => self.take_control(),
            Message::Binary(_) | Message::Frame(_) => self.fail(close::BINARY),
            Message::Close(frame) => self.peer_closes(frame),
        }
    }

    fn take_control(&mut self) {
        if let Err(close) = self.work.receive_control() {
            self.registration.entry().queue.close(close);
        }
    }

    /// The peer broke a rule; nothing that it sends from now on can be understood.
    fn fail(&mut self, close: Close) {
        let last = SharedFrame::close(Some(close.code), close.reason);
        self.is_over(close, last);
    }

    fn peer_closes(&mut self, frame: Option<CloseFrame>) {
        let code = frame.map(|frame| u16::from(frame.code));
        let close = code.map_or(close::NO_CODE, close::by_client);
        self.is_over(close, SharedFrame::close(code, ""));
    }

    fn is_over(&mut self, close: Close, last: SharedFrame) {
        self.registration.entry().queue.close_now(close);
        self.ending.get_or_insert(close);
        self.line = Line::Over(last);
        // Void, as what comes now: so there is room to read that.
        self.inbound = Inbound::default();
    }

    /// After our close frame the peer's own is awaited; all else from it is thrown away.
    fn await_close(&mut self) -> bool {
        let Line::Parted(awaits) = self.line else {
            return false;
        };
        let had_room = self.inbound.has_room();
        let mut is_gone = self.is_at_end;
        while awaits == Awaits::ItsClose && !is_gone {
            match self
                .inbound
                .next(self.registration.entry().frame_bytes_max())
            {
                Ok(Some(message)) => is_gone = message.is_close(),
                Ok(None) => break,
                Err(_) => {
                    self.inbound = Inbound::default();
                    self.line = Line::Parted(Awaits::ItsEnd);
                    break;
                }
            }
        }
        if is_gone {
            self.gone();
            return true;
        }
        self.has_made_room(had_room)
    }

    /// Writes all that waits, and last, where it is to end, the close frame.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Some(stream) = &self.stream {
            let (entry, now) = (self.registration.entry(), self.registration.now());
            let Ok(is_flushed) = self.outbound.flush(stream, &entry.pulse, now, cx) else {
                self.gone();
                return true;
            };
            if is_flushed && let Line::Parting(awaits) = self.line {
                entry.pulse.parted(now);
                self.line = Line::Parted(awaits);
                if awaits == Awaits::ItsEnd {
                    // Whether this succeeds, the wait for the peer's end will show.
                    let _ = stream.end_writing();
                }
                moved = true;
            }
            let written = take(&mut self.outbound.written);
            let in_hand = &mut self.outbound.in_hand;
            let turn = entry.queue.turn(cx.waker(), written, in_hand, !is_flushed);
            if turn.reset {
                stream.reset_on_drop();
                self.gone();
                return true;
            }
            moved |= self.obey(turn, is_flushed);
            if !is_flushed || self.outbound.in_hand.is_empty() {
                return moved;
            }
        }
        moved
    }

    /// What the queue says besides frames.
    fn obey(&mut self, turn: Turn, is_flushed: bool) -> bool {
        let was_answered = std::mem::replace(&mut self.is_answered, turn.answered);
        let mut moved = turn.answered && !was_answered;
        let in_hand = &mut self.outbound.in_hand;
        if turn.ping && matches!(self.line, Line::Open) {
            in_hand.push(SharedFrame::ping());
        }
        let Some(close) = turn.close else {
            return moved;
        };
        moved |= self.ending.is_none();
        self.ending.get_or_insert(close);
        if turn.cut {
            self.outbound.cut();
        }
        // Until the peer takes bytes again, more than this may wait in the queue.
        if !is_flushed && !turn.cut {
            return moved;
        }
        let (last, awaits) = match std::mem::replace(&mut self.line, Line::Gone) {
            Line::Open => {
                let last = SharedFrame::close(Some(close.code), close.reason);
                (last, Awaits::ItsClose)
            }
            Line::Over(last) => (last, Awaits::ItsEnd),
            later => {
                self.line = later;
                return moved;
            }
        };
        self.outbound.in_hand.push(last);
        self.line = Line::Parting(awaits);
        moved
    }

    /// There is no socket any more; the consumer may still have to be taken leave of.
    fn gone(&mut self) {
        let queue = &self.registration.entry().queue;
        let ending = queue.closing().unwrap_or(close::LOST);
        queue.finish(*self.ending.get_or_insert(ending));
        self.stream = None;
        self.line = Line::Gone;
        self.inbound = Inbound::default();
        self.outbound.in_hand = Default::default();
    }

    fn log_closed(&self) {
        let entry = self.registration.entry();
        let (id, close) = (entry.id.0, self.ending.unwrap_or(close::LOST));
        close::count(close);
        let (code, reason) = (close.code, close.reason);
        let seconds = entry.started.elapsed().as_secs_f32();
        let frames_in = self.frames_in;
        let frames_out = self
            .outbound
            .frames_out
            .wrapping_add(entry.queue.frames_out());
        info!(
            connection = id,
            code,
            seconds,
            frames_in,
            frames_out,
            "connection {id}: closed after {seconds:.1} s, {code} {reason}"
        );
    }
}

#[cfg(test)]
mod tests {
    use entity::{SessionId, Time};

    use super::*;
    use crate::{
        chat::{Actor, AuthError},
        ws::{Connection, Credential, Handshake, World},
    };

    struct Nowhere;

    impl World for Nowhere {
        async fn authenticate(&self, _: &Credential) -> Result<Actor, AuthError> {
            Err(AuthError::Missing)
        }

        async fn renew(&self, _: &Actor) -> Result<Actor, AuthError> {
            Err(AuthError::Missing)
        }

        async fn lives_until(&self, _: &SessionId) -> Result<Time, AuthError> {
            Err(AuthError::Missing)
        }
    }

    struct Nobody;

    impl Consumer for Nobody {
        type World = Nowhere;
        const NAME: &'static str = "nobody";

        async fn connect(_: &mut Connection<Nowhere>, _: &Handshake) -> Result<Self, Close> {
            Err(close::FAULT)
        }

        fn actor(&mut self) -> Option<&mut Actor> {
            None
        }

        async fn receive(&mut self, _: &mut Connection<Nowhere>, _: &str) -> Result<(), Close> {
            Ok(())
        }

        async fn disconnect(self, _: &mut Connection<Nowhere>, _: &Close) {}
    }

    #[test]
    fn what_a_connection_at_rest_holds_is_small() {
        // Of the 5 KiB that an idle connection may cost, this is the machinery's part; the rest is
        // its descriptor's, its dialect's and its seat's.
        let bytes = size_of::<Socket<Nobody>>();
        assert!(bytes <= 400, "{bytes} bytes");
    }
}
