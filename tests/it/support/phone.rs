//! A WebSocket client that speaks the chat dialect, and checks what it hears: numbered events come
//! in order, once each, without a gap.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message as Ws,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
        protocol::CloseFrame,
    },
};

use super::{Message, until, within};

/// A handshake to be tried.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    to: SocketAddr,
    target: String,
    headers: Vec<(String, String)>,
    is_narrow: bool,
}

/// Why a handshake gave no socket.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// The end of a connection, as the server told it. 1006: it told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// What comes next on a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Frame(Value),
    Closed(Close),
}

impl Handshake {
    pub(crate) fn new(to: SocketAddr, target: &str) -> Self {
        Self {
            to,
            target: target.to_owned(),
            headers: Vec::new(),
            is_narrow: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Through a network that holds a few KiB and no more: a client that doesn't read is soon felt.
    pub(crate) fn through_a_narrow_network(mut self) -> Self {
        self.is_narrow = true;
        self
    }

    /// A phone with nothing heard yet, or the refusal before there was a socket.
    pub(crate) async fn open(&self) -> Result<Phone, Refused> {
        match self.try_open().await {
            Ok(phone) => Ok(phone),
            Err(tungstenite::Error::Http(response)) => Err(Refused {
                status: response.status().as_u16(),
                body: String::from_utf8_lossy(response.body().as_deref().unwrap_or_default())
                    .into(),
            }),
            Err(error) => panic!("no handshake with {}: {error}", self.target),
        }
    }

    async fn try_open(&self) -> Result<Phone, tungstenite::Error> {
        let url = format!("ws://{}{}", self.to, self.target);
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().expect("a header's name");
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
            request.headers_mut().insert(name, value);
        }
        let socket = TcpSocket::new_v4()?;
        if self.is_narrow {
            socket.set_recv_buffer_size(4096)?;
        }
        let stream = socket.connect(self.to).await?;
        stream.set_nodelay(true)?;
        let handshake = client_async(request, stream);
        let (socket, response) = within("the answer to a handshake", handshake).await?;
        Ok(Phone {
            name: self.target.clone(),
            protocol: header(&response, "sec-websocket-protocol"),
            socket,
            seq: None,
            chats: HashMap::new(),
            hello: Value::Null,
            log: Vec::new(),
            hears_presence: false,
        })
    }

    /// A phone that is in, `connection_established` heard; else how it was sent away.
    pub(crate) async fn enter(&self) -> Result<Phone, Close> {
        match self.open().await {
            Ok(phone) => phone.greeted().await,
            Err(refused) => panic!("{} refused with {refused:?}", self.target),
        }
    }

    /// As `enter`, for servers that may be down or going down: none then.
    pub(crate) async fn try_enter(&self) -> Option<Phone> {
        self.try_open().await.ok()?.greeted().await.ok()
    }
}

fn header<B>(response: &tungstenite::http::Response<B>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// One connection of somebody.
pub(crate) struct Phone {
    pub(crate) name: String,
    /// The subprotocol that the server chose.
    pub(crate) protocol: Option<String>,
    /// `connection_established`.
    pub(crate) hello: Value,
    socket: WebSocketStream<TcpStream>,
    /// The number of the last event heard; the next numbered one must follow it.
    seq: Option<i64>,
    /// The same of each chat, where it hears many.
    chats: HashMap<i64, i64>,
    log: Vec<Value>,
    hears_presence: bool,
}

impl Phone {
    /// From now on it hears who comes and goes, too.
    pub(crate) fn hears_presence(mut self) -> Self {
        self.hears_presence = true;
        self
    }

    /// The number of the last event heard: what a client keeps for `since`.
    pub(crate) fn seq(&self) -> i64 {
        self.seq.expect("a phone that is connected to a chat")
    }

    /// Says from which number the replay that was asked for continues.
    pub(crate) fn resumes_from(&mut self, seq: i64) {
        self.seq = Some(seq);
    }

    /// Says from which number the replay of a chat that was asked for continues, where it hears many.
    pub(crate) fn resumes_chat_from(&mut self, chat: i64, seq: i64) {
        self.chats.insert(chat, seq);
    }

    /// From now on it hears whatever comes, in any order: who floods asks for the same again and again.
    pub(crate) fn minds_no_order(&mut self) {
        self.seq = None;
    }

    /// Every numbered frame heard so far.
    pub(crate) fn log(&self) -> &[Value] {
        &self.log
    }

    /// In, or sent away: the first thing heard tells.
    async fn greeted(mut self) -> Result<Self, Close> {
        match self.next().await {
            Heard::Frame(hello) => {
                assert_eq!(hello["type"], "connection_established", "{hello}");
                self.seq = hello["seq"].as_i64();
                for chat in hello["chats"].as_array().into_iter().flatten() {
                    let number = |key: &str| chat[key].as_i64().expect("a number");
                    self.chats.insert(number("id"), number("seq"));
                }
                self.hello = hello;
                Ok(self)
            }
            Heard::Closed(close) => Err(close),
        }
    }

    // What it sends.

    pub(crate) async fn sends(&mut self, frame: Value) {
        self.sends_text(&frame.to_string()).await;
    }

    pub(crate) async fn sends_text(&mut self, frame: &str) {
        self.sends_raw(Ws::text(frame)).await;
    }

    pub(crate) async fn sends_raw(&mut self, frame: Ws) {
        let sent = within("room to send", self.socket.send(frame)).await;
        if let Err(error) = sent {
            panic!("{}: nothing can be sent: {error}", self.name);
        }
    }

    /// As `sends`, but for connections that may have ended: whether it went out.
    pub(crate) async fn tries_to_send(&mut self, frame: Value) -> bool {
        let frame = Ws::text(frame.to_string());
        within("room to send", self.socket.send(frame))
            .await
            .is_ok()
    }

    pub(crate) async fn says(&mut self, text: &str) {
        self.sends(json!({"type": "message", "text": text})).await;
    }

    pub(crate) async fn says_as(&mut self, client_id: &str, text: &str) {
        let frame = json!({"type": "message", "text": text, "client_id": client_id});
        self.sends(frame).await;
    }

    pub(crate) async fn types(&mut self, is_typing: bool) {
        self.sends(json!({"type": "typing", "is_typing": is_typing}))
            .await;
    }

    pub(crate) async fn reads(&mut self) {
        self.sends(json!({"type": "read_messages"})).await;
    }

    /// Asks for what happened after `since`.
    pub(crate) async fn syncs(&mut self, since: i64) {
        self.sends(json!({"type": "sync", "since": since})).await;
        self.seq = Some(since);
    }

    // What it hears.

    /// The next frame, or the end.
    pub(crate) async fn next(&mut self) -> Heard {
        let what = format!(
            "what {} hears next (after {:?})",
            self.name,
            self.log.last()
        );
        within(&what, self.next_whenever()).await
    }

    /// The same without a deadline, for whoever waits for several things at once. Who is online is passed over,
    /// but for the stories about that.
    pub(crate) async fn next_whenever(&mut self) -> Heard {
        loop {
            match self.socket.next().await {
                Some(Ok(Ws::Text(text))) => {
                    let frame: Value = match serde_json::from_str(&text) {
                        Ok(frame) => frame,
                        Err(error) => panic!("{} heard no JSON: {error}: {text}", self.name),
                    };
                    let tells_presence = matches!(
                        frame["type"].as_str(),
                        Some("presence" | "user_online" | "user_offline")
                    );
                    if tells_presence && !self.hears_presence {
                        continue;
                    }
                    self.checks_order(&frame);
                    return Heard::Frame(frame);
                }
                Some(Ok(Ws::Close(close))) => return Heard::Closed(close.into()),
                Some(Ok(Ws::Binary(bytes))) => panic!("{} heard binary {bytes:?}", self.name),
                Some(Ok(Ws::Ping(_) | Ws::Pong(_) | Ws::Frame(_))) => {}
                Some(Err(_)) | None => {
                    return Heard::Closed(Close {
                        code: 1006,
                        reason: String::new(),
                    });
                }
            }
        }
    }

    /// The next frame as it came, whatever it is written in.
    pub(crate) async fn next_text(&mut self) -> String {
        let what = format!("a text that {} hears", self.name);
        within(&what, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Ws::Text(text))) => return text.to_string(),
                    Some(Ok(Ws::Ping(_) | Ws::Pong(_))) => {}
                    other => panic!("{} heard {other:?}", self.name),
                }
            }
        })
        .await
    }

    /// The next frame or the end; none where nothing came for so long. For whoever reads on until
    /// there is no more, and asks elsewhere whether that is so.
    pub(crate) async fn next_unless_silent(&mut self, pause: Duration) -> Option<Heard> {
        tokio::time::timeout(pause, self.next_whenever()).await.ok()
    }

    /// The same in all chats at once: each chat's events come in their own order.
    fn checks_order_of_chat(&mut self, frame: &Value, chat: i64) {
        let Some(seq) = frame["seq"].as_i64() else {
            return;
        };
        let is_event = !matches!(frame["type"].as_str(), Some("synced")) && frame["repeat"] != true;
        let last = self.chats.get(&chat).copied();
        if let Some(last) = last.filter(|_| is_event) {
            let told = format!("{} heard {frame} after number {last}", self.name);
            assert_eq!(seq, last + 1, "{told}: lost, repeated or out of order");
        }
        self.chats.insert(chat, seq);
    }

    fn checks_order(&mut self, frame: &Value) {
        if let Some(chat) = frame["chat_id"].as_i64().filter(|_| self.seq.is_none()) {
            return self.checks_order_of_chat(frame, chat);
        }
        let (Some(seq), Some(last)) = (frame["seq"].as_i64(), self.seq) else {
            return;
        };
        match frame["type"].as_str() {
            Some("connection_established") => {}
            Some("synced") if frame["reset"] == true => self.seq = Some(seq),
            Some("synced") => assert_eq!(
                seq, last,
                "{} was told {frame}, but the last event that it heard was {last}",
                self.name
            ),
            Some("message") if frame["repeat"] == true => {}
            _ => {
                assert_eq!(
                    seq,
                    last + 1,
                    "{} heard {frame} after number {last}: lost, repeated or out of order",
                    self.name
                );
                self.seq = Some(seq);
                self.log.push(frame.clone());
            }
        }
    }

    /// The next frame.
    #[track_caller]
    pub(crate) fn next_frame(&mut self) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            match self.next().await {
                Heard::Frame(frame) => frame,
                Heard::Closed(close) => {
                    panic!("{}, asked at {at}: closed with {close:?}", self.name)
                }
            }
        }
    }

    /// The next frame, which must be of this type.
    #[track_caller]
    pub(crate) fn hears(&mut self, kind: &str) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let frame = self.next_frame().await;
            assert_eq!(
                frame["type"], kind,
                "{}, asked at {at}, heard {frame}",
                self.name
            );
            frame
        }
    }

    /// The next frame of this type; others are passed over.
    #[track_caller]
    pub(crate) fn hears_at_last(&mut self, kind: &str) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            loop {
                match self.next().await {
                    Heard::Frame(frame) if frame["type"] == kind => return frame,
                    Heard::Frame(_) => {}
                    Heard::Closed(close) => {
                        panic!(
                            "{}, asked at {at}: closed with {close:?}, no {kind}",
                            self.name
                        )
                    }
                }
            }
        }
    }

    /// The next frame, which must be a message.
    #[track_caller]
    pub(crate) fn next_message(&mut self) -> impl Future<Output = Message> {
        let frame = self.hears("message");
        async { Message::of(&frame.await["data"]) }
    }

    /// The next frame, which must be an error with this code and text.
    #[track_caller]
    pub(crate) fn hears_error(&mut self, code: &str, text: &str) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let frame = self.next_frame().await;
            let (kind, seen) = (&frame["type"], (&frame["code"], &frame["message"]));
            let told = format!("{}, asked at {at}, heard {frame}", self.name);
            assert_eq!(
                (kind, seen.0, seen.1),
                (&json!("error"), &json!(code), &json!(text)),
                "{told}"
            );
            frame
        }
    }

    /// The end of the connection, which must be the next that comes.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) -> impl Future<Output = Close> {
        let at = std::panic::Location::caller();
        async move {
            match self.next().await {
                Heard::Closed(close) => close,
                Heard::Frame(frame) => panic!("{}, asked at {at}, heard {frame}", self.name),
            }
        }
    }

    /// The end of the connection, whatever comes before.
    pub(crate) async fn is_closed_at_last(&mut self) -> Close {
        loop {
            if let Heard::Closed(close) = self.next().await {
                return close;
            }
        }
    }

    /// Shows that the connection is unharmed: what it asks next is what is answered next.
    pub(crate) async fn still_works(&mut self) {
        self.sends(json!({"type": "ping"})).await;
        self.hears("pong").await;
    }

    /// The same while others talk.
    pub(crate) async fn still_works_among_messages(&mut self) {
        self.sends(json!({"type": "ping"})).await;
        self.hears_at_last("pong").await;
    }

    // How it ends.

    /// Waits, without reading, until the server has reset the connection.
    pub(crate) async fn is_reset(&self) {
        let socket = self.socket.get_ref();
        until("a reset", || async { socket.take_error().ok().flatten() }).await;
    }

    /// Closes as one should; the number to resume from.
    pub(crate) async fn hangs_up(self) -> i64 {
        let seq = self.seq();
        self.closes().await;
        seq
    }

    /// Closes as one should.
    pub(crate) async fn closes(mut self) {
        let _already_gone = self.socket.close(None).await;
        while let Heard::Frame(_) = self.next().await {}
    }

    /// Vanishes: a reset, no close frame. The number to resume from.
    pub(crate) async fn loses_network(self) -> i64 {
        let seq = self.seq();
        self.socket
            .get_ref()
            .set_zero_linger()
            .expect("an option of a live socket");
        seq
    }
}

impl From<Option<CloseFrame>> for Close {
    fn from(frame: Option<CloseFrame>) -> Self {
        match frame {
            Some(frame) => Self {
                code: frame.code.into(),
                reason: frame.reason.to_string(),
            },
            None => Self {
                code: 1005,
                reason: String::new(),
            },
        }
    }
}
