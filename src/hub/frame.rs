//! A frame that is ready to be written: header and payload in one shared buffer, made once however
//! many connections it goes to.
//!
//! Not here: what a frame says (the dialects), who gets it (the hub).

use bytes::Bytes;
use entity::ChatId;
use serde::Serialize;

/// The longest header of an unmasked frame: two bytes and a length of eight.
const HEADER_BYTES_MAX: usize = 10;
/// Room for a usual frame (a message of some 100 characters), so that most need one allocation.
const JSON_BYTES_USUAL: usize = 512;

/// Frames of at most so many bytes are joined: once begun, they are all written, also where the connection is ending.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// A whole, final WebSocket frame of the server's (unmasked), or several that go together. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct SharedFrame {
    bytes: Bytes,
    /// How many of the protocol's it is.
    count: u32,
    ephemeral: bool,
    pub(super) lane: Lane,
    /// The chat whose event it tells.
    pub(super) chat: Option<ChatId>,
}

/// By which rule a frame waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Pushed by the hub: counted against the connection's bounds until it is written.
    Queue,
    /// An answer to the connection's own request: outside the bounds, one request at a time.
    Answer,
    /// Ping, pong, close.
    Control,
}

/// The first byte of a frame: FIN and the opcode (RFC 6455, 5.2).
#[derive(Debug, Clone, Copy)]
enum First {
    Text = 0x81,
    Close = 0x88,
    Ping = 0x89,
    Pong = 0x8a,
}

impl SharedFrame {
    /// A text frame. The payload is UTF-8: it was a `str`.
    pub fn text(payload: &str) -> Self {
        Self::copy(First::Text, payload.as_bytes(), Lane::Queue)
    }

    /// A text frame that holds `value` as JSON, serialised in place behind its header.
    ///
    /// # Panics
    /// Where `Serialize` fails: a map with keys that aren't strings. No view of ours has one.
    pub fn json(value: &impl Serialize) -> Self {
        let mut bytes = Vec::with_capacity(JSON_BYTES_USUAL);
        bytes.resize(HEADER_BYTES_MAX, 0);
        serde_json::to_writer(&mut bytes, value).expect("a view serialises");
        let (header, header_len) = header(First::Text, bytes.len() - HEADER_BYTES_MAX);
        let start = HEADER_BYTES_MAX - header_len;
        bytes[start..HEADER_BYTES_MAX].copy_from_slice(&header[..header_len]);
        if bytes.capacity() > 2 * bytes.len() && bytes.len() > JSON_BYTES_USUAL {
            bytes.shrink_to_fit();
        }
        Self {
            bytes: Bytes::from(bytes).slice(start..),
            count: 1,
            ephemeral: false,
            lane: Lane::Queue,
            chat: None,
        }
    }

    /// The same frame as one that may be lost: it tells a passing state (typing, presence), which
    /// the next such frame repairs. These go first when a queue is full.
    #[must_use]
    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    /// Whether this frame may be lost.
    pub fn is_ephemeral(&self) -> bool {
        self.ephemeral
    }

