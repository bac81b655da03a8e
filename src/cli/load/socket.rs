//! A WebSocket client that costs little: one buffer for all of them, frames read where they lie.

use std::{
    cell::RefCell,
    future, mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::{
    error::LoadError,
    frame::{self, CLOSE, Frame, PING, PONG, TEXT},
    target::Target,
};

/// One read takes at most this much.
const READ_BYTES: usize = 64 * 1024;

/// No head of an upgrade's answer is longer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a closed connection may take to end.
const CLOSING: Duration = Duration::from_secs(5);

thread_local! {
    // Stays in the cache, and saves each connection a buffer of its own.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

pub(super) struct Socket {
    stream: TcpStream,
    /// The beginning of a frame whose end hasn't come.
    partial: Vec<u8>,
    unwritten: Vec<u8>,
}

impl Socket {
    /// Connection `number`, upgraded at `path`.
    pub(super) async fn open(
        target: &Target,
        number: usize,
        path: &str,
        token: Option<&str>,
    ) -> Result<Self, LoadError> {
        let broken = |cause| LoadError::Io("an upgrade failed", cause);
        let mut stream = target.connect(number).await?;
        let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
            target.host,
            authorization.unwrap_or_default(),
        );
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut input = Vec::with_capacity(512);
        let head_bytes = loop {
            if stream.read_buf(&mut input).await.map_err(broken)? == 0
                || input.len() > HEAD_BYTES_MAX
            {
                return Err(LoadError::Protocol("an upgrade got no answer"));
            }
            if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let partial = input.split_off(head_bytes);
        let answer = String::from_utf8_lossy(&input);
        if answer.split(' ').nth(1) != Some("101") {
            let line = answer.lines().next().unwrap_or_default();
            return Err(LoadError::Refused(format!("GET {path}: {line}")));
        }
        Ok(Self {
            stream,
            partial,
            unwritten: Vec::new(),
        })
    }

    /// Puts a text frame behind what waits to be written; `turn` writes it.
    pub(super) fn queue(&mut self, text: &[u8]) {
        frame::encode(TEXT, text, &mut self.unwritten);
    }

    /// Writes what waits, and reads until something came. Every text is handed to `hear`. Giving it
    /// up half-way loses nothing.
    pub(super) async fn turn(
        &mut self,
        mut hear: impl FnMut(&[u8]) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        // The answer to the upgrade may have brought frames along.
        if !self.partial.is_empty() {
            let early = mem::take(&mut self.partial);
            let taken = self.receive(&early, &mut hear)?;
            self.partial.extend_from_slice(&early[taken..]);
            if taken > 0 {
                return Ok(());
            }
        }
        future::poll_fn(|cx| self.poll_turn(cx, &mut hear)).await
    }

    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        hear: &mut impl FnMut(&[u8]) -> Result<(), LoadError>,
    ) -> Poll<Result<(), LoadError>> {
        let mut has_read = false;
        while self.poll_read(cx, hear)?.is_ready() {
            has_read = true;
        }
        while !self.unwritten.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unwritten) {
                Poll::Ready(Ok(written)) => drop(self.unwritten.drain(..written)),
                Poll::Ready(Err(cause)) => {
                    return Poll::Ready(Err(LoadError::Io("a write failed", cause)));
                }
                Poll::Pending => break,
            }
        }
        if has_read {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        hear: &mut impl FnMut(&[u8]) -> Result<(), LoadError>,
    ) -> Poll<Result<(), LoadError>> {
        INPUT.with_borrow_mut(|input| {
            let mut input = ReadBuf::new(input);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut input));
            read.map_err(|cause| LoadError::Io("a read failed", cause))?;
            let input = input.filled();
            if input.is_empty() {
                return Poll::Ready(Err(LoadError::Closed("without a code".into())));
            }
            if self.partial.is_empty() {
                let taken = self.receive(input, hear)?;
                self.partial.extend_from_slice(&input[taken..]);
            } else {
                let mut whole = mem::take(&mut self.partial);
                whole.extend_from_slice(input);
                let taken = self.receive(&whole, hear)?;
                whole.drain(..taken);
                self.partial = whole;
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Hands on every whole frame of `input`; gives back how much of it that was.
    fn receive(
        &mut self,
        input: &[u8],
        hear: &mut impl FnMut(&[u8]) -> Result<(), LoadError>,
    ) -> Result<usize, LoadError> {
        let mut taken = 0;
        while let Some(frame) = Frame::parse(&input[taken..])? {
            taken += frame.taken;
            match frame.opcode {
                TEXT => hear(frame.payload)?,
                PING => frame::encode(PONG, frame.payload, &mut self.unwritten),
                CLOSE => return Err(LoadError::Closed(close_reason(frame.payload))),
                _ => {}
            }
        }
        Ok(taken)
    }

    /// Says goodbye, and waits until the server has let go.
    pub(super) async fn close(mut self) {
        frame::encode(CLOSE, &1000_u16.to_be_bytes(), &mut self.unwritten);
        let goodbye = async {
            self.stream.write_all(&self.unwritten).await?;
            let mut rest = [0; 1024];
            while self.stream.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        };
        // Who doesn't let go in time is dropped: the load has what it came for.
        drop(timeout(CLOSING, goodbye).await);
    }
}

fn close_reason(payload: &[u8]) -> String {
    match payload.split_first_chunk::<2>() {
        Some((code, reason)) => format!(
            "{} {}",
            u16::from_be_bytes(*code),
            String::from_utf8_lossy(reason)
        )
        .trim_end()
        .to_owned(),
        None => "without a code".to_owned(),
    }
}
