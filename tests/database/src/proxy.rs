//! A proxy before a test's database, which can do to connections what networks and servers do.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

use super::{TestDatabase, failed};

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    runs: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// Nobody is let in.
    refuses: AtomicBool,
    /// The server's next word is not passed on: the connection ends instead.
    swallows: AtomicBool,
    /// Redis's messages to its subscribers are not passed on, and counted.
    keeps_quiet: AtomicBool,
    kept: AtomicU64,
    /// Connections made before a cut end.
    cuts: AtomicU64,
    changed: Notify,
    over: AtomicBool,
}

impl Proxy {
    /// Before a database on a server.
    pub fn before(database: &TestDatabase) -> Self {
        Self::before_server(database.host())
    }

    /// Before whatever listens at `host:port`.
    pub fn before_server(server: String) -> Self {
        let state = Arc::<State>::default();
        let (told, address) = std::sync::mpsc::channel();
        let shared = state.clone();
        // A thread of its own: what a test does to its runtime doesn't reach it.
        let runs = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap_or_else(|error| failed("a runtime", error));
            runtime.block_on(run(server, shared, &told));
        });
        let address = address
            .recv()
            .unwrap_or_else(|error| failed("a proxy", error));
        Self {
            address,
            state,
            runs: Some(runs),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections; new ones are let in.
    pub fn cuts(&self) {
        self.state.cuts.fetch_add(1, SeqCst);
        self.state.changed.notify_waiters();
    }

    /// Ends all connections and refuses new ones.
    pub fn refuses(&self) {
        self.state.refuses.store(true, SeqCst);
        self.cuts();
    }

    /// Lets everybody in again.
    pub fn admits(&self) {
        self.state.refuses.store(false, SeqCst);
        self.state.changed.notify_waiters();
    }

    /// The server hears what it is told next, but its answer is lost, and the connection with it.
    pub fn swallows_an_answer(&self) {
        self.state.swallows.store(true, SeqCst);
    }

    /// From now on a Redis seems to have nothing to say to its subscribers; all else goes on.
    pub fn keeps_messages(&self) {
        self.state.keeps_quiet.store(true, SeqCst);
    }

    /// How often messages were kept so far.
    pub fn kept(&self) -> u64 {
        self.state.kept.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, SeqCst);
        self.state.changed.notify_waiters();
        self.state.changed.notify_one();
        if let Some(runs) = self.runs.take() {
            let _ended = runs.join();
        }
    }
}

async fn run(server: String, state: Arc<State>, told: &std::sync::mpsc::Sender<SocketAddr>) {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
    loop {
        let changed = state.changed.notified();
        if state.over.load(SeqCst) {
            return;
        }
        if state.refuses.load(SeqCst) {
            changed.await;
            continue;
        }
        drop(changed);
        let listener = TcpSocket::new_v4()
            .and_then(|socket| {
                socket.set_reuseaddr(true)?;
                socket.bind(address)?;
                socket.listen(64)
            })
            .unwrap_or_else(|error| failed("a proxy's port", error));
        address = listener.local_addr().unwrap_or(address);
        let _heard_once = told.send(address);
        loop {
            let changed = state.changed.notified();
            if state.refuses.load(SeqCst) || state.over.load(SeqCst) {
                break;
            }
            tokio::select! {
                () = changed => {}
                accepted = listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        tokio::spawn(serve(client, server.clone(), state.clone()));
                    }
                }
            }
        }
    }
}

async fn serve(client: TcpStream, server: String, state: Arc<State>) {
    let cuts = state.cuts.load(SeqCst);
    let Ok(server) = TcpStream::connect(&server).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let cut = async {
        loop {
            let changed = state.changed.notified();
            if state.cuts.load(SeqCst) != cuts || state.over.load(SeqCst) {
                return;
            }
            changed.await;
        }
    };
    tokio::select! {
        () = pass(from_client, to_server, None) => {}
        () = pass(from_server, to_client, Some(&state)) => {}
        () = cut => {}
    }
}

/// What a Redis's word begins with that brings a message, in RESP2 and in RESP3.
const MESSAGES: [&[u8]; 2] = [b"*3\r\n$7\r\nmessage\r\n", b">3\r\n$7\r\nmessage\r\n"];

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answers: Option<&State>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if let Some(state) = answers {
            if state.swallows.swap(false, SeqCst) {
                return;
            }
            let is_message = MESSAGES
                .iter()
                .any(|begin| buffer[..count].starts_with(begin));
            if is_message && state.keeps_quiet.load(SeqCst) {
                state.kept.fetch_add(1, SeqCst);
                continue;
            }
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
