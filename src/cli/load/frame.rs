//! RFC 6455 frames from the client's side: its own are masked, the server's are not.

use super::error::LoadError;

pub(super) const TEXT: u8 = 0x1;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Masks are there against proxies that take frames for requests; there is none on the way of a
/// load, so one key does for all.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// No server has reason to send a client of a chat more than this in one frame.
const FRAME_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A frame of the server's.
#[derive(Debug, PartialEq)]
pub(super) struct Frame<'a> {
    pub(super) opcode: u8,
    pub(super) payload: &'a [u8],
    /// Bytes of the whole frame, its header included.
    pub(super) taken: usize,
}

impl<'a> Frame<'a> {
    /// The first frame of `input`, or none while it isn't whole.
    pub(super) fn parse(input: &'a [u8]) -> Result<Option<Self>, LoadError> {
        let [first, second, rest @ ..] = input else {
            return Ok(None);
        };
        if first & FIN == 0 || first & 0x70 != 0 || second & MASKED != 0 {
            return Err(LoadError::Protocol(
                "a frame in fragments, compressed or masked",
            ));
        }
        let (length, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (u64::from(length), rest),
        };
        if length > FRAME_BYTES_MAX {
            return Err(LoadError::Protocol("a frame of more than 16 MiB"));
        }
        let Some(payload) = rest.get(..length as usize) else {
            return Ok(None);
        };
        let taken = input.len() - rest.len() + payload.len();
        Ok(Some(Self {
            opcode: first & 0x0f,
            payload,
            taken,
        }))
    }
}

/// Appends a frame with this payload to `out`.
pub(super) fn encode(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(FIN | opcode);
    match payload.len() {
        length @ 0..126 => out.push(MASKED | length as u8),
        length @ 126..0x1_0000 => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    for word in out[start..].chunks_mut(MASK.len()) {
        for (byte, mask) in word.iter_mut().zip(MASK) {
            *byte ^= mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![FIN | opcode];
        match payload.len() {
            length @ 0..126 => frame.push(length as u8),
            length @ 126..0x1_0000 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    #[test]
    fn a_frame_of_every_length_is_read_back() {
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000] {
            let payload = vec![b'x'; length];
            let mut input = of_server(TEXT, &payload);
            let taken = input.len();
            input.extend(b"next");
            let frame = Frame::parse(&input).unwrap().unwrap();
            assert_eq!(
                frame,
                Frame {
                    opcode: TEXT,
                    payload: &payload,
                    taken
                }
            );
        }
    }

    #[test]
    fn a_frame_that_lacks_its_last_byte_is_waited_for() {
        for length in [0, 125, 126, 0x1_0000] {
            let frame = of_server(PING, &vec![b'x'; length]);
            for end in [0, 1, 2, 3, frame.len() - 1] {
                let end = end.min(frame.len() - 1);
                assert_eq!(
                    Frame::parse(&frame[..end]).unwrap(),
                    None,
                    "{end} of {length}"
                );
            }
        }
    }

    #[test]
    fn fragments_compression_and_masks_are_refused() {
        for (first, second) in [(TEXT, 0), (FIN | 0x40 | TEXT, 0), (FIN | TEXT, MASKED)] {
            assert!(Frame::parse(&[first, second]).is_err());
        }
    }

    #[test]
    fn what_a_client_sends_unmasks_to_what_it_said() {
        for length in [0, 5, 125, 126, 0xffff, 0x1_0000] {
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut out = Vec::new();
            encode(TEXT, &payload, &mut out);
            let masked = out.split_off(out.len() - length);
            assert_eq!(out[0], FIN | TEXT);
            assert_eq!(out[out.len() - 4..], MASK);
            let unmasked: Vec<u8> = masked
                .iter()
                .enumerate()
                .map(|(i, b)| b ^ MASK[i % 4])
                .collect();
            assert_eq!(unmasked, payload);
        }
    }
}
