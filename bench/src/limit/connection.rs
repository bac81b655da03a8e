//! One connection, one task: it reads what came, hands it on, and writes all that waits in one call.

use std::{
    cell::RefCell,
    future, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    frame::{self, CLOSE, PING, TEXT},
    http::{self, HEAD_BYTES_MAX, Page, Request},
    room::{Room, Rooms, Seat},
};

/// One read takes at most this much.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    // Shared by all connections of a thread: hot in the cache, and no memory per connection.
    static INPUT: RefCell<[u8; READ_BYTES]> = const { RefCell::new([0; READ_BYTES]) };
    static BURST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct Connection {
    stream: TcpStream,
    rooms: Arc<Rooms>,
    page: Page,
    /// The beginning of a request or frame whose end hasn't come.
    partial: Vec<u8>,
    /// What the socket didn't take at once.
    unwritten: Vec<u8>,
    /// Where the upgrade led to.
    seat: Option<(Arc<Room>, Arc<Seat>)>,
    /// Of the queue: kept, so that it is allocated once.
    frames: Vec<Bytes>,
    closing: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, rooms: Arc<Rooms>, page: Page) -> Self {
        Self {
            stream,
            rooms,
            page,
            partial: Vec::new(),
            unwritten: Vec::new(),
            seat: None,
            frames: Vec::new(),
            closing: false,
        }
    }

    pub(crate) async fn run(mut self) -> io::Result<()> {
        future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.closing {
            match self.poll_read(cx)? {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        self.poll_write(cx)
    }

    /// Reads once. False at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        INPUT.with_borrow_mut(|input| {
            let mut input = ReadBuf::new(input);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut input))?;
            if input.filled().is_empty() {
                return Poll::Ready(Ok(false));
            }
            if self.partial.is_empty() {
                let taken = self.receive(input.filled())?;
                self.partial.extend_from_slice(&input.filled()[taken..]);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(input.filled());
                let taken = self.receive(&whole)?;
                whole.drain(..taken);
                self.partial = whole;
            }
            Poll::Ready(Ok(true))
        })
    }

    /// Serves every whole request and frame of `input`; gives back how much of it that was.
    fn receive(&mut self, input: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.seat.is_none() {
            let Some(request) = Request::parse(&input[taken..]) else {
                if input.len() - taken > HEAD_BYTES_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                return Ok(taken);
            };
            taken += request.taken;
            self.serve(&request)?;
        }
        Ok(taken + self.fan_out(&input[taken..])?)
    }

    fn serve(&mut self, request: &Request<'_>) -> io::Result<()> {
        let Some(key) = request.key else {
            let page = self.page.0.clone();
            return self.write(&page);
        };
        let room = self.rooms.room(request.path);
        let seat = room.enter();
        self.seat = Some((room, seat));
        self.write(http::switching(key).as_bytes())
    }

    fn fan_out(&mut self, input: &[u8]) -> io::Result<usize> {
        let mut frames = Vec::new();
        let mut taken = 0;
        while let Some(frame) =
            frame::parse(&input[taken..]).map_err(|_| io::ErrorKind::InvalidData)?
        {
            taken += frame.taken;
            match frame.opcode {
                TEXT => frames.push(frame.ready),
                PING => self.write(&frame.ready)?,
                CLOSE => {
                    self.write(&frame.ready)?;
                    self.closing = true;
                    break;
                }
                _ => {}
            }
        }
        if let Some((room, _)) = &self.seat
            && !frames.is_empty()
        {
            room.send(&frames);
        }
        Ok(taken)
    }

    /// Writes at once what the socket takes, and keeps the rest.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = match self
            .unwritten
            .is_empty()
            .then(|| self.stream.try_write(bytes))
        {
            Some(Ok(written)) => written,
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => 0,
        };
        self.unwritten.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes all that waits. Ready when the connection has said its last word.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unwritten))?;
            self.unwritten.drain(..written);
        }
        if self.closing {
            return Poll::Ready(Ok(()));
        }
        let Some((_, seat)) = &self.seat else {
            return Poll::Pending;
        };
        if !seat.take(cx, &mut self.frames) {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        let frames = std::mem::take(&mut self.frames);
        let written = match frames.as_slice() {
            [] => Ok(()),
            [frame] => self.write(frame),
            // Copying small frames together is cheaper than telling the kernel of each.
            frames => BURST.with_borrow_mut(|burst| {
                burst.clear();
                frames
                    .iter()
                    .for_each(|frame| burst.extend_from_slice(frame));
                self.write(burst)
            }),
        };
        self.frames = frames;
        self.frames.clear();
        written?;
        if self.unwritten.is_empty() {
            Poll::Pending
        } else {
            self.poll_write(cx)
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some((room, seat)) = &self.seat {
            room.leave(seat);
        }
    }
}
