//! The server: accepts connections, speaks HTTP/1.1 on them by way of hyper, and asks poem's
//! endpoint for the answers. An endpoint may take a connection over (WebSocket).
//!
//! Why not poem's own: it ignores errors of `accept` and then spins, knows no deadline for headers,
//! and leaves a boxed and split stream behind after an upgrade.
//!
//! Not here: routes, WebSocket. Relies on: `draining` sockets that were taken over is their taker's
//! task. Bounded by: `ServerLimits`.

mod http;
mod listen;
mod stream;
mod tls;
mod upgrade;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use poem::{Addr, Endpoint, IntoEndpoint};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use self::{
    http::Shared,
    listen::Listener,
    stream::{Places, Socket},
};
pub use self::{
    stream::Stream,
    tls::{Tls, TlsError},
    upgrade::UpgradeSlot,
};
use crate::metrics;

/// How long a refused client may take to read its answer.
const REFUSAL_MAX: Duration = Duration::from_secs(2);
/// Refusals at a time; beyond, connections are closed without a word.
const REFUSALS_MAX: usize = 64;
/// Pause after an error of `accept` that will not pass by itself (no descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one server may hold, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Open sockets, those taken over included. Over it: 503.
    pub connections_max: usize,
    /// Connections that the system may hold for us until we accept them.
    pub backlog: u32,
    /// For a request's headers; then 408. Also how long a connection is kept for a next request.
    pub head_deadline: Duration,
    /// A connection on which not a byte moves for this long is given up.
    pub stall_deadline: Duration,
    /// How long requests in flight may take once the server stops.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 65_536,
            backlog: 4096,
            head_deadline: Duration::from_secs(10),
            stall_deadline: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }
}

/// A server that listens, and doesn't answer yet.
pub struct Server {
    listeners: Vec<Listener>,
    limits: ServerLimits,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Listens on all of these: `host:port`, or `unix:/path`.
    pub async fn bind(
        addresses: impl IntoIterator<Item: AsRef<str>>,
        limits: ServerLimits,
    ) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for address in addresses {
            let address = address.as_ref();
            let bound = Listener::bind(address, limits.backlog).await;
            let bound = bound.map_err(|error| {
                io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
            })?;
            listeners.extend(bound);
        }
        Ok(Self {
            listeners,
            limits,
            tls: None,
        })
    }

    /// Speaks TLS on addresses that have a port; Unix sockets stay as they are.
    pub fn secured_by(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// Where it listens; ports are the real ones.
    pub fn local_addrs(&self) -> Vec<Addr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Serves until `shutdown`, then stops accepting, finishes the requests in flight (for the
    /// time of the drain) and comes back. Sockets that were taken over go on.
    pub async fn serve<E>(self, endpoint: E, shutdown: CancellationToken)
    where
        E: IntoEndpoint,
        E::Endpoint: 'static,
    {
        let shared = Arc::new(Shared {
            endpoint: endpoint.into_endpoint(),
            limits: self.limits,
            draining: shutdown.clone(),
            abandoned: CancellationToken::new(),
        });
        let tasks = TaskTracker::new();
        let places = Places::new(self.limits.connections_max);
        let refusals = Places::new(REFUSALS_MAX);
        for listener in self.listeners {
            let acceptor = Acceptor {
                listener,
                places: places.clone(),
                refusals: refusals.clone(),
                tasks: tasks.clone(),
                shared: shared.clone(),
                tls: self.tls.clone(),
                is_full: AtomicBool::new(false),
            };
            tasks.spawn(acceptor.run());
        }
        shutdown.cancelled().await;
        tasks.close();
        if tokio::time::timeout(self.limits.drain, tasks.wait())
            .await
            .is_err()
        {
            let left = tasks.len();
            warn!(
                left,
                "{left} requests were not finished in time and are given up"
            );
            shared.abandoned.cancel();
            tasks.wait().await;
        }
    }
}

/// Accepts on one listener.
struct Acceptor<E> {
    listener: Listener,
    places: Arc<Places>,
    refusals: Arc<Places>,
    tasks: TaskTracker,
    shared: Arc<Shared<E>>,
    tls: Option<Arc<Tls>>,
    /// The last client was refused: the log has it already.
    is_full: AtomicBool,
}

impl<E: Endpoint + 'static> Acceptor<E> {
    async fn run(self) {
        let local = self.listener.local_addr().unwrap_or_default();
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                () = self.shared.draining.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, remote)) => {
                    is_failing = false;
                    self.admit(socket, &local, remote);
                }
                // The client went away between its coming and our accepting: its own affair.
                Err(error) if is_of_one_client(&error) => {}
                // No descriptor or no memory: the client stays in the backlog until there is.
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        warn!(address = %local, "{local}: can't accept connections: {error}");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, socket: Socket, local: &Addr, remote: Addr) {
        match self.places.take() {
            Some(place) => {
                self.is_full.store(false, Relaxed);
                let (shared, local) = (self.shared.clone(), local.clone());
                match (socket, self.tls.clone()) {
                    (Socket::Tcp(tcp), Some(tls)) => {
                        let serving = http::serve_secured(shared, tls, tcp, place, local, remote);
                        self.tasks.spawn(serving);
                    }
                    (socket, _) => {
                        let stream = Stream::new(socket, place);
                        self.tasks.spawn(http::serve(shared, stream, local, remote));
                    }
                }
            }
            None => self.refuse(socket, &remote),
        }
    }

    fn refuse(&self, socket: Socket, remote: &Addr) {
        let max = self.shared.limits.connections_max;
        metrics::HTTP_REFUSED.of("full").one();
        if !self.is_full.swap(true, Relaxed) {
            warn!(remote = %remote, max, "{max} connections are open (MAX_CONNECTIONS), {remote} and others are refused");
        }
        // Before a handshake nothing can be said.
        let is_mute = self.tls.is_some() && matches!(socket, Socket::Tcp(_));
        if let Some(place) = self.refusals.take().filter(|_| !is_mute) {
            let stream = Stream::new(socket, place);
            let detail = "Too many connections.";
            self.tasks
                .spawn(http::refuse(stream, "503 Service Unavailable", detail));
        }
    }
}

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
