//! One kept connection.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::Rng;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, Pipeline, PushInfo, PushKind,
    RedisConnectionInfo, RedisError, ServerErrorKind,
    aio::{MultiplexedConnection, SendError},
    cmd,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::{info, warn};

use super::Address;

/// How long an attempt to connect may take, signing in included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// Wait before the second attempt; each one doubles it.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// How often a connection is asked whether it answers.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_DEADLINE: Duration = Duration::from_secs(2);

/// Is told what Redis pushes, from the connection's own task: must not block.
pub type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// Why Redis did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no connection, or it did not answer in time.
    #[error("Redis at {0} is away")]
    Away(String),
    /// It said no.
    #[error("Redis refused: {0}")]
    Refused(String),
}

/// A connection to one Redis that is opened anew whenever it ends. Dropped, it is closed.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    address: Address,
    current: Mutex<Current>,
    /// How many connections were made.
    made: watch::Sender<u64>,
    /// It is to be seen whether the connection still answers.
    doubt: Notify,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Another server is to be found: this one doesn't take writes any more.
    is_wrong: bool,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_up = self.connection.is_some();
        f.debug_struct("Current").field("is_up", &is_up).finish()
    }
}

impl Link {
    /// Tries to connect once, and returns whether or not that succeeds: from then on the connection is kept.
    /// `on_push` hears what is pushed, in its order.
    pub async fn open(address: Address, on_push: Option<OnPush>) -> Self {
        let shared = Arc::new(Shared {
            address,
            current: Mutex::default(),
            made: watch::Sender::new(0),
            doubt: Notify::new(),
        });
        let config = config(&shared, on_push);
        let first = connect(&shared.address, &config).await;
        if let Ok(connection) = &first {
            shared.show(connection);
        }
        let keeper = tokio::spawn(keep(shared.clone(), config, first));
        Link { shared, keeper }
    }

    /// The connection, where there is one that answers.
    pub fn connection(&self) -> Option<MultiplexedConnection> {
        self.shared.current.lock().connection.clone()
    }

    /// Whether it answers, as far as is known.
    pub fn is_up(&self) -> bool {
        self.shared.current.lock().connection.is_some()
    }

    /// Tells of each new connection: what was subscribed to is forgotten with the old one.
    pub fn made(&self) -> watch::Receiver<u64> {
        self.shared.made.subscribe()
    }

    /// Whose connection it is.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Runs commands with one round trip. While Redis is away this fails at once; an answer that is late fails too, and
    /// later commands are not tried before Redis has answered again.
    pub async fn run<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
        deadline: Duration,
    ) -> Result<T, LinkError> {
        let Some(mut connection) = self.connection() else {
            return Err(self.away());
        };
        match timeout(deadline, commands.query_async(&mut connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => {
                self.shared.doubt.notify_one();
                self.shared.current.lock().connection = None;
                Err(self.away())
            }
        }
    }

    /// What a failed command tells about the connection.
    pub fn failed(&self, error: &RedisError) -> LinkError {
        if error.is_unrecoverable_error() || error.is_io_error() {
            self.shared.current.lock().connection = None;
            self.shared.doubt.notify_one();
            return self.away();
        }
        let is_replica = matches!(
            error.kind(),
            redis::ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        );
        if is_replica {
            let mut current = self.shared.current.lock();
            (current.connection, current.is_wrong) = (None, true);
            self.shared.doubt.notify_one();
        }
        LinkError::Refused(error.to_string())
    }

    fn away(&self) -> LinkError {
        LinkError::Away(self.shared.address.to_string())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Shared {
    fn show(&self, connection: &MultiplexedConnection) {
        self.current.lock().connection = Some(connection.clone());
        self.made.send_modify(|made| *made += 1);
    }

    /// Returns when the connection doesn't answer any more.
    async fn watch(&self, mut connection: MultiplexedConnection) -> String {
        loop {
            tokio::select! {
                () = self.doubt.notified() => {}
                () = tokio::time::sleep(PING_EVERY) => {}
            }
            if std::mem::take(&mut self.current.lock().is_wrong) {
                return "it takes no writes".to_owned();
            }
            match timeout(PING_DEADLINE, cmd("PING").exec_async(&mut connection)).await {
                Ok(Ok(())) => self.current.lock().connection = Some(connection.clone()),
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return format!("no answer for {PING_DEADLINE:?}"),
            }
        }
    }
}

fn config(shared: &Arc<Shared>, on_push: Option<OnPush>) -> AsyncConnectionConfig {
    let shared = Arc::downgrade(shared);
    let hear = move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            if let Some(shared) = shared.upgrade() {
                shared.doubt.notify_one();
            }
        } else if let Some(on_push) = &on_push {
            on_push(push);
        }
        Ok::<(), SendError>(())
    };
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_DEADLINE))
        .set_response_timeout(None)
        .set_push_sender(hear)
}

