//! The reading side: bytes in, messages out. Parsing, masking, UTF-8, fragments and their limits are
//! tungstenite's; here it is fed without a socket, and thrown away between messages: an idle
//! connection holds no buffer.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    mem::take,
};

use tungstenite::{
    Error, Message,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use super::close;
use crate::hub::Close;

/// Read ahead of what is being served, at most.
const AHEAD_BYTES_MAX: usize = 8 << 10;
/// The parser's first buffer: most frames of a chat fit.
const BUFFER_BYTES: usize = 512;

thread_local! {
    /// Between messages one parser is as good as another, and making one costs more than a usual frame's parsing.
    static SPARE: Cell<Option<Box<WebSocketContext>>> = const { Cell::new(None) };
}

#[derive(Default)]
pub(super) struct Inbound {
    /// Came from the socket and isn't parsed yet, from `parsed` on.
    ahead: Vec<u8>,
    parsed: usize,
    /// Holds parts of a message, and perhaps whole ones: it takes more than it gives at once.
    parser: Option<Box<WebSocketContext>>,
    place: Place,
    /// The parser was asked since the last bytes came, and had nothing whole.
    is_drained: bool,
}

impl Inbound {
    /// Whether more may be read from the socket.
    pub(super) fn has_room(&self) -> bool {
        self.ahead.len() - self.parsed < AHEAD_BYTES_MAX
    }

    /// Takes what was read.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.parsed > 0 {
            self.ahead.drain(..take(&mut self.parsed));
        }
        self.ahead.extend_from_slice(bytes);
        self.is_drained = false;
    }

    /// The next whole message, if its last byte is here; or which rule was broken.
    pub(super) fn next(&mut self, bytes_max: usize) -> Result<Option<Message>, Close> {
        if self.parser.is_none() && self.parsed == self.ahead.len() {
            return Ok(None);
        }
        let parser = self
            .parser
            .get_or_insert_with(|| SPARE.take().unwrap_or_else(|| parser(bytes_max)));
        // It was made for another, or for one who has signed in since and may send larger ones.
        if parser.get_config().max_message_size != Some(bytes_max) {
            parser.set_config(|config| {
                config.max_message_size = Some(bytes_max);
                config.max_frame_size = Some(bytes_max);
            });
        }
        let mut source = Source {
            ahead: &self.ahead,
            parsed: &mut self.parsed,
            place: &mut self.place,
        };
        match parser.read(&mut source) {
            Ok(message) => Ok(Some(message)),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_drained = true;
                Ok(None)
            }
            Err(Error::Utf8(_)) => Err(close::NOT_UTF8),
            Err(Error::Capacity(_)) => Err(close::TOO_BIG),
            Err(_) => Err(close::PROTOCOL_ERROR),
        }
    }

    /// Gives back what an idle connection doesn't need.
    pub(super) fn rest(&mut self) {
        if self.parsed == self.ahead.len() {
            self.ahead = Vec::new();
            self.parsed = 0;
        }
        if self.is_drained
            && self.place.is_between_messages()
            && let Some(parser) = self.parser.take()
        {
            // It asked for more bytes last: so it stands open, and holds none.
            SPARE.set(Some(parser));
        }
    }
}

fn parser(bytes_max: usize) -> Box<WebSocketContext> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(bytes_max))
        .max_frame_size(Some(bytes_max));
    Box::new(WebSocketContext::new(Role::Server, Some(config)))
}

/// What tungstenite takes for its socket. What it writes of its own accord (pongs, answers to a
/// close) is dropped: the socket's task writes these itself, between two frames of its own.
struct Source<'a> {
    ahead: &'a [u8],
    parsed: &'a mut usize,
    place: &'a mut Place,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let unparsed = &self.ahead[*self.parsed..];
        let len = unparsed.len().min(buffer.len());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..len].copy_from_slice(&unparsed[..len]);
        self.place.advance(&unparsed[..len]);
        *self.parsed += len;
        Ok(len)
    }
}

impl Write for Source<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where among the frames the parser stands. It doesn't tell; between two messages it holds nothing
/// and can go.
#[derive(Default)]
struct Place {
    header: [u8; 14],
    header_len: usize,
    payload_left: u64,
    /// A message's first fragments have come, its last hasn't.
    in_message: bool,
}

