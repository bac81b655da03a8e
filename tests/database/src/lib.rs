//! A database of one's own for a test: made with all tables, dropped with its value.
//!
//! On the server that `TERTULIA_TEST_DATABASE_URL` names, such as `postgres://tertulia@127.0.0.1:5432/postgres` or
//! `mysql://root@127.0.0.1:3306/`; without it, a file of SQLite. The tables are made once for all tests: in a database
//! that the others are copied from.
//!
//! A failure here is a failed test, so everything panics with what went wrong.

mod mysql;
mod postgres;
mod proxy;

use std::{
    fmt::Display,
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use tempfile::TempDir;

pub use proxy::Proxy;

/// Names the server; none or empty for SQLite.
pub const VARIABLE: &str = "TERTULIA_TEST_DATABASE_URL";

/// A database that nobody else uses.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    /// The server and its name there, if it is on one.
    on: Option<(Server, String)>,
    /// Where it is, if it is a file.
    _dir: Option<TempDir>,
}

/// Where databases are made.
#[derive(Clone, Debug)]
enum Server {
    Postgres(String),
    MySql(String),
}

/// Which server the tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None: a file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MariaDB or MySQL.
    MySql,
}

/// Which databases the tests run on.
pub fn kind() -> Kind {
    match server() {
        None => Kind::Sqlite,
        Some(Server::Postgres(_)) => Kind::Postgres,
        Some(Server::MySql(_)) => Kind::MySql,
    }
}

fn server() -> Option<Server> {
    let url = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty())?;
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => Some(Server::Postgres(url)),
        Some("mysql" | "mariadb") => Some(Server::MySql(url.replacen("mariadb:", "mysql:", 1))),
        _ => panic!("{VARIABLE}: is neither postgres:// nor mysql://"),
    }
}

impl TestDatabase {
    /// One with all tables and nothing in them.
    pub fn new() -> Self {
        Self::made(true)
    }

    /// One without tables.
    pub fn empty() -> Self {
        Self::made(false)
    }

    fn made(with_tables: bool) -> Self {
        match server() {
            None => {
                let dir = tempfile::tempdir().unwrap_or_else(|error| failed("a directory", error));
                let url = format!("sqlite://{}?mode=rwc", dir.path().join("test.db").display());
                if with_tables {
                    alone(make_file(url.clone()));
                }
                Self {
                    url,
                    on: None,
                    _dir: Some(dir),
                }
            }
            Some(server) => {
                let name = unused_name();
                let url = match &server {
                    Server::Postgres(url) => {
                        alone(postgres::make(url.clone(), name.clone(), with_tables));
                        with_name(url, &name)
                    }
                    Server::MySql(url) => {
                        alone(mysql::make(url.clone(), name.clone(), with_tables));
                        with_name(url, &name)
                    }
                };
                Self {
                    url,
                    on: Some((server, name)),
                    _dir: None,
                }
            }
        }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its URL by way of a proxy.
    pub fn url_by(&self, proxy: &Proxy) -> String {
        let from = self.url.find("://").map_or(0, |at| at + 3);
        let from = self.url[from..].find('@').map_or(from, |at| from + at + 1);
        let end = self.url[from..]
            .find('/')
            .map_or(self.url.len(), |at| from + at);
        format!(
            "{}{}{}",
            &self.url[..from],
            proxy.address(),
            &self.url[end..]
        )
    }

    /// Where its server listens.
    fn host(&self) -> String {
        let from = self.url.find("://").map_or(0, |at| at + 3);
        let rest = self.url[from..]
            .rsplit_once('@')
            .map_or(&self.url[from..], |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_owned()
    }
}

impl Default for TestDatabase {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        match &self.on {
            None => {}
            Some((Server::Postgres(url), name)) => {
                alone(postgres::remove(url.clone(), name.clone()));
            }
            Some((Server::MySql(url), name)) => alone(mysql::remove(url.clone(), name.clone())),
        }
    }
}

async fn make_file(url: String) {
    let database = connect(&url, 2).await;
    let made = migration::up(&database).await;
    made.unwrap_or_else(|error| failed("the tables", error));
    let _ = database.close().await;
}

async fn connect(url: &str, connections: u32) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).sqlx_logging(false);
    let connected = Database::connect(options).await;
    connected.unwrap_or_else(|error| failed("a connection", error))
}

/// A server's URL for another of its databases.
fn with_name(url: &str, name: &str) -> String {
    let (server, query) = match url.split_once('?') {
        Some((server, query)) => (server, format!("?{query}")),
        None => (url, String::new()),
    };
    let from = server.find("://").map_or(0, |at| at + 3);
    let end = server[from..]
        .find('/')
        .map_or(server.len(), |at| from + at);
    format!("{}/{name}{query}", &server[..end])
}

fn unused_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_micros());
    let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    format!("test_{now}_{process}_{number}")
}

/// The name of the database that the others are copied from: another one for other migrations.
fn template_name() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migration/src");
    let files = std::fs::read_dir(folder).unwrap_or_else(|error| failed(folder, error));
    let mut files: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.sort();
    // FNV-1a: only another text must give another name.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let text = std::fs::read(&file).unwrap_or_default();
        for byte in text {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    format!("test_template_{hash:016x}")
}

/// Runs to its end on a runtime of its own: also where a value is dropped, and within another runtime.
fn alone<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap_or_else(|error| failed("a runtime", error));
        runtime.block_on(task)
    });
    match thread.join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn failed<T>(what: &str, error: impl Display) -> T {
    panic!("a test's database: {what}: {error}")
}