/// Keeps the connection until the link is dropped.
async fn keep(
    shared: Arc<Shared>,
    config: AsyncConnectionConfig,
    first: Result<MultiplexedConnection, String>,
) {
    let address = &shared.address;
    let (mut attempt, mut wait, mut is_told) = (first, RETRY_FIRST, false);
    loop {
        let reason = match attempt {
            Ok(connection) => {
                if std::mem::take(&mut is_told) {
                    info!(%address, "Redis at {address} is back");
                }
                let began = tokio::time::Instant::now();
                let reason = shared.watch(connection).await;
                shared.current.lock().connection = None;
                if began.elapsed() > RETRY_MAX {
                    wait = RETRY_FIRST;
                }
                reason
            }
            Err(reason) => reason,
        };
        if !std::mem::replace(&mut is_told, true) {
            warn!(%address, "Redis at {address} is away: {reason}");
        }
        // Spread, so that all nodes don't knock at once when it is back.
        let spread = rand::rng().random_range(0.5..1.5);
        tokio::time::sleep(wait.mul_f64(spread)).await;
        wait = (wait * 2).min(RETRY_MAX);
        attempt = connect(address, &config).await;
        if let Ok(connection) = &attempt {
            shared.show(connection);
        }
    }
}

async fn connect(
    address: &Address,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, String> {
    let connecting = async {
        let server = match &address.master {
            None => address.server.clone(),
            Some((name, sentinels)) => {
                let (host, port) = ask_sentinels(name, sentinels).await?;
                address.server_at(host, port)
            }
        };
        let client = Client::open(server).map_err(|error| error.to_string())?;
        let connected = client.get_multiplexed_async_connection_with_config(config);
        connected.await.map_err(|error| error.to_string())
    };
    timeout(CONNECT_DEADLINE, connecting)
        .await
        .unwrap_or_else(|_| Err(format!("not connected within {CONNECT_DEADLINE:?}")))
}

/// Where the master is, as the first sentinel that answers tells.
async fn ask_sentinels(
    name: &str,
    sentinels: &[redis::ConnectionAddr],
) -> Result<(String, u16), String> {
    let mut reason = String::new();
    for sentinel in sentinels {
        match ask_sentinel(name, sentinel).await {
            Ok(Some(place)) => return Ok(place),
            Ok(None) => reason = format!("{sentinel} knows no master {name:?}"),
            Err(error) => reason = format!("{sentinel}: {error}"),
        }
    }
    Err(reason)
}

async fn ask_sentinel(
    name: &str,
    sentinel: &redis::ConnectionAddr,
) -> Result<Option<(String, u16)>, RedisError> {
    use redis::IntoConnectionInfo;
    let info = sentinel.clone().into_connection_info()?;
    let client = Client::open(info.set_redis_settings(RedisConnectionInfo::default()))?;
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_DEADLINE / 4));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    cmd("SENTINEL")
        .arg("get-master-addr-by-name")
        .arg(name)
        .query_async(&mut connection)
        .await
}
