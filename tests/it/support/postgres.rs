//! A PostgreSQL of a test's own, which it may stop and start again.

use std::{
    fs::create_dir,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

/// A server in a directory of its own. It keeps what it commits, as in service.
pub(crate) struct Postgres {
    programs: PathBuf,
    place: TempDir,
    port: u16,
}

impl Postgres {
    /// None where this machine has no PostgreSQL, unless the tests were promised one.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let promised = std::env::var_os("TERTULIA_TEST_DATABASE_URL");
            assert!(
                promised.is_none(),
                "a PostgreSQL is promised, but initdb isn't here"
            );
            eprintln!("skipped: no initdb");
            return None;
        };
        let place = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .expect("a directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let mut postgres = Postgres {
            programs,
            place,
            port: free.expect("a free port").port(),
        };
        let own = postgres.place.path().join("own");
        create_dir(&own).expect("a directory");
        if rustix::process::getuid().is_root() {
            let given = Command::new("chown").arg("postgres").arg(&own).output();
            assert!(given.expect("chown").status.success());
        }
        postgres.does(
            "initdb",
            &[
                "-U",
                "tertulia",
                "--auth=trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
            ],
        );
        postgres.starts();
        Some(postgres)
    }

    /// Its database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://tertulia@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts, and waits until it answers.
    pub(crate) fn starts(&mut self) {
        let own = self.place.path().join("own").display().to_string();
        let options = format!(
            "-p {} -k '{own}' -c listen_addresses=127.0.0.1 -c max_connections=200",
            self.port
        );
        let log = format!("{own}/log");
        self.does("pg_ctl", &["-w", "-l", &log, "-o", &options, "start"]);
    }

    /// Ends as a crash does: it recovers when it starts.
    pub(crate) fn crashes(&mut self) {
        self.does("pg_ctl", &["-m", "immediate", "stop"]);
    }

    /// Ends in order: connections are cut.
    pub(crate) fn stops(&mut self) {
        self.does("pg_ctl", &["-m", "fast", "stop"]);
    }

    fn does(&self, program: &str, arguments: &[&str]) {
        let output = self.tries(program, arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {told}");
    }

    fn tries(&self, program: &str, arguments: &[&str]) -> Output {
        // It refuses to be root's.
        let mut command = match rustix::process::getuid().is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]);
                command.arg(self.programs.join(program));
                command
            }
            false => Command::new(self.programs.join(program)),
        };
        let data = self.place.path().join("own/data");
        command
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .arg("-D")
            .arg(data)
            .args(arguments)
            .output()
            .expect("a program of PostgreSQL")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _it_may_have_ended = self.tries("pg_ctl", &["-m", "immediate", "stop"]);
    }
}

/// Where Debian keeps the programs, or where the path finds them.
fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debian = debian.flatten().map(|version| version.path().join("bin"));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    debian
        .chain(on_path)
        .find(|dir| dir.join("initdb").exists())
}