impl Place {
    fn advance(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.payload_left > 0 {
                let len = self.payload_left.min(bytes.len() as u64);
                self.payload_left -= len;
                bytes = &bytes[len as usize..];
                continue;
            }
            self.header[self.header_len] = *first;
            self.header_len += 1;
            bytes = &bytes[1..];
            if let Some(payload_len) = payload_len(&self.header[..self.header_len]) {
                let (is_final, opcode) = (self.header[0] & 0x80 != 0, self.header[0] & 0x0f);
                if opcode < 8 {
                    self.in_message = !is_final;
                }
                self.payload_left = payload_len;
                self.header_len = 0;
            }
        }
    }

    fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.payload_left == 0 && !self.in_message
    }
}

/// The length of the payload, once the header is whole (RFC 6455, 5.2).
fn payload_len(header: &[u8]) -> Option<u64> {
    let second = *header.get(1)?;
    let mask_len = if second & 0x80 == 0 { 0 } else { 4 };
    let (length_len, short) = match second & 0x7f {
        126 => (2, None),
        127 => (8, None),
        short => (0, Some(u64::from(short))),
    };
    if header.len() < 2 + length_len + mask_len {
        return None;
    }
    let long = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |len, byte| len << 8 | u64::from(*byte))
    };
    Some(short.unwrap_or_else(|| long(&header[2..2 + length_len])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..=125 => bytes.push(0x80 | len as u8),
            len => {
                bytes.push(0x80 | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn the_parser_is_kept_exactly_as_long_as_a_message_is_unfinished() {
        let mut wire = frame(0x01, b"on");
        wire.extend(frame(0x89, b"ping between fragments"));
        wire.extend(frame(0x00, &[b'e'; 300]));
        wire.extend(frame(0x80, b"!"));
        let whole = wire.len();
        wire.extend(frame(0x81, b"two"));

        let mut inbound = Inbound::default();
        let mut heard = Vec::new();
        for (at, byte) in wire.iter().enumerate() {
            inbound.feed(&[*byte]);
            while let Some(message) = inbound.next(1000).unwrap() {
                heard.push(message.to_string());
            }
            inbound.rest();
            let is_between = at + 1 == whole || at + 1 == wire.len();
            assert_eq!(inbound.parser.is_none(), is_between, "after byte {at}");
            assert!(inbound.ahead.is_empty());
        }
        let long = format!("on{}!", "e".repeat(300));
        assert_eq!(heard, ["ping between fragments", &long, "two"]);
    }

    #[test]
    fn it_makes_no_difference_how_the_bytes_are_cut() {
        let mut wire = Vec::new();
        for len in [0, 1, 125, 126, 600, 5_000] {
            wire.extend(frame(0x81, &vec![b'x'; len]));
        }
        for step in [1, 2, 7, 100, 4096, wire.len()] {
            let mut inbound = Inbound::default();
            let mut lens = Vec::new();
            for piece in wire.chunks(step) {
                inbound.feed(piece);
                while let Some(message) = inbound.next(10_000).unwrap() {
                    lens.push(message.len());
                    inbound.rest();
                }
            }
            assert_eq!(lens, [0, 1, 125, 126, 600, 5_000], "in pieces of {step}");
        }
    }

    #[test]
    fn what_the_parser_has_taken_but_not_given_yet_is_not_thrown_away_while_the_task_sleeps() {
        let mut inbound = Inbound::default();
        inbound.feed(&[frame(0x81, b"one"), frame(0x81, b"two")].concat());
        for word in ["one", "two"] {
            let message = inbound.next(1000).unwrap();
            assert_eq!(message.map(|it| it.to_string()).as_deref(), Some(word));
            inbound.rest();
        }
        assert!(inbound.next(1000).unwrap().is_none());
    }

    #[test]
    fn a_connection_that_sent_much_keeps_nothing_of_it() {
        let mut inbound = Inbound::default();
        inbound.feed(&frame(0x81, &[b'x'; 60_000]));
        assert!(!inbound.has_room());
        assert!(inbound.next(65_536).unwrap().is_some());
        assert!(inbound.next(65_536).unwrap().is_none());
        inbound.rest();
        assert!(inbound.parser.is_none() && inbound.ahead.capacity() == 0);
    }
}
