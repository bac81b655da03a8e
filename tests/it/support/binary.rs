//! The real program on a temporary data directory: for what only a process can suffer, and for the
//! command line.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use test_database::{Kind, TestDatabase};

use super::{Person, Request, tls_vector, tokens, until};

/// The program, serving.
pub(crate) struct Binary {
    to: SocketAddr,
    dir: TempDir,
    data_dir: PathBuf,
    /// On a server; else it is in the data directory.
    database: Option<TestDatabase>,
    options: Vec<String>,
    child: Child,
}

/// An address that no other test uses: all of 127/8 is this machine, and outgoing connections don't
/// take ports there, so that a server which was killed finds its own free again.
pub(crate) fn address_of_ones_own() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(8100);
    let id = std::process::id();
    let part = |number: u32| u8::try_from(number % 250 + 1).unwrap_or(1);
    let ip = [127, part(id / 62_500), part(id / 250), part(id)];
    SocketAddr::from((ip, PORT.fetch_add(1, Ordering::Relaxed)))
}

impl Binary {
    /// Serves, with further options as on the command line.
    pub(crate) async fn serves(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data_dir = dir.path().join("data");
        Self::serves_in(dir, data_dir, options).await
    }

    /// Serves from a data directory that is there.
    pub(crate) async fn serves_from(data_dir: &Path, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::serves_in(dir, data_dir.to_owned(), options).await
    }

    async fn serves_in(dir: TempDir, data_dir: PathBuf, options: &[&str]) -> Self {
        let database = match test_database::kind() {
            Kind::Sqlite => None,
            Kind::Postgres | Kind::MySql => Some(TestDatabase::new()),
        };
        let to = address_of_ones_own();
        let mut all = vec!["--data-dir".to_owned(), data_dir.display().to_string()];
        all.extend(options.iter().map(|option| (*option).to_owned()));
        let url = database.as_ref().map(TestDatabase::url);
        let child = spawn(&dir, url, to, &all);
        let mut binary = Self {
            to,
            dir,
            data_dir,
            database,
            options: all,
            child,
        };
        binary.is_ready().await;
        binary
    }

    async fn is_ready(&mut self) {
        let to = self.to;
        let asked = until("the program to be ready", || {
            let ended = self.child.try_wait().expect("a child's state");
            async move {
                if let Some(status) = ended {
                    return Some(Err(status));
                }
                let reply = Request::new("GET", "/readyz").try_send(to).await.ok()?;
                (reply.status == 200).then_some(Ok(()))
            }
        })
        .await;
        if let Err(status) = asked {
            panic!("the program ended with {status}: {}", self.said());
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.to
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    /// Its database.
    pub(crate) fn database(&self) -> String {
        match &self.database {
            Some(database) => database.url().to_owned(),
            None => format!("sqlite://{}/tertulia.db?mode=rw", self.data_dir.display()),
        }
    }

    fn server_url(&self) -> Option<&str> {
        self.database.as_ref().map(TestDatabase::url)
    }

    pub(crate) async fn users<const N: usize>(&self, names: [&str; N]) -> [Person; N] {
        Person::all_register(self.to, names).await
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL, and its last breath.
    pub(crate) fn is_killed(&mut self) {
        self.child.kill().expect("a child that can be killed");
        self.child.wait().expect("a child's end");
    }

    /// Starts again where it stopped.
    pub(crate) async fn starts_again(&mut self) {
        self.child = spawn(&self.dir, self.server_url(), self.to, &self.options);
        self.is_ready().await;
    }

    /// SIGTERM.
    pub(crate) fn is_told_to_stop(&self) {
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("an id");
        kill_process(id, Signal::TERM).expect("a child that can be told");
    }

    /// How it ended.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        until("the program to end", || {
            let ended = self.child.try_wait().expect("a child's state");
            async move { ended }
        })
        .await
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("a process that runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("VmRSS") * 1024
    }

    /// Runs another command of the program on the same data directory, `input` on its standard
    /// input.
    pub(crate) fn runs(&self, arguments: &[&str], input: &str) -> Output {
        runs_on(&self.dir, self.server_url(), arguments, input)
    }

    /// As `runs`, for commands that must succeed; what they print.
    #[track_caller]
    pub(crate) fn does(&self, arguments: &[&str], input: &str) -> String {
        let output = self.runs(arguments, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{arguments:?}: {}: {errors}",
            output.status
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _ended = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the program's log:\n{}", self.said());
        }
    }
}

fn command(dir: &TempDir, database: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TERTULIA_")) {
        command.env_remove(name);
    }
    command
        .current_dir(dir.path())
        .env("TERTULIA_DATA_DIR", dir.path().join("data"))
        .env("TERTULIA_SECRET_KEY", tokens::SECRET)
        .env("TERTULIA_PASSWORD_COST", "4")
        .env("SSL_CERT_FILE", tls_vector("ca.pem"));
    if let Some(url) = database {
        command.env("TERTULIA_DATABASE_URL", url);
    }
    command
}

fn spawn(dir: &TempDir, database: Option<&str>, to: SocketAddr, options: &[String]) -> Child {
    let mut log = File::options();
    let log = log.create(true).append(true).open(dir.path().join("log"));
    command(dir, database)
        .args(["serve", "--bind", &to.to_string()])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("a file for the log"))
        .spawn()
        .expect("the program")
}

/// Runs a command of the program in a directory, where its database is too.
pub(crate) fn runs_in(dir: &TempDir, arguments: &[&str], input: &str) -> Output {
    runs_on(dir, None, arguments, input)
}

fn runs_on(dir: &TempDir, database: Option<&str>, arguments: &[&str], input: &str) -> Output {
    let file = dir.path().join("input");
    std::fs::write(&file, input).expect("a file for the input");
    command(dir, database)
        .args(arguments)
        .stdin(File::open(&file).expect("the file just written"))
        .output()
        .expect("the program")
}

/// A new password, typed twice where it is asked for twice.
pub(crate) fn typed_twice(password: &str) -> String {
    format!("{password}\n{password}\n")
}
