//! A keep-alive connection for requests: what setting up needs, and what `rest` measures.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{error::LoadError, target::Target};

pub(super) struct Http {
    stream: TcpStream,
    input: Vec<u8>,
}

/// A request, ready to be sent any number of times.
pub(super) struct Request {
    /// Method and path, for an error.
    name: String,
    bytes: Vec<u8>,
}

impl Request {
    pub(super) fn get(target: &Target, path: &str, token: Option<&str>) -> Self {
        Self::new(target, "GET", path, token, "")
    }

    pub(super) fn post(target: &Target, path: &str, token: &str, body: &str) -> Self {
        Self::new(target, "POST", path, Some(token), body)
    }

    fn new(target: &Target, method: &str, path: &str, token: Option<&str>, body: &str) -> Self {
        let name = format!("{method} {path}");
        let mut head = format!(
            "{name} HTTP/1.1\r\nhost: {}\r\naccept: application/json\r\n",
            target.host
        );
        if let Some(token) = token {
            head += &format!("authorization: Bearer {token}\r\n");
        }
        if !body.is_empty() {
            head += &format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            );
        }
        Self {
            name,
            bytes: format!("{head}\r\n{body}").into_bytes(),
        }
    }
}

impl Http {
    pub(super) async fn connect(target: &Target, number: usize) -> Result<Self, LoadError> {
        Ok(Self {
            stream: target.connect(number).await?,
            input: Vec::with_capacity(64 * 1024),
        })
    }

    /// The body of the answer, which has to be a good one.
    pub(super) async fn request(&mut self, request: &Request) -> Result<Vec<u8>, LoadError> {
        let broken = |cause| LoadError::Io("a request failed", cause);
        self.stream
            .write_all(&request.bytes)
            .await
            .map_err(broken)?;
        loop {
            if let Some(response) = Response::parse(&self.input)? {
                self.input.drain(..response.taken);
                return match response.status {
                    200..300 => Ok(response.body),
                    status => Err(LoadError::Answer {
                        request: request.name.clone(),
                        status,
                        body: String::from_utf8_lossy(&response.body)
                            .chars()
                            .take(300)
                            .collect(),
                    }),
                };
            }
            if self
                .stream
                .read_buf(&mut self.input)
                .await
                .map_err(broken)?
                == 0
            {
                return Err(LoadError::Protocol("a connection ended before its answer"));
            }
        }
    }
}

#[derive(Debug, PartialEq)]
struct Response {
    status: u16,
    body: Vec<u8>,
    taken: usize,
}

impl Response {
    /// The first response of `input`, or none while it isn't whole.
    fn parse(input: &[u8]) -> Result<Option<Self>, LoadError> {
        let Some(head_bytes) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = str::from_utf8(&input[..head_bytes]).unwrap_or_default();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or(LoadError::Protocol("an answer without a status"))?;
        let header = |name: &str| {
            let mut pairs = lines.clone().filter_map(|line| line.split_once(':'));
            pairs
                .find(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
        };
        let rest = &input[head_bytes + 4..];
        let body = if header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            unchunk(rest)?
        } else {
            let length = header("content-length").map_or(Ok(0), str::parse::<usize>);
            let length = length.map_err(|_| LoadError::Protocol("an answer with a bad length"))?;
            rest.get(..length).map(|body| (body.to_vec(), length))
        };
        Ok(body.map(|(body, length)| Self {
            status,
            body,
            taken: head_bytes + 4 + length,
        }))
    }
}

/// The body that stands in chunks, and the bytes that they took; none while the last one isn't there.
fn unchunk(mut input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, LoadError> {
    let (whole, mut body) = (input.len(), Vec::new());
    loop {
        let Some(line) = input.windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let size = str::from_utf8(&input[..line])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size
            .filter(|size| *size < 1 << 30)
            .ok_or(LoadError::Protocol("a chunk without a size"))?;
        let (chunk, next) = (line + 2, line + 2 + size + 2);
        if input.len() < next {
            return Ok(None);
        }
        body.extend_from_slice(&input[chunk..chunk + size]);
        input = &input[next..];
        if size == 0 {
            return Ok(Some((body, whole - input.len())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_read(answer: &str, status: u16, body: &str) {
        for end in 0..answer.len() {
            assert_eq!(
                Response::parse(&answer.as_bytes()[..end]).unwrap(),
                None,
                "{end}"
            );
        }
        let two = format!("{answer}HTTP/1.1 200 OK");
        let expected = Response {
            status,
            body: body.into(),
            taken: answer.len(),
        };
        assert_eq!(Response::parse(two.as_bytes()).unwrap(), Some(expected));
    }

    #[test]
    fn an_answer_is_read_when_it_is_whole_and_no_further() {
        assert_read(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello",
            200,
            "hello",
        );
        assert_read(
            "HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n",
            404,
            "",
        );
        assert_read("HTTP/1.1 204 No Content\r\nserver: a\r\n\r\n", 204, "");
    }

    #[test]
    fn chunks_are_put_together() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_read(
            &format!("{head}5\r\nhello\r\nA\r\n, world...\r\n0\r\n\r\n"),
            200,
            "hello, world...",
        );
        assert_read(&format!("{head}0\r\n\r\n"), 200, "");
    }

    #[test]
    fn nonsense_is_an_error() {
        for answer in [
            "x\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        ] {
            assert!(Response::parse(answer.as_bytes()).is_err(), "{answer}");
        }
        let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n";
        assert!(Response::parse(endless.as_bytes()).is_err());
    }
}
