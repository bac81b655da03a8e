//! RFC 6455 frames, as far as a client that behaves sends them: whole messages, masked.

use bytes::{BufMut, Bytes, BytesMut};

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The longest message that is taken, as in the service.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;

/// What a client sent, and how many bytes it took.
pub(crate) struct Incoming {
    pub(crate) opcode: u8,
    /// The frame as it goes out again: header and payload in one piece, shared by all receivers.
    pub(crate) ready: Bytes,
    pub(crate) taken: usize,
}

/// The first frame of `input`: none while it isn't whole, an error where it is too long.
pub(crate) fn parse(input: &[u8]) -> Result<Option<Incoming>, TooLong> {
    let [first, second, rest @ ..] = input else {
        return Ok(None);
    };
    let (length, rest) = match (second & 0x7f, rest) {
        (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        (126, _) => return Ok(None),
        (127, _) => return Err(TooLong),
        (length, rest) => (usize::from(length), rest),
    };
    if length > FRAME_BYTES_MAX {
        return Err(TooLong);
    }
    let Some((mask, rest)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let Some(payload) = rest.get(..length) else {
        return Ok(None);
    };
    let opcode = first & 0x0f;
    Ok(Some(Incoming {
        opcode,
        ready: ready(if opcode == PING { PONG } else { opcode }, payload, *mask),
        taken: input.len() - rest.len() + length,
    }))
}

/// A frame that is longer than `FRAME_BYTES_MAX`.
pub(crate) struct TooLong;

fn ready(opcode: u8, payload: &[u8], mask: [u8; 4]) -> Bytes {
    let mut frame = BytesMut::with_capacity(4 + payload.len());
    frame.put_u8(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => frame.put_u8(length as u8),
        length => {
            frame.put_u8(126);
            frame.put_u16(length as u16);
        }
    }
    let start = frame.len();
    frame.extend_from_slice(payload);
    for word in frame[start..].chunks_mut(4) {
        for (byte, mask) in word.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn from_client(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(
            payload
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ MASK[at % 4]),
        );
        frame
    }

    #[test]
    fn a_frame_goes_out_as_it_came_but_for_the_mask() {
        for length in [0, 1, 125, 126, 400] {
            let payload = vec![b'x'; length];
            let mut input = from_client(TEXT, &payload);
            for end in 0..input.len() {
                assert!(
                    matches!(parse(&input[..end]), Ok(None)),
                    "{end} of {length}"
                );
            }
            let whole = input.len();
            input.extend(b"next");
            let Ok(Some(frame)) = parse(&input) else {
                panic!("{length} bytes are no frame");
            };
            assert_eq!((frame.opcode, frame.taken), (TEXT, whole));
            assert!(frame.ready.ends_with(&payload));
            assert_eq!(frame.ready.len(), whole - MASK.len());
            assert_eq!(frame.ready[1] & 0x80, 0);
        }
    }

    #[test]
    fn a_ping_comes_back_as_a_pong_and_a_huge_frame_not_at_all() {
        let Ok(Some(pong)) = parse(&from_client(PING, b"hi")) else {
            panic!("no ping");
        };
        assert_eq!(pong.ready[..], [0x80 | PONG, 2, b'h', b'i']);
        assert!(parse(&[0x81, 0xff, 0, 0, 0, 0]).is_err());
    }
}
