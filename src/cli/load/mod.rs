//! `tertulia load`: measures any server that speaks the chat dialect, and the limit server beside it.
//!
//! Every receiver checks that it got every message, once and in order; a run in which one didn't has
//! no figures. The client is its own, since a general one would cost more than the server: frames are
//! read where they lie (`socket`), and of each only a few values are looked at (`scan`).
//!
//! Not here: the limit server (`bench/`), and which figures are compared (`bench/run.sh`).
//! Relies on: `tertulia user create`, REST's chats and the chat dialect, as any other client; in a chat that is there
//! already (`known`), on the chat dialect alone.

mod connect;
mod crowd;
mod dialect;
mod error;
mod fanout;
mod fill;
mod frame;
mod http;
mod idle;
mod journal;
mod known;
mod latency;
mod meter;
mod people;
mod progress;
mod report;
mod rest;
mod room;
mod rooms;
mod scan;
mod socket;
mod talk;
mod target;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, LocalOptions};

use self::{
    connect::Connect, error::LoadError, fanout::Fanout, fill::Fill, idle::Idle, meter::Meter,
    people::People, report::Report, rest::Rest, rooms::Rooms, target::Target,
};
use super::Outcome;

/// Files that are open besides the connections.
const OTHER_FILES: u64 = 64;

/// What stands below the flags in the help.
const WHAT_IT_NEEDS: &str = "\
Of a tertulia the load makes users and chats of its own. It has to be started with \
TERTULIA_MESSAGES_PER_MINUTE=0 and TERTULIA_FRAMES_PER_SECOND=0, and shows what it can with a core \
for itself (taskset).

Of any other server that speaks the chat dialect, fanout, idle and connect take a chat that is \
there, by --chat, and its members' tokens, by --tokens.";

/// Measure a server that speaks the chat dialect
#[derive(clap::Args, Debug)]
#[command(after_help = WHAT_IT_NEEDS)]
pub struct Load {
    /// The server, as http://HOST:PORT: TLS (https://, wss://) isn't spoken; several nodes of one service,
    /// comma-separated, take the connections in turn
    #[arg(
        long,
        value_name = "URLS",
        default_value = "http://127.0.0.1:8000",
        value_delimiter = ',',
        global = true
    )]
    url: Vec<String>,
    /// It is the limit server of bench/, which knows neither users nor chats
    #[arg(long, global = true)]
    limit: bool,
    /// The server's process on this machine, whose CPU time and memory are to be told; several,
    /// comma-separated, are added up
    #[arg(long, value_name = "PIDS", value_delimiter = ',', global = true)]
    pid: Vec<u32>,
    /// Print the figures as one line of JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    people: People,
    #[command(subcommand)]
    scenario: Scenario,
}

/// What is measured.
#[derive(clap::Subcommand, Debug)]
enum Scenario {
    Fanout(Fanout),
    Rooms(Rooms),
    Idle(Idle),
    Connect(Connect),
    Rest(Rest),
    Fill(Fill),
}

/// What every scenario is given.
struct Run {
    target: Target,
    people: People,
    meter: Option<Meter>,
}

impl Load {
    /// Runs the load, on this thread alone, and prints what it found. Not to be called by a task: it
    /// blocks, and has a runtime of its own.
    pub(super) fn run(self) -> Outcome {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        let runtime = runtime.map_err(|cause| LoadError::Io("starting", cause))?;
        let as_json = self.json;
        // In a task: what `block_on` itself runs is woken through the driver, at a cost.
        let task = runtime.spawn_local(self.measure());
        let measured = runtime.block_on(task);
        let report =
            measured.map_err(|_| LoadError::Protocol("the load gave up at what it heard"))??;
        super::print(&report.text(as_json))
    }

    async fn measure(self) -> Result<Report, LoadError> {
        let run = Run {
            target: Target::find(&self.url, self.limit).await?,
            people: self.people,
            meter: Meter::of(&self.pid)?,
        };
        match self.scenario {
            Scenario::Fanout(fanout) => fanout.run(&run).await,
            Scenario::Rooms(rooms) => rooms.run(&run).await,
            Scenario::Idle(idle) => idle.run(&run).await,
            Scenario::Connect(connect) => connect.run(&run).await,
            Scenario::Rest(rest) => rest.run(&run).await,
            Scenario::Fill(fill) => fill.run(&run).await,
        }
    }
}

impl Run {
    /// Raises the limit on open files so that this many connections fit.
    fn allow_open_files(&self, connections: usize) -> Result<(), LoadError> {
        let needed = connections as u64 + OTHER_FILES;
        let limit = getrlimit(Resource::Nofile);
        if limit.current.is_none_or(|current| current >= needed) {
            return Ok(());
        }
        let maximum = limit.maximum.map(|maximum| maximum.max(needed));
        // Beyond the hard limit only root may go; everyone else is told.
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(needed),
                maximum,
            },
        )
        .map_err(|_| LoadError::OpenFiles {
            needed,
            limit: limit.maximum.unwrap_or_default(),
        })
    }
}
