//! An HTTP/1.1 client that sends exactly what a story says: one connection a request, no header
//! that the story didn't give but `Host`, `Connection` and `Content-Length`.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::within;

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// `target` is the path with its query.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// One header more; a second `Host` takes the first one's place.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signs the request in.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// A JSON body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().into_bytes())
    }

    /// Any body.
    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    /// What it looks like on the wire.
    fn bytes(&self, to: SocketAddr) -> Vec<u8> {
        let has = |name: &str| {
            self.headers
                .iter()
                .any(|(it, _)| it.eq_ignore_ascii_case(name))
        };
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !has("host") {
            head += &format!("Host: {to}\r\n");
        }
        if !has("connection") {
            head += "Connection: close\r\n";
        }
        let has_length = !self.body.is_empty() || matches!(&*self.method, "POST" | "PUT" | "PATCH");
        if has_length && !has("transfer-encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it but for its last bytes.
    pub(crate) async fn begins(&self, to: SocketAddr) -> Begun {
        let asked = format!("{} {}", self.method, self.target);
        let mut bytes = self.bytes(to);
        let last = bytes.split_off(bytes.len() - self.body.len().min(HELD_BACK));
        let mut stream = TcpStream::connect(to).await.expect("a server");
        stream.write_all(&bytes).await.expect("room to send");
        Begun {
            asked,
            stream,
            last,
        }
    }

    /// The answer to it.
    pub(crate) async fn send(&self, to: SocketAddr) -> Reply {
        match self.try_send(to).await {
            Ok(reply) => reply,
            Err(error) => panic!("{} {}: {error}", self.method, self.target),
        }
    }

    /// The answer to it, or why there is none: for servers that may be down.
    pub(crate) async fn try_send(&self, to: SocketAddr) -> std::io::Result<Reply> {
        let asked = format!("{} {}", self.method, self.target);
        let exchange = async {
            let mut stream = TcpStream::connect(to).await?;
            stream.write_all(&self.bytes(to)).await?;
            let mut answer = Vec::new();
            match stream.read_to_end(&mut answer).await {
                // Whoever answers before having read a large body resets what is left of it.
                Err(error) if answer.is_empty() => Err(error),
                _ => Ok(answer),
            }
        };
        let answer = within(&format!("the answer to {asked}"), exchange).await?;
        Reply::parse(asked, &answer).ok_or(std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// Bytes of a body that wait to be sent: more than the end of a form, without which it isn't whole.
const HELD_BACK: usize = 10;

/// A request whose last bytes wait to be sent.
pub(crate) struct Begun {
    asked: String,
    stream: TcpStream,
    last: Vec<u8>,
}

impl Begun {
    /// The answer to all of it.
    pub(crate) async fn ends(mut self) -> Reply {
        let exchange = async {
            // One that was answered already may not be listened to any more.
            let _ = self.stream.write_all(&self.last).await;
            let mut answer = Vec::new();
            let _ = self.stream.read_to_end(&mut answer).await;
            answer
        };
        let answer = within(&format!("the answer to {}", self.asked), exchange).await;
        Reply::parse(self.asked, &answer).expect("a whole answer")
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    asked: String,
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// An answer as it came, its connection closed. None where it was cut short.
    fn parse(asked: String, answer: &[u8]) -> Option<Self> {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let rest = &answer[end + 4..];
        let mut reply = Self {
            asked,
            status,
            headers,
            body: Vec::new(),
        };
        reply.body = match reply.header("transfer-encoding") {
            Some("chunked") => unchunk(rest)?,
            _ => rest.to_vec(),
        };
        let whole = reply
            .header("content-length")
            .and_then(|text| text.parse::<usize>().ok());
        let is_head = reply.asked.starts_with("HEAD ");
        match whole {
            Some(length) if !is_head && length != reply.body.len() => None,
            _ => Some(reply),
        }
    }

    /// A header's value; of several of one name, the first.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let wanted = name.to_ascii_lowercase();
        self.headers
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| &**value)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(error) => panic!("{}: {error} in {:?}", self.told(), self.text()),
        }
    }

    /// The body of an answer that must have this status; null where there is none.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.told(), self.text());
        match self.body.is_empty() {
            true => Value::Null,
            false => self.json(),
        }
    }

    fn told(&self) -> String {
        format!("{} was answered {}", self.asked, self.status)
    }
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
