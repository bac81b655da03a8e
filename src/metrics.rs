//! Every metric, for all rooms, and the text in which Prometheus reads them.
//!
//! A room counts with one relaxed addition where something happens, on hot paths once for many; nobody waits,
//! looks a label up by its text where messages pass, or allocates. Labels are few and known beforehand: never a
//! user, a chat, an address. The numbers are the process's, as Prometheus has it; what only one service can
//! tell (bytes that wait, whether the database answers) is set when the text is asked for.
//!
//! Not here: who may read them (`rest/metrics.rs`). What each means to an operator: `docs/operating.md`.

mod process;
mod value;

pub use value::{Counter, Family, Gauge, Held, Histogram, Metric};
use value::{Told, counter, counters, gauge, gauges, head, histogram, line};

/// The dialects of the sockets.
const DIALECTS: [&str; 6] = ["chat", "chats", "room", "lobby", "rpc", "support"];
/// Why a connection ends: all close codes that are sent, and 1006 for one that ended without.
const CLOSE_CODES: [u16; 19] = [
    1001, 1002, 1003, 1006, 1007, 1009, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4004, 4008, 4009,
    4010, 4029, 4030,
];
/// Of HTTP.
const STATUSES: [u16; 21] = [
    200, 201, 204, 301, 302, 304, 307, 400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 426, 429,
    500, 503,
];

/// What runs.
static BUILD: &str = "tertulia_build_info";

/// Connections whose dialect has let them in and not yet taken leave of them.
pub static CONNECTIONS: Metric<Family<&str, Gauge, 6>> = gauges(
    "tertulia_connections",
    "Sockets that are open, by dialect",
    "dialect",
    DIALECTS,
);
/// The same, as they come.
pub static CONNECTIONS_OPENED: Metric<Family<&str, Counter, 6>> = counters(
    "tertulia_connections_opened_total",
    "Sockets that were let in, by dialect",
    "dialect",
    DIALECTS,
);
/// Handshakes that were accepted, and closed by the dialect at once.
pub static CONNECTIONS_REFUSED: Metric<Family<u16, Counter, 19>> = counters(
    "tertulia_connections_refused_total",
    "Sockets that were not let in after their handshake, by close code",
    "code",
    CLOSE_CODES,
);
/// Ends that the service decided on, or that befell both.
pub static CONNECTIONS_CLOSED: Metric<Family<u16, Counter, 19>> = counters(
    "tertulia_connections_closed_total",
    "Sockets that the service ended, by close code; 1006 for those that were cut",
    "code",
    CLOSE_CODES,
);
/// Ends that the client decided on.
pub static CONNECTIONS_LEFT: Metric<Counter> = counter(
    "tertulia_connections_left_total",
    "Sockets that their clients closed",
);
/// Requests for a socket that were not accepted.
pub static HANDSHAKES_REFUSED: Metric<Family<u16, Counter, 21>> = counters(
    "tertulia_handshakes_refused_total",
    "Handshakes of sockets that were refused, by HTTP status",
    "status",
    STATUSES,
);

/// REST and pages; handshakes are not in it.
pub static HTTP_REQUESTS: Metric<Family<u16, Counter, 21>> = counters(
    "tertulia_http_requests_total",
    "Requests answered, by HTTP status",
    "status",
    STATUSES,
);
/// From the request's headers to the answer's.
pub static HTTP_SECONDS: Metric<Histogram<11>> = histogram(
    "tertulia_http_request_seconds",
    "How long requests took",
    [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    ],
);
/// Before any endpoint was asked.
pub static HTTP_REFUSED: Metric<Family<&str, Counter, 4>> = counters(
    "tertulia_http_refused_total",
    "Connections refused or given up before a whole request was there",
    "cause",
    ["full", "slow_headers", "stalled", "tls"],
);

/// Rows of messages.
pub static MESSAGES: Metric<Counter> = counter("tertulia_messages_total", "Messages committed");
/// Numbered events besides messages.
pub static CHANGES: Metric<Counter> = counter(
    "tertulia_changes_total",
    "Edits, deletions, reactions, and other changes of chats committed",
);
/// What stands between an operation and its answer.
pub static COMMIT_SECONDS: Metric<Histogram<11>> = histogram(
    "tertulia_commit_seconds",
    "How long transactions of the writer took, from their begin to their commit",
    [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
    ],
);
/// How many operations shared a commit.
pub static COMMIT_JOBS: Metric<Histogram<9>> = histogram(
    "tertulia_commit_jobs",
    "Operations that a transaction of the writer committed",
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
);
/// Batches that were not committed at the first try.
pub static COMMITS_FAILED: Metric<Family<&str, Counter, 5>> = counters(
    "tertulia_commits_failed_total",
    "Transactions of the writer that were not committed, by what the database said",
    "cause",
    ["contended", "repeated", "away", "refused", "unknown"],
);
/// Nobody had room, or time, for them.
pub static WRITER_REFUSED: Metric<Family<&str, Counter, 2>> = counters(
    "tertulia_writer_refused_total",
    "Operations answered as unavailable: the writer's queue was full, or their time was over",
    "cause",
    ["full", "late"],
);
/// Limits of users.
pub static THROTTLED: Metric<Family<&str, Counter, 6>> = counters(
    "tertulia_throttled_total",
    "What was refused as too much in too short a time",
    "what",
    [
        "message",
        "frame",
        "change",
        "room",
        "registration",
        "signin",
    ],
);
/// Wrong passwords, and names that nobody has.
pub static SIGNINS_FAILED: Metric<Counter> = counter(
    "tertulia_signins_failed_total",
    "Passwords that were refused",
);

