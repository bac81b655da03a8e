//! One accepted socket, whatever its kind, and the place that it takes among all that may be open.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

/// A client's socket. It holds its place among `MAX_CONNECTIONS` until it is dropped, so also after
/// an upgrade, in whoever's hands it is then.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    _place: Place,
}

/// What the socket is.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Locked by its one task alone: a lock since both directions share the session's state.
    Tls(Box<Mutex<TlsStream<TcpStream>>>),
}

impl Stream {
    pub(super) fn new(socket: Socket, place: Place) -> Self {
        Self {
            socket,
            _place: place,
        }
    }

    /// Makes the coming drop a reset: what wasn't sent is forgotten, the peer is told at once. For
    /// peers that take no bytes; the system would else hold them for minutes.
    pub fn reset_on_drop(&self) {
        // Fails only where the peer has reset the connection already.
        let _ = match &self.socket {
            Socket::Tcp(tcp) => tcp.set_zero_linger(),
            Socket::Tls(tls) => tls.lock().get_ref().0.set_zero_linger(),
            Socket::Unix(_) => Ok(()),
        };
    }

    /// Whether nobody on the way can read it.
    pub(super) fn is_secured(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }

    /// Whether `try_write` ever writes: under TLS its own task alone does.
    pub fn has_direct_line(&self) -> bool {
        !self.is_secured()
    }

    /// Writes what the peer takes at once; `WouldBlock` where that is nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.socket {
            Socket::Tcp(tcp) => tcp.try_write(bytes),
            Socket::Unix(unix) => unix.try_write(bytes),
            Socket::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// `AsyncWrite`'s for a stream that is shared. One task waits at a time.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(match &self.socket {
                Socket::Tcp(tcp) => tcp.poll_write_ready(cx),
                Socket::Unix(unix) => unix.poll_write_ready(cx),
                Socket::Tls(tls) => {
                    let mut tls = tls.lock();
                    // What it has taken goes first: so never more than one piece waits in it.
                    ready!(Pin::new(&mut *tls).poll_flush(cx))?;
                    return Pin::new(&mut *tls).poll_write(cx, bytes);
                }
            })?;
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Comes back when the peer has taken all that was written: under TLS some of it may wait to be sent.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Tcp(_) | Socket::Unix(_) => Poll::Ready(Ok(())),
            Socket::Tls(tls) => Pin::new(&mut *tls.lock()).poll_flush(cx),
        }
    }

    /// `AsyncRead`'s for a stream that is shared. One task waits at a time.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(match &self.socket {
                Socket::Tcp(tcp) => tcp.poll_read_ready(cx),
                Socket::Unix(unix) => unix.poll_read_ready(cx),
                Socket::Tls(tls) => return Pin::new(&mut *tls.lock()).poll_read(cx, buf),
            })?;
            let room = buf.remaining();
            let mut bytes = 0;
            // Where less came than fits there is no more: said so, the runtime asks the system again only once it has
            // told of more (what tokio's own `poll_read` does, which needs the stream for itself).
            let mut read = |socket: BorrowedFd<'_>| {
                bytes = rustix::io::read(socket, buf.initialize_unfilled())?;
                let has_more = bytes == 0 || bytes == room;
                has_more
                    .then_some(())
                    .ok_or(io::ErrorKind::WouldBlock.into())
            };
            let outcome = match &self.socket {
                // It has come back above.
                Socket::Tls(_) => return Poll::Pending,
                Socket::Tcp(tcp) => tcp.try_io(Interest::READABLE, || read(tcp.as_fd())),
                Socket::Unix(unix) => unix.try_io(Interest::READABLE, || read(unix.as_fd())),
            };
            match outcome {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                Err(_) if bytes == 0 => {}
                _ => {
                    buf.advance(bytes);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Tells the peer that nothing more comes.
    pub fn end_writing(&self) -> io::Result<()> {
        let socket = match &self.socket {
            Socket::Tcp(tcp) => tcp.as_fd(),
            Socket::Unix(unix) => unix.as_fd(),
            Socket::Tls(tls) => {
                // A word of its own goes before the end. Where there is no room for it nobody waits.
                let cx = &mut Context::from_waker(Waker::noop());
                return match Pin::new(&mut *tls.lock()).poll_shutdown(cx) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => Ok(()),
                };
            }
        };
        Ok(rustix::net::shutdown(socket, rustix::net::Shutdown::Write)?)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Socket::Unix(unix) => Pin::new(unix).poll_read(cx, buf),
            Socket::Tls(tls) => Pin::new(tls.get_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Socket::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
            Socket::Tls(tls) => Pin::new(tls.get_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Socket::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, slices),
            Socket::Tls(tls) => Pin::new(tls.get_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_flush(&self, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Socket::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Socket::Tls(tls) => Pin::new(tls.get_mut()).poll_shutdown(cx),
        }
    }
}

/// A stream while it speaks HTTP: it notes that bytes went either way, so that one that neither
/// sends nor takes any can be told from a slow one.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) stream: Stream,
    pub(super) moved: Arc<AtomicBool>,
}

impl Watched {
    fn note<T>(&self, outcome: Poll<T>) -> Poll<T> {
        if outcome.is_ready() {
            self.moved.store(true, Relaxed);
        }
        outcome
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(outcome)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How many sockets are open, and how many may be.
#[derive(Debug)]
pub(super) struct Places {
    taken: AtomicUsize,
    max: usize,
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            max,
        })
    }

    /// A place, if one is free.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let place = Place(self.clone());
        let before = self.taken.fetch_add(1, Relaxed);
        (before < self.max).then_some(place)
    }
}

/// One of the places; free again when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}
