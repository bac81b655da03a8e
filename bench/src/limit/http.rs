//! The head of a request, and the two answers that there are.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use sha1::{Digest, Sha1};

/// The longest head that is taken.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// RFC 6455, section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The fixed answer, head and body in one piece.
#[derive(Clone)]
pub(crate) struct Page(pub(crate) Bytes);

impl Page {
    pub(crate) fn of(body_bytes: usize) -> Self {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {body_bytes}\r\n\r\n"
        );
        let mut page = head.into_bytes();
        page.resize(page.len() + body_bytes, b' ');
        Self(page.into())
    }
}

pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    /// The WebSocket key, where the client asks for an upgrade.
    pub(crate) key: Option<&'a str>,
    pub(crate) taken: usize,
}

impl<'a> Request<'a> {
    /// The first request of `input`, once its head is whole.
    pub(crate) fn parse(input: &'a [u8]) -> Option<Self> {
        let end = input.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = str::from_utf8(&input[..end]).unwrap_or_default();
        let mut lines = head.split("\r\n");
        let path = lines.next().and_then(|line| line.split(' ').nth(1));
        let key = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
            .map(|(_, value)| value.trim());
        Some(Self {
            path: path.unwrap_or_default(),
            key,
            taken: end + 4,
        })
    }
}

/// The answer to an upgrade with this key.
pub(crate) fn switching(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(ACCEPT_GUID);
    let accept = BASE64_STANDARD.encode(hash.finalize());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_answered_as_the_rfc_says() {
        let input = b"GET /ws/chat/1/ HTTP/1.1\r\nHost: a\r\nsec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81";
        let request = Request::parse(input).unwrap();
        assert_eq!(
            (request.path, request.taken),
            ("/ws/chat/1/", input.len() - 1)
        );
        assert!(
            switching(request.key.unwrap()).contains("accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
        );
    }

    #[test]
    fn a_plain_request_has_no_key_and_half_a_request_is_none() {
        let input = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        assert!(Request::parse(input).unwrap().key.is_none());
        assert!(Request::parse(&input[..input.len() - 1]).is_none());
    }

    #[test]
    fn the_page_has_the_bytes_that_it_promises() {
        let page = Page::of(1000);
        let head_bytes = page
            .0
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap()
            + 4;
        assert!(
            str::from_utf8(&page.0[..head_bytes])
                .unwrap()
                .contains("content-length: 1000\r\n")
        );
        assert_eq!(page.0.len() - head_bytes, 1000);
    }
}