/// Frames that hubs put into queues.
pub static DELIVERIES: Metric<Counter> = counter(
    "tertulia_deliveries_total",
    "Events put into the queues of connections",
);
/// How often hubs woke their seats.
pub static BURSTS: Metric<Counter> = counter(
    "tertulia_bursts_total",
    "Deliveries of one event or several to all who hear a chat on this node",
);
/// Slow clients.
pub static QUEUE_OVERFLOWS: Metric<Family<&str, Counter, 2>> = counters(
    "tertulia_queue_overflows_total",
    "Connections closed since their queue, or all together, held too much",
    "bound",
    ["own", "all"],
);
/// Typing and presence, which go first.
pub static QUEUE_DROPPED: Metric<Counter> = counter(
    "tertulia_queue_dropped_total",
    "Passing frames (typing, presence) that slow connections were not told",
);
/// Asked of the registry when the text is.
pub static QUEUED_BYTES: Metric<Gauge> = gauge(
    "tertulia_queued_bytes",
    "Bytes that wait in the queues of all connections",
);

/// Looks of the node at the database for what it hasn't heard of.
pub static SWEEPS: Metric<Counter> = counter(
    "tertulia_sweeps_total",
    "Looks at the database for what other nodes did",
);
/// Sweeps that the database didn't answer.
pub static SWEEPS_FAILED: Metric<Counter> = counter(
    "tertulia_sweeps_failed_total",
    "Such looks that the database did not answer",
);
/// Hubs that read what they had missed.
pub static REPAIRS: Metric<Counter> = counter(
    "tertulia_repairs_total",
    "Chats whose events were read back from the database",
);
/// What was lost between nodes.
pub static EVENTS_READ_BACK: Metric<Counter> = counter(
    "tertulia_events_read_back_total",
    "Events that were lost on the way and read back",
);

/// Messages to the channel layer.
pub static LAYER_PUBLISHES: Metric<Family<&str, Counter, 3>> = counters(
    "tertulia_layer_publishes_total",
    "Events handed to the channel layer, by what became of them",
    "outcome",
    ["sent", "failed", "dropped"],
);
/// Messages from the channel layer.
pub static LAYER_RECEIVED: Metric<Counter> = counter(
    "tertulia_layer_received_total",
    "Events heard from the channel layer",
);
/// The layer came back.
pub static LAYER_RECONNECTS: Metric<Counter> = counter(
    "tertulia_layer_reconnects_total",
    "How often the channel layer was away and came back",
);
/// What the service stands on.
pub static UP: Metric<Family<&str, Gauge, 2>> = gauges(
    "tertulia_up",
    "Whether the database and the channel layer answer: 1 or 0",
    "part",
    ["database", "layer"],
);

/// In the order of the text.
static ALL: &[&dyn Told] = &[
    &CONNECTIONS,
    &CONNECTIONS_OPENED,
    &CONNECTIONS_REFUSED,
    &CONNECTIONS_CLOSED,
    &CONNECTIONS_LEFT,
    &HANDSHAKES_REFUSED,
    &HTTP_REQUESTS,
    &HTTP_SECONDS,
    &HTTP_REFUSED,
    &MESSAGES,
    &CHANGES,
    &COMMIT_SECONDS,
    &COMMIT_JOBS,
    &COMMITS_FAILED,
    &WRITER_REFUSED,
    &THROTTLED,
    &SIGNINS_FAILED,
    &DELIVERIES,
    &BURSTS,
    &QUEUE_OVERFLOWS,
    &QUEUE_DROPPED,
    &QUEUED_BYTES,
    &SWEEPS,
    &SWEEPS_FAILED,
    &REPAIRS,
    &EVENTS_READ_BACK,
    &LAYER_PUBLISHES,
    &LAYER_RECEIVED,
    &LAYER_RECONNECTS,
    &UP,
];

/// All of them, in the text format of Prometheus (0.0.4). It asks the system for the process's own figures,
/// which takes a moment.
pub fn text() -> String {
    let mut text = String::with_capacity(16 << 10);
    head(&mut text, BUILD, "What runs here", "gauge");
    let version = env!("CARGO_PKG_VERSION");
    line(
        &mut text,
        format_args!("{BUILD}{{version=\"{version}\"}} 1"),
    );
    ALL.iter().for_each(|metric| metric.tell(&mut text));
    process::tell(&mut text);
    text
}

/// The names of all metrics, as dashboards ask for them; a histogram's without what is put behind it.
pub fn names() -> Vec<&'static str> {
    let own = ALL.iter().map(|metric| metric.name());
    [BUILD]
        .into_iter()
        .chain(own)
        .chain(process::NAMES)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_of_this_file_is_told() {
        let source = include_str!("metrics.rs");
        let of = "pub static ";
        let declared = source
            .lines()
            .filter_map(|line| line.strip_prefix(of)?.split(':').next());
        let told: BTreeSet<&str> = source
            .lines()
            .filter_map(|line| line.strip_prefix("    &")?.strip_suffix(','))
            .filter(|name| name.starts_with(char::is_uppercase))
            .collect();
        let declared: BTreeSet<&str> = declared.collect();
        assert!(declared.len() > 20);
        assert_eq!(declared, told);
    }

    #[test]
    fn names_say_what_they_are_and_come_once() {
        let names: BTreeSet<&str> = names().into_iter().collect();
        assert_eq!(names.len(), ALL.len() + 1 + process::NAMES.len());
        for metric in ALL {
            let (name, mut text) = (metric.name(), String::new());
            metric.tell(&mut text);
            let is_counter = text.contains(&format!("# TYPE {name} counter"));
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            assert!(name.starts_with("tertulia_"), "{name}");
        }
    }
}
