//! A WebSocket client that may do everything wrong, and a server of the machinery alone: its one
//! consumer echoes, and does what a test tells it to.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use entity::{SessionId, Time, UserId};
use parking_lot::Mutex;
use poem::Route;
use tertulia::{
    chat::{Actor, AuthError, Profile},
    hub::{Close, Queue, QueueLimits, QueueTotal, SharedFrame},
    server::{Server, ServerLimits},
    ws::{
        Connection, Consumer, Credential, Handshake, Origins, Registry, SignInRefused,
        SocketLimits, Sockets, World, close,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Reached only by a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
pub(crate) const FIN: u8 = 0x80;

/// A frame as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn text(text: &str) -> Frame {
    frame(TEXT, text.as_bytes())
}

pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Frame {
    Frame {
        opcode,
        payload: payload.to_vec(),
    }
}

pub(crate) fn closing(code: u16, reason: &str) -> Frame {
    frame(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// The bytes of a client's frame; `first` is FIN, reserved bits and opcode.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// A client on a bare socket.
pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    unread: Vec<u8>,
}

/// What a handshake was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("a server");
        socket.set_nodelay(true).expect("a socket");
        Self {
            socket,
            unread: Vec::new(),
        }
    }

    /// Shakes hands, with these lines added.
    pub(crate) async fn enter(address: SocketAddr, path: &str, lines: &str) -> Self {
        let mut peer = Self::connect(address).await;
        let answer = peer.asks(&handshake(path, lines)).await;
        assert_eq!(answer.status, 101, "{}{}", answer.head, answer.body);
        peer
    }

    pub(crate) async fn sends(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("a reader");
    }

    pub(crate) async fn says(&mut self, text: &str) {
        self.sends(&masked(FIN | TEXT, text.as_bytes())).await;
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn asks(&mut self, request: &str) -> Answer {
        self.sends(request.as_bytes()).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await, "no answer: {:?}", self.unread);
        };
        let head = self.take_text(end);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut answer = Answer {
            status: status.expect("a status"),
            head,
            body: String::new(),
        };
        if let Some(len) = answer.header("content-length") {
            let len: usize = len.parse().expect("a length");
            while self.unread.len() < len {
                assert!(self.more().await, "half a body");
            }
            answer.body = self.take_text(len);
        }
        answer
    }

    fn take_text(&mut self, len: usize) -> String {
        String::from_utf8(self.unread.drain(..len).collect()).expect("UTF-8")
    }

    /// The next frame, or none at the end of the stream.
    pub(crate) async fn hears(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = parse(&self.unread) {
                self.unread.drain(..len);
                return Some(frame);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next frame that is no ping.
    pub(crate) async fn hears_text(&mut self) -> String {
        let frame = self.hears().await.expect("a frame");
        assert_eq!(frame.opcode, TEXT, "{frame:?}");
        String::from_utf8(frame.payload).expect("UTF-8")
    }

    /// Says goodbye and hears it back.
    pub(crate) async fn leaves(mut self) {
        self.sends(&masked(FIN | CLOSE, &1000u16.to_be_bytes()))
            .await;
        while let Some(frame) = self.hears().await {
            if frame.opcode == CLOSE {
                assert_eq!(frame, closing(1000, ""));
                assert_eq!(self.hears().await, None);
                return;
            }
        }
        panic!("left unanswered");
    }

    async fn more(&mut self) -> bool {
        let read = self.socket.read_buf(&mut self.unread);
        let read = tokio::time::timeout(DEADLINE, read).await.expect("in time");
        // A reset is an end too; tests that care look at what came before it.
        read.is_ok_and(|len| len > 0)
    }
}

pub(crate) fn handshake(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: chat.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

/// A server's frame is whole, final and unmasked; its length is in its shortest form.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(first & 0xf0, FIN, "final, no reserved bit");
    assert_eq!(second & 0x80, 0, "unmasked");
    let (start, len) = match second {
        126 => {
            let len = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
            assert!(len > 125);
            (4, usize::from(len))
        }
        127 => {
            let len = u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
            assert!(len > 0xffff);
            (10, len as usize)
        }
        len => (2, usize::from(len)),
    };
    let payload = bytes.get(start..start + len)?;
    Some((frame(first & 0x0f, payload), start + len))
}

/// What tests and consumers share.
#[derive(Default)]
pub(crate) struct Stage {
    /// Of connections, by what they gave as `?name=`.
    pub(crate) queues: Mutex<HashMap<String, Arc<Queue>>>,
    /// Lets a consumer that waits go on.
    pub(crate) cue: Notify,
    /// A consumer has come to where it waits.
    pub(crate) waits: Notify,
    /// Consumers that have taken their leave, with the code that they were told.
    pub(crate) left: Mutex<Vec<u16>>,
    /// Pages that were asked for, or written to the end.
    pub(crate) pages: AtomicUsize,
}

impl World for Stage {
    /// `7:abc` is user 7 by session `abc`, `7:` by no session of ours.
    async fn authenticate(&self, credential: &Credential) -> Result<Actor, AuthError> {
        let token = match credential {
            Credential::Token(token) | Credential::Opaque(_, token) | Credential::Cookie(token) => {
                token.clone()
            }
            Credential::Ticket(ticket) => ticket.replace("ticket-", ""),
        };
        let (user, session) = match token.as_str() {
            "away" => return Err(AuthError::Unavailable),
            token => token.split_once(':').ok_or(AuthError::Invalid)?,
        };
        let id = UserId(user.parse().map_err(|_| AuthError::Invalid)?);
        Ok(Actor {
            user: Arc::new(Profile {
                id,
                username: format!("user{id}"),
                first_name: String::new(),
                last_name: String::new(),
            }),
            is_staff: false,
            session: (!session.is_empty()).then(|| SessionId(session.to_owned())),
            token_expires_at: Utc::now() + TimeDelta::minutes(15),
            token_issued_at: Some(Utc::now()),
            connection: None,
        })
    }

    /// Session `ended` ends before its first connection is known.
    async fn renew(&self, actor: &Actor) -> Result<Actor, AuthError> {
        match &actor.session {
            Some(session) if session.0 == "ended" => Err(AuthError::Invalid),
            _ => Ok(actor.clone()),
        }
    }

    /// Session `brief` has run out whenever it is asked for; others live one more hour.
    async fn lives_until(&self, session: &SessionId) -> Result<Time, AuthError> {
        match session.0.as_str() {
            "brief" => Err(AuthError::Expired),
            _ => Ok(Utc::now() + TimeDelta::hours(1)),
        }
    }
}

/// Echoes; a frame that begins with `!` is an order.
pub(crate) struct Echo;

impl Consumer for Echo {
    type World = Stage;
    const NAME: &'static str = "echo";

    async fn connect(cx: &mut Connection<Stage>, handshake: &Handshake) -> Result<Self, Close> {
        let stage = cx.world().clone();
        if let Some(name) = handshake.query("name") {
            let mut queues = stage.queues.lock();
            queues.insert(name.to_owned(), cx.queue().clone());
        }
        match handshake.param("room") {
            Some("signed") => {
                let actor = cx.sign_in(handshake).await?;
                cx.send(SharedFrame::text(&format!("hello {}", actor.user.username)))?;
            }
            Some("late") => cx.must_sign_in_within(Duration::from_secs(10)),
            Some("refused") => {
                cx.queue().push(SharedFrame::text("pushed"));
                cx.send(SharedFrame::text("sent"))?;
                return Err(close::NOT_A_MEMBER);
            }
            Some("waits") => {
                cx.queue()
                    .push(SharedFrame::text("pushed while connecting"));
                stage.waits.notify_one();
                stage.cue.notified().await;
                cx.send(SharedFrame::text("connected"))?;
            }
            Some("panics") => panic!("on purpose: connecting"),
            _ => {}
        }
        Ok(Self)
    }

    fn actor(&mut self) -> Option<&mut Actor> {
        None
    }

    async fn receive(&mut self, cx: &mut Connection<Stage>, frame: &str) -> Result<(), Close> {
        let stage = cx.world().clone();
        let (order, argument) = frame.split_once(' ').unwrap_or((frame, ""));
        match order {
            "!panic" => panic!("on purpose: receiving"),
            "!close" => {
                cx.send(SharedFrame::text("one word more"))?;
                return Err(close::CHAT_DELETED);
            }
            "!wait" => {
                stage.waits.notify_one();
                stage.cue.notified().await;
                cx.send(SharedFrame::text("waited"))?;
            }
            "!error" => cx.send_error(SharedFrame::text("wrong"))?,
            "!sign-in" => match cx.sign_in_by(&Credential::Token(argument.to_owned())).await {
                Ok(actor) => cx.send(SharedFrame::text(&actor.user.username))?,
                Err(SignInRefused::Bad(_)) => cx.send_error(SharedFrame::text("bad token"))?,
                Err(refused) => return Err(refused.into()),
            },
            "!page" => {
                stage.pages.fetch_add(1, SeqCst);
                cx.send(SharedFrame::text(&format!("{:050000}", 0)))?;
            }
            "!pages" => {
                for page in 0..argument.parse().expect("a number of pages") {
                    cx.send(SharedFrame::text(&format!("{page:050000}")))?;
                    cx.sent().await?;
                    stage.pages.fetch_add(1, SeqCst);
                }
            }
            "!paced" if !cx.takes_frame() => cx.send_error(SharedFrame::text("too fast"))?,
            _ => cx.send(SharedFrame::text(frame))?,
        }
        Ok(())
    }

    async fn disconnect(self, cx: &mut Connection<Stage>, close: &Close) {
        cx.world().left.lock().push(close.code);
    }
}

/// The machinery, served; it looks around when it is stopped.
pub(crate) struct Theatre {
    pub(crate) address: SocketAddr,
    pub(crate) stage: Arc<Stage>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

/// What a theatre is built of.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) server: ServerLimits,
    pub(crate) queue: QueueLimits,
    pub(crate) sockets: SocketLimits,
    pub(crate) origins: Origins,
    pub(crate) connections_per_user: u32,
}

impl Theatre {
    pub(crate) async fn start() -> Self {
        Self::build(Plan::default()).await
    }

    pub(crate) async fn build(plan: Plan) -> Self {
        let registry = Registry::new(QueueTotal::new(plan.queue), plan.connections_per_user);
        let sockets = Arc::new(Sockets {
            world: Arc::new(Stage::default()),
            registry: registry.clone(),
            limits: plan.sockets,
            origins: plan.origins,
        });
        let server = Server::bind(["127.0.0.1:0"], plan.server)
            .await
            .expect("a free port");
        let address = *server.local_addrs()[0].as_socket_addr().expect("TCP");
        let shutdown = CancellationToken::new();
        let route = Route::new()
            .at("/echo", sockets.endpoint::<Echo>())
            .at("/rooms/:room", sockets.endpoint::<Echo>())
            .at("/slow", poem::endpoint::make(slow))
            .at(
                "/panic",
                poem::endpoint::make_sync(|_| -> &str { panic!("on purpose: http") }),
            );
        let serving = tokio::spawn(server.serve(route, shutdown.clone()));
        Self {
            address,
            stage: sockets.world.clone(),
            registry,
            shutdown,
            serving,
        }
    }

    pub(crate) async fn enters(&self) -> Peer {
        Peer::enter(self.address, "/echo", "").await
    }

    pub(crate) async fn enters_as(&self, name: &str) -> (Peer, Arc<Queue>) {
        let path = format!("/echo?name={name}");
        let mut peer = Peer::enter(self.address, &path, "").await;
        peer.says("here").await;
        assert_eq!(peer.hears_text().await, "here");
        let queue = self.stage.queues.lock()[name].clone();
        (peer, queue)
    }

    /// Moves the clock.
    pub(crate) fn seconds_pass(&self, seconds: usize) {
        (0..seconds).for_each(|_| self.registry.tick());
    }

    pub(crate) async fn is_empty(&self) {
        self.becomes(|theatre| theatre.registry.count() == 0).await;
        assert_eq!(self.registry.queued_bytes(), 0);
    }

    pub(crate) async fn becomes(&self, is_so: impl Fn(&Self) -> bool) {
        let so = async {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, so).await.expect("in time");
    }

    /// Everybody has left, nothing is held.
    pub(crate) async fn stop(self) {
        self.is_empty().await;
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(DEADLINE, self.serving).await;
        stopped.expect("in time").expect("no panic");
    }
}

/// Takes as long as the request says.
async fn slow(request: poem::Request) -> String {
    let milliseconds = request.uri().query().and_then(|query| query.parse().ok());
    tokio::time::sleep(Duration::from_millis(milliseconds.unwrap_or(0))).await;
    "done".to_owned()
}