    /// The frame as it goes over the wire.
    pub fn wire(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says, frame for frame, without their headers.
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.wire();
        std::iter::from_fn(move || {
            let (start, len) = match *rest {
                [_, 126, a, b, ..] => (4, u64::from(u16::from_be_bytes([a, b]))),
                [_, 127, a, b, c, d, e, f, g, h, ..] => {
                    (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
                }
                [_, len, ..] => (2, u64::from(len)),
                _ => return None,
            };
            let end = usize::try_from(len).ok()?.checked_add(start)?;
            let payload = rest.get(start..end)?;
            rest = &rest[end..];
            Some(payload)
        })
    }

    /// The same frames, those that follow each other in one buffer as far as they may be: the hub's, of one chat, none of
    /// which may be lost.
    pub(super) fn joined(frames: Vec<SharedFrame>) -> Vec<SharedFrame> {
        let mut joined: Vec<SharedFrame> = Vec::new();
        let fits = |one: &SharedFrame, other: &SharedFrame| {
            let of_one_kind = one.lane == other.lane && one.chat == other.chat;
            let stay = !one.ephemeral && !other.ephemeral && one.lane == Lane::Queue;
            of_one_kind && stay
        };
        for run in frames.chunk_by(fits) {
            let mut rest = run;
            while let [first, ..] = rest {
                let mut bytes = 0;
                let together = rest.iter().take_while(|frame| {
                    bytes += frame.len();
                    bytes <= JOINED_BYTES_MAX
                });
                let (now, later) = rest.split_at(together.count().max(1));
                rest = later;
                joined.push(match now {
                    [one] => one.clone(),
                    several => SharedFrame {
                        bytes: several
                            .iter()
                            .map(Self::wire)
                            .collect::<Vec<_>>()
                            .concat()
                            .into(),
                        count: several.iter().map(|frame| frame.count).sum(),
                        ..first.clone()
                    },
                });
            }
        }
        joined
    }

    /// How many of the protocol's frames it is.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Its length on the wire.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Ping and close: what a connection that is cut short still sends.
    pub(crate) fn is_control(&self) -> bool {
        self.lane == Lane::Control
    }

    pub(crate) fn ping() -> Self {
        Self {
            bytes: Bytes::from_static(&[First::Ping as u8, 0]),
            count: 1,
            ephemeral: false,
            lane: Lane::Control,
            chat: None,
        }
    }

    /// Answers a ping with its own payload (at most 125 bytes, as the reader has checked).
    pub(crate) fn pong(payload: &[u8]) -> Self {
        Self::copy(First::Pong, payload, Lane::Control)
    }

    /// The last frame: code and reason, cut to what a control frame may hold; without a code, empty.
    pub(crate) fn close(code: Option<u16>, reason: &str) -> Self {
        let mut payload = Vec::new();
        if let Some(code) = code {
            payload.extend_from_slice(&code.to_be_bytes());
            payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(123)]);
        }
        Self::copy(First::Close, &payload, Lane::Control)
    }

    pub(super) fn of(mut self, chat: ChatId) -> Self {
        self.chat = Some(chat);
        self
    }

    pub(super) fn in_lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    fn copy(first: First, payload: &[u8], lane: Lane) -> Self {
        let (header, header_len) = header(first, payload.len());
        let mut bytes = Vec::with_capacity(header_len + payload.len());
        bytes.extend_from_slice(&header[..header_len]);
        bytes.extend_from_slice(payload);
        Self {
            bytes: bytes.into(),
            count: 1,
            ephemeral: false,
            lane,
            chat: None,
        }
    }
}

/// A header and how many of its bytes count (RFC 6455, 5.2: the shortest form of the length).
fn header(first: First, payload_len: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut header = [0; HEADER_BYTES_MAX];
    header[0] = first as u8;
    match payload_len {
        0..=125 => {
            header[1] = payload_len as u8;
            (header, 2)
        }
        126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
            (header, 4)
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
            (header, 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_written_in_its_shortest_form() {
        for (payload_len, start) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let payload = "x".repeat(payload_len);
            let frame = SharedFrame::text(&payload);
            assert_eq!(&frame.wire()[..start.len()], start, "{payload_len}");
            assert!(frame.payloads().eq([payload.as_bytes()]));
            assert_eq!(frame.len(), start.len() + payload_len);
        }
    }

    #[test]
    fn json_written_in_place_is_the_same_frame_as_its_text() {
        for len in [0, 1, 120, 130, 70_000] {
            let value = serde_json::json!({ "type": "message", "text": "я".repeat(len) });
            let text = SharedFrame::text(&value.to_string());
            assert_eq!(SharedFrame::json(&value).wire(), text.wire());
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let close = SharedFrame::close(Some(4002), &"й".repeat(100));
        assert_eq!(close.wire()[..4], [0x88, 124, 0x0f, 0xa2]);
        let payload = close.payloads().next().unwrap();
        assert_eq!(&payload[2..], "й".repeat(61).as_bytes());
        assert_eq!(SharedFrame::close(None, "").wire(), [0x88, 0]);
    }

    #[test]
    fn frames_that_go_together_are_the_same_bytes_in_fewer_pieces() {
        let here = |text: &str| SharedFrame::text(text).of(ChatId(1));
        let long = "x".repeat(JOINED_BYTES_MAX - 100);
        let longer = "x".repeat(70_000);
        let frames = vec![
            here("one"),
            here("two"),
            here("typing").ephemeral(),
            here("three"),
            SharedFrame::text("of no chat"),
            here(&long),
            here(&longer),
            here("four"),
            here(""),
            here(&long),
        ];
        let payloads = |frames: &[SharedFrame]| {
            let all = frames.iter().flat_map(SharedFrame::payloads);
            all.map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let joined = SharedFrame::joined(frames.clone());
        assert_eq!(payloads(&joined), payloads(&frames));
        let counts = joined.iter().map(SharedFrame::count);
        assert_eq!(counts.collect::<Vec<_>>(), [2, 1, 1, 1, 1, 1, 3]);
        assert!(joined[1].is_ephemeral());
    }
}
