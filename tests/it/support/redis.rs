//! A Redis for tests: the one that the test script promises, or a private one that can be stopped and started again.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tertulia::layer::{ChannelLayer, CoreLayer, PubSubLayer, RedisOptions};

use super::tls_vector;

/// Where the Redis answers that all tests share. Where it is set, no test is skipped for want of a Redis.
const PROMISED: &str = "TERTULIA_TEST_REDIS_URL";
/// Only a failure waits this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which of channels_redis' two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    PubSub,
    Core,
}

/// A server of the test's own, in a directory of its own, or the shared one.
pub(crate) struct TestRedis {
    url: String,
    own: Option<Own>,
}

struct Own {
    place: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl TestRedis {
    /// The shared server; one of its own where none is promised; none where this machine has no Redis either.
    pub(crate) fn find() -> Option<Self> {
        match std::env::var(PROMISED) {
            Ok(url) if !url.is_empty() => Some(TestRedis { url, own: None }),
            _ => Self::start(),
        }
    }

    /// A layer on it, with a prefix that no other test has, which is told too.
    pub(crate) async fn layer(&self, form: Form, keys: &[&str]) -> (Arc<dyn ChannelLayer>, String) {
        let prefix = format!("test-{}-", rand::random::<u64>());
        (self.layer_with(form, &prefix, keys).await, prefix)
    }

    /// Another process' layer.
    pub(crate) async fn layer_with(
        &self,
        form: Form,
        prefix: &str,
        keys: &[&str],
    ) -> Arc<dyn ChannelLayer> {
        let options = RedisOptions {
            addresses: vec![self.url.parse().expect("an address")],
            prefix: prefix.to_owned(),
            encryption_keys: keys.iter().map(|&key| key.to_owned()).collect(),
        };
        match form {
            Form::PubSub => Arc::new(PubSubLayer::open(options).await),
            Form::Core => Arc::new(CoreLayer::open(options).await),
        }
    }

    /// A connection that sees what others see.
    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).expect("an address");
        client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection")
    }

    /// A server of its own, which the test may stop. None where this machine has none, and none is promised.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|place, port| {
            let arguments = format!(
                "--port {port} --bind 127.0.0.1 --save  --appendonly yes --appendfsync no --unixsocket {place}/redis.sock"
            );
            arguments.split(' ').map(str::to_owned).collect()
        })
    }

    /// A server of its own that speaks TLS too, as `localhost`, and its URL there.
    pub(crate) fn start_with_tls() -> Option<(Self, String)> {
        let tls_port = free_port();
        let redis = Self::start_with(|_, port| {
            let [key, certificate, authority] =
                ["one.key", "one.pem", "ca.pem"].map(|name| tls_vector(name).display().to_string());
            let arguments = format!(
                "--port {port} --bind 127.0.0.1 --save  --tls-port {tls_port} --tls-auth-clients no \
                 --tls-key-file {key} --tls-cert-file {certificate} --tls-ca-cert-file {authority}"
            );
            arguments.split(' ').map(str::to_owned).collect()
        })?;
        Some((redis, format!("rediss://localhost:{tls_port}/0")))
    }

    /// A sentinel that watches a server.
    pub(crate) fn start_sentinel(master: &TestRedis, name: &str) -> Option<Self> {
        let at = master
            .url
            .trim_start_matches("redis://")
            .trim_end_matches("/0")
            .replace(':', " ");
        Self::start_with(|place, port| {
            let config = format!("{place}/sentinel.conf");
            let text = format!("port {port}\nbind 127.0.0.1\nsentinel monitor {name} {at} 1\n");
            std::fs::write(&config, text).expect("its configuration");
            vec![config, "--sentinel".to_owned()]
        })
    }

    fn start_with(arguments: impl FnOnce(&str, u16) -> Vec<String>) -> Option<Self> {
        let is_here = std::env::var_os("PATH").is_some_and(|paths| {
            std::env::split_paths(&paths).any(|path| path.join("redis-server").exists())
        });
        if !is_here {
            assert!(
                std::env::var_os(PROMISED).is_none(),
                "{PROMISED} promises a Redis, but redis-server isn't here"
            );
            eprintln!("skipped: no redis-server");
            return None;
        }
        let place = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let arguments = arguments(&place.path().display().to_string(), port);
        let mut redis = TestRedis {
            url: format!("redis://127.0.0.1:{port}/0"),
            own: Some(Own {
                place,
                arguments,
                process: None,
            }),
        };
        redis.starts();
        Some(redis)
    }

    /// `redis://127.0.0.1:port/0`
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:port`
    pub(crate) fn host(&self) -> &str {
        let url = self.url.trim_start_matches("redis://");
        url.trim_end_matches("/0")
    }

    /// The own server's socket.
    pub(crate) fn unix_socket(&self) -> PathBuf {
        self.own().place.path().join("redis.sock")
    }

    /// The own server's process, for a test that stops it with a signal.
    pub(crate) fn process_id(&self) -> Option<u32> {
        self.own().process.as_ref().map(Child::id)
    }

    fn own(&self) -> &Own {
        self.own.as_ref().expect("a server of the test's own")
    }

    /// Starts the own server, and waits until it answers.
    pub(crate) fn starts(&mut self) {
        let own = self.own.as_mut().expect("a server of the test's own");
        let dir = own.place.path();
        let log = dir.join("redis.log");
        let mut process = Command::new("redis-server")
            .args(&own.arguments)
            .arg("--dir")
            .arg(dir)
            .arg("--logfile")
            .arg(&log)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let began = Instant::now();
        let client = redis::Client::open(self.url.as_str()).expect("an address");
        loop {
            let answers = client
                .get_connection_with_timeout(PATIENCE)
                .and_then(|mut connection| redis::cmd("PING").exec(&mut connection));
            if answers.is_ok() {
                break;
            }
            let ended = process.try_wait().expect("its state");
            assert!(
                ended.is_none() && began.elapsed() < PATIENCE,
                "redis-server: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        own.process = Some(process);
    }

    /// Ends the own server as a crash does.
    pub(crate) fn dies(&mut self) {
        let own = self.own.as_mut().expect("a server of the test's own");
        if let Some(mut process) = own.process.take() {
            process.kill().expect("killed");
            process.wait().expect("ended");
        }
    }
}

impl TestRedis {
    /// Forgets what the own server has kept; while it is stopped.
    pub(crate) fn forgets(&mut self) {
        let kept = self.own().place.path().join("appendonlydir");
        if kept.exists() {
            std::fs::remove_dir_all(kept).expect("its data is removed");
        }
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        if self.own.is_some() {
            self.dies();
        }
    }
}

/// Nobody listens there now; a Redis that finds somebody there after all ends, and the test with it.
fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("a free port").port()
}
