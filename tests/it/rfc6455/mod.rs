//! The WebSocket protocol at the level of frames: every case of the Autobahn|Testsuite without
//! compression (its groups 1 to 7, 9 and 10), under its number there.
//!
//! Two things differ on purpose: binary messages are refused (1003), and so is what has more than
//! 64 KiB (1009). A case that sends either is played up to its refusal; one that is too big is also
//! played with what fits, and its name says so. Where the suite lets a second pass to see that
//! nothing comes, a ping is answered in its place.

mod closing;
mod fragments;
mod frames;
mod limits;
mod utf8;

use std::collections::BTreeSet;

use tokio::io::AsyncWriteExt;

use crate::wire::*;

const WHOLE_TEXT: u8 = FIN | TEXT;
const WHOLE_BINARY: u8 = FIN | BINARY;
/// A fragment after the first: the last one, and one that others follow.
const LAST: u8 = FIN;
const MORE: u8 = 0;

const PROTOCOL: u16 = 1002;
const NO_BINARY: u16 = 1003;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// First byte and payload of a client's frame.
type Sent<'a> = (u8, &'a [u8]);

const EMPTY_PING: Sent<'_> = (FIN | PING, b"");

/// What 6.3 and 7.5 send: a surrogate in the midst of text.
const NOT_TEXT: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";

/// How the client cuts what it sends.
#[derive(Clone, Copy)]
enum Cut {
    Whole,
    ByFrame,
    ByOctet,
    Pieces(usize),
}
use Cut::{ByFrame, ByOctet, Pieces, Whole};

/// What happens on one connection.
struct Case {
    /// The case's number, and behind it how it differs from the suite's.
    name: String,
    steps: Vec<Step>,
    end: End,
}

#[derive(Clone)]
enum Step {
    Sends(Vec<u8>),
    Hears(Frame),
}

/// How the server ends it.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It doesn't, and answers a goodbye.
    Open,
    Code(u16),
    WithoutCode,
}

fn case(name: impl Into<String>) -> Case {
    Case {
        name: name.into(),
        steps: Vec::new(),
        end: End::Open,
    }
}

impl Case {
    fn sends(self, cut: Cut, frames: &[Sent<'_>]) -> Self {
        let frames = frames
            .iter()
            .map(|(first, payload)| octets(*first, payload));
        let frames: Vec<_> = frames.collect();
        match cut {
            Whole => self.sends_octets(&[&frames.concat()]),
            ByFrame => self.sends_octets(&frames),
            ByOctet => self.sends_octets(&frames.concat().chunks(1).collect::<Vec<_>>()),
            Pieces(len) => self.sends_octets(&frames.concat().chunks(len).collect::<Vec<_>>()),
        }
    }

    /// Sends what is no whole frame, in these pieces.
    fn sends_octets<P: AsRef<[u8]>>(mut self, pieces: &[P]) -> Self {
        let pieces = pieces.iter().map(|piece| piece.as_ref().to_vec());
        self.steps.extend(pieces.map(Step::Sends));
        self
    }

    fn hears(mut self, frames: &[Frame]) -> Self {
        self.steps.extend(frames.iter().cloned().map(Step::Hears));
        self
    }

    /// All so far, so many times.
    fn times(mut self, times: usize) -> Self {
        self.steps = vec![self.steps; times].concat();
        self
    }

    fn closed(mut self, code: u16) -> Self {
        self.end = End::Code(code);
        self
    }

    fn closed_without_code(mut self) -> Self {
        self.end = End::WithoutCode;
        self
    }
}

/// Plays cases one after the other. So many of the suite's numbers are among them.
async fn play(numbers: usize, cases: impl IntoIterator<Item = Case>) {
    let theatre = Theatre::start().await;
    let mut played = BTreeSet::new();
    for case in cases {
        let name = &case.name;
        // Where nothing comes at all, the deadline that ends the test can't name the case.
        println!("case {name}");
        let number = name.split(' ').next().expect("a number");
        played.insert(number.to_owned());
        let mut peer = theatre.enters().await;
        for step in &case.steps {
            match step {
                Step::Sends(octets) => {
                    // Where the server has refused already, the rest can't be sent.
                    let _ = peer.socket.write_all(octets).await;
                    tokio::task::yield_now().await;
                }
                Step::Hears(expected) => {
                    let heard = peer.hears().await;
                    assert!(
                        heard.as_ref() == Some(expected),
                        "{name}: {}",
                        unlike(heard.as_ref(), expected)
                    );
                }
            }
        }
        hears_the_end(&mut peer, name, case.end).await;
    }
    theatre.stop().await;
    assert_eq!(played.len(), numbers, "{played:?}");
}

async fn hears_the_end(peer: &mut Peer, name: &str, end: End) {
    if let End::Open = end {
        let goodbye = masked(FIN | CLOSE, &1000u16.to_be_bytes());
        peer.sends(&goodbye).await;
    }
    let last = peer.hears().await;
    let is_it = last.as_ref().is_some_and(|last| match end {
        End::Open => *last == closing(1000, ""),
        End::Code(code) => last.opcode == CLOSE && last.payload.starts_with(&code.to_be_bytes()),
        End::WithoutCode => *last == frame(CLOSE, b""),
    });
    let last = shown(last.as_ref());
    assert!(is_it, "{name}: ended with {last}, not {end:?}");
    let more = peer.hears().await;
    assert!(more.is_none(), "{name}: then came {}", shown(more.as_ref()));
}

/// What a person wants to know of two frames that should be the same.
fn unlike(heard: Option<&Frame>, expected: &Frame) -> String {
    let payload = heard.map_or(&[][..], |heard| &heard.payload);
    let pairs = payload.iter().zip(&expected.payload);
    let alike = pairs
        .take_while(|(heard, expected)| heard == expected)
        .count();
    let (heard, expected) = (shown(heard), shown(Some(expected)));
    format!("heard {heard}, not {expected}; the first {alike} octets are the same")
}

/// A frame for people: of a long one, how it begins.
fn shown(frame: Option<&Frame>) -> String {
    let Some(Frame { opcode, payload }) = frame else {
        return "the end of the stream".to_owned();
    };
    let begins = payload[..payload.len().min(40)].escape_ascii();
    format!("opcode {opcode}, {} octets: {begins}", payload.len())
}

/// The octets of a frame. In a test's build it takes seconds to mask the largest; by a key of zeros
/// theirs stay as they are.
fn octets(first: u8, payload: &[u8]) -> Vec<u8> {
    if payload.len() <= 64 << 10 {
        return masked(first, payload);
    }
    let len = (payload.len() as u64).to_be_bytes();
    [&[first, 0x80 | 127][..], &len, &[0; 4], payload].concat()
}

/// A text in which an octet at the wrong place shows.
fn letters(len: usize) -> Vec<u8> {
    let mut letters = b"abcdefghijklmnopqrstuvwxyz".repeat(len / 26 + 1);
    letters.truncate(len);
    letters
}

/// A message in fragments; `opcode` is TEXT or BINARY.
fn fragments(opcode: u8, payload: &[u8], len: usize) -> Vec<Sent<'_>> {
    let mut fragments: Vec<_> = payload.chunks(len).map(|part| (MORE, part)).collect();
    fragments[0].0 |= opcode;
    fragments.last_mut().expect("a fragment").0 |= FIN;
    fragments
}
