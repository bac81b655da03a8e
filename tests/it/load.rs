//! `tertulia load`: that its figures are those of what happened, and that it takes no server's word for it.

use std::{collections::BTreeSet, fs, net::SocketAddr, process::Output, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{JoinHandle, block_in_place},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message as Ws, protocol::Role},
};

use crate::support::binary::{Binary, runs_in};

/// What a load has found.
struct Measured(Map<String, Value>);

impl Measured {
    #[track_caller]
    fn read(line: &str) -> Self {
        match serde_json::from_str(line) {
            Ok(Value::Object(figures)) if line.ends_with("}\n") => Self(figures),
            _ => panic!("not a line of JSON: {line:?}"),
        }
    }

    /// The figures of a load that must have gone well.
    #[track_caller]
    fn of(output: &Output) -> Self {
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", output.status);
        Self::read(&String::from_utf8_lossy(&output.stdout))
    }

    /// All names, and nothing but them.
    #[track_caller]
    fn are<const N: usize>(&self, names: [&str; N]) {
        let found: BTreeSet<&str> = self.0.keys().map(String::as_str).collect();
        assert_eq!(found, BTreeSet::from(names));
    }

    #[track_caller]
    fn get(&self, name: &str) -> &Value {
        match self.0.get(name) {
            Some(value) => value,
            None => panic!("no {name} in {:?}", self.0),
        }
    }

    #[track_caller]
    fn number(&self, name: &str) -> f64 {
        let number = self.get(name).as_f64();
        number.unwrap_or_else(|| panic!("{name} is no number: {:?}", self.0))
    }

    /// A number of something of which there was some.
    #[track_caller]
    fn some(&self, name: &str) -> f64 {
        let number = self.number(name);
        assert!(number > 0.0, "{name}: {:?}", self.0);
        number
    }

    /// The longest time of three that a latency is told by.
    #[track_caller]
    fn longest(&self, latency: &str) -> f64 {
        let [p50, p99, max] =
            ["p50", "p99", "max"].map(|part| self.some(&format!("{latency}_{part}_ms")));
        assert!(p50 <= p99 && p99 <= max, "{latency}: {:?}", self.0);
        max
    }

    /// What was sent was delivered to so many each; but for what was on its way when the clock was started and when
    /// it was stopped.
    #[track_caller]
    fn were_delivered_to(&self, receivers: f64) {
        let sends = self.some("sends_per_second");
        let deliveries = self.some("deliveries_per_second");
        let on_their_way = 4.0 * self.some("in_flight") * receivers;
        assert!(
            (deliveries - sends * receivers).abs() <= on_their_way,
            "{:?}",
            self.0
        );
        assert!(self.some("messages_checked") >= sends, "{:?}", self.0);
        assert!(self.longest("echo") <= self.longest("delivery"));
    }

    /// The processor's time that is told for each of so many a second is that of the whole.
    #[track_caller]
    fn cost(&self, each: &str, a_second: &str) {
        let (share, spent) = (
            self.some("server_cpu_share"),
            self.some(each) * self.number(a_second) / 1e6,
        );
        let rounded = 0.02 * share + 0.001;
        assert!((share - spent).abs() <= rounded, "{each}: {:?}", self.0);
    }

    /// The memory that is told is about what the server still holds.
    #[track_caller]
    fn tell_the_memory_of(&self, binary: &Binary) {
        let told = self.some("server_rss_mib");
        let now = binary.resident_bytes() as f64 / 1024.0 / 1024.0;
        let about = now / 4.0..now * 4.0;
        assert!(about.contains(&told), "{told} of {now} MiB");
    }
}

async fn server() -> Binary {
    let no_limits = ["--messages-per-minute", "0", "--frames-per-second", "0"];
    Binary::serves(&no_limits).await
}

/// The id of its process: the one with its address on the command line.
fn process(binary: &Binary) -> String {
    let bind = format!("\0--bind\0{}\0", binary.address());
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let its_own = processes.map(|process| process.path()).find(|path| {
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&bind)
    });
    let path = its_own.expect("a process that serves there");
    path.file_name()
        .expect("an id")
        .to_string_lossy()
        .into_owned()
}

/// Measures a service, in chats of the load's own.
#[track_caller]
fn load(binary: &Binary, scenario: &str) -> Measured {
    let (url, process) = (format!("http://{}", binary.address()), process(binary));
    let mut all = vec!["load", "--json", "--url", &url, "--pid", &process];
    all.extend(scenario.split(' '));
    Measured::read(&binary.does(&all, ""))
}

#[tokio::test]
async fn few_send_and_every_member_hears_each_message_in_lock_step_and_in_flight() {
    let binary = server().await;
    for (manner, in_flight) in [("--lock-step", 1), ("--in-flight 16", 16)] {
        let fanout = format!("fanout --receivers 10 --senders 2 --seconds 1 {manner}");
        let found = load(&binary, &fanout);
        found.are([
            "scenario",
            "target",
            "dialect",
            "receivers",
            "senders",
            "in_flight",
            "seconds",
            "sends_per_second",
            "deliveries_per_second",
            "server_cpu_us_per_delivery",
            "server_cpu_us_per_send",
            "server_cpu_share",
            "frame_bytes",
            "echo_p50_ms",
            "echo_p99_ms",
            "echo_max_ms",
            "delivery_p50_ms",
            "delivery_p99_ms",
            "delivery_max_ms",
            "messages_checked",
            "server_rss_mib",
        ]);
        let given = ["scenario", "target", "dialect", "receivers", "senders"];
        let given = given.map(|name| found.get(name).clone());
        assert_eq!(json!(given), json!(["fanout", "chat", "chat", 10, 2]));
        assert_eq!(found.get("in_flight"), in_flight);
        assert!(found.some("seconds") >= 1.0);
        found.were_delivered_to(10.0);
        found.cost("server_cpu_us_per_delivery", "deliveries_per_second");
        found.cost("server_cpu_us_per_send", "sends_per_second");
        // 40 bytes of text and what stands around them.
        assert!((100.0..1000.0).contains(&found.number("frame_bytes")));
        found.tell_the_memory_of(&binary);
    }
}

#[tokio::test]
async fn everybody_sends_in_many_small_chats() {
    let binary = server().await;
    let rooms = "rooms --chats 4 --members 3 --in-flight 16 --seconds 1";
    let found = load(&binary, rooms);
    let given = ["scenario", "chats", "members", "in_flight"];
    let given = given.map(|name| found.get(name).clone());
    assert_eq!(json!(given), json!(["rooms", 4, 3, 16]));
    found.were_delivered_to(3.0);
    found.cost("server_cpu_us_per_delivery", "deliveries_per_second");
    found.cost("server_cpu_us_per_send", "sends_per_second");
    found.tell_the_memory_of(&binary);
}

#[tokio::test]
async fn connections_are_held_and_what_each_of_them_keeps_is_told() {
    let binary = server().await;
    let found = load(&binary, "idle --connections 40 --seconds 1");
    found.are([
        "scenario",
        "target",
        "connections",
        "server_rss_before_mib",
        "server_rss_mib",
        "rss_kib_per_connection",
        "rss_kib_per_connection_after_chats",
        "idle_cpu_share",
    ]);
    assert_eq!(found.get("connections"), 40);
    let [before, after] = ["server_rss_before_mib", "server_rss_mib"].map(|it| found.number(it));
    let grown = ((after - before) * 1024.0 / 40.0).max(0.0);
    assert!((found.number("rss_kib_per_connection") - grown).abs() < 0.1);
    found.tell_the_memory_of(&binary);
    // Of forty that say nothing, nobody hears much.
    assert!((0.0..0.5).contains(&found.number("idle_cpu_share")));
}

#[tokio::test]
async fn connections_are_made_as_fast_as_can_be_and_at_half_of_that_rate() {
    let binary = server().await;
    let found = load(&binary, "connect --connections 20 --seconds 1");
    found.are([
        "scenario",
        "target",
        "connections",
        "at_a_time",
        "handshakes_per_second",
        "server_cpu_us_per_handshake",
        "highest_rate_p50_ms",
        "highest_rate_p99_ms",
        "highest_rate_max_ms",
        "half_handshakes_per_second",
        "half_server_cpu_us_per_handshake",
        "half_rate_p50_ms",
        "half_rate_p99_ms",
        "half_rate_max_ms",
        "server_rss_mib",
    ]);
    let [highest, half] =
        ["handshakes_per_second", "half_handshakes_per_second"].map(|it| found.some(it));
    // A round ends when its last one is in, which takes a little longer than the rate says.
    assert!(half < highest, "{half} is not half of {highest}");
    for (latency, cost) in [
        ("highest_rate", "server_cpu_us_per_handshake"),
        ("half_rate", "half_server_cpu_us_per_handshake"),
    ] {
        found.longest(latency);
        found.some(cost);
    }
    found.tell_the_memory_of(&binary);
}

#[tokio::test]
async fn a_chat_is_filled_and_its_pages_are_asked_for() {
    let binary = server().await;
    let filled = load(&binary, "fill --messages 300");
    filled.are(["scenario", "target", "chat", "user", "messages", "middle"]);
    assert_eq!(filled.get("messages"), 300);
    let [chat, user, middle] = ["chat", "user", "middle"].map(|name| filled.number(name));

    let path = format!("/api/chats/{chat}/messages/?before={middle}&page_size=7");
    let asks = format!("rest {path} --user {user} --connections 1 --seconds 1");
    let page = load(&binary, &asks);
    assert_eq!(*page.get("path"), path);

    // Without a path it makes a chat of its own, with a page of fifty.
    let whole = load(&binary, "rest --connections 4 --seconds 1");
    for (found, connections) in [(&page, 1), (&whole, 4)] {
        found.are([
            "scenario",
            "target",
            "path",
            "connections",
            "requests_per_second",
            "server_cpu_us_per_request",
            "body_bytes",
            "answer_p50_ms",
            "answer_p99_ms",
            "answer_max_ms",
            "server_rss_mib",
        ]);
        assert_eq!(found.get("connections"), connections);
        found.some("requests_per_second");
        found.some("server_cpu_us_per_request");
        found.longest("answer");
        found.tell_the_memory_of(&binary);
    }
    let [seven, fifty] = [page, whole].map(|found| found.some("body_bytes"));
    assert!((5.0..9.0).contains(&(fifty / seven)), "{fifty} and {seven}");
}

/// A directory with a file of tokens, and nothing else.
fn place(tokens: &[&str]) -> TempDir {
    let place = tempfile::tempdir().expect("a temporary directory");
    let lines = tokens.join("\n") + "\n";
    fs::write(place.path().join("tokens"), lines).expect("a file of tokens");
    place
}

/// Measures the server at an address in its chat, with the tokens of a place: there is no database, and nothing may
/// ask for one.
fn load_there(place: &TempDir, to: SocketAddr, chat: i64, scenario: &str) -> Output {
    let all = format!(
        "load --json --url http://{to} {scenario} --chat {chat} --tokens tokens --seconds 1"
    );
    let all: Vec<&str> = all.split(' ').collect();
    // The server may be one of this test's own.
    let output = block_in_place(|| runs_in(place, &all, ""));
    assert!(!place.path().join("data").exists());
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_is_there_is_measured_with_its_members_tokens() {
    let binary = server().await;
    let [anna, boris, clara] = binary.users(["anna", "boris", "clara"]).await;
    let trip = anna.creates_group("trip", [&boris, &clara]).await;
    let place = place(&[&anna.access, &boris.access, &clara.access]);
    let load = |scenario| load_there(&place, binary.address(), trip.id, scenario);

    let found = Measured::of(&load("fanout --senders 2"));
    assert_eq!(found.get("receivers"), 3);
    found.were_delivered_to(3.0);
    // What it checked is what the service has.
    let page = anna.page(&trip, "").await;
    assert_eq!(page["count"], *found.get("messages_checked"));

    let found = Measured::of(&load("idle"));
    assert_eq!(found.get("connections"), 3);
    // Nobody named a process.
    found.are(["scenario", "target", "connections"]);

    let found = Measured::of(&load("connect"));
    assert_eq!(found.get("connections"), 3);
    found.some("handshakes_per_second");
    found.longest("half_rate");
}

/// What a server does to the fifth message, on the way to the last one who came.
#[derive(Clone, Copy)]
enum Habit {
    Honest,
    Loses,
    Repeats,
    Overtakes,
    Forges,
}

/// A server that speaks just so much of the chat dialect, and numbers nothing.
struct Other {
    to: SocketAddr,
    hall: Arc<Mutex<Hall>>,
    at_work: JoinHandle<()>,
}

/// Who is there, and what came so far.
struct Hall {
    habit: Habit,
    /// Path and token of every handshake.
    handshakes: BTreeSet<(String, String)>,
    people: Vec<UnboundedSender<String>>,
    said: usize,
    held_back: Option<String>,
}

impl Other {
    async fn serves(habit: Habit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("its address");
        let hall = Arc::new(Mutex::new(Hall {
            habit,
            handshakes: BTreeSet::new(),
            people: Vec::new(),
            said: 0,
            held_back: None,
        }));
        let entrance = Arc::clone(&hall);
        let at_work = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Gone with its connection.
                tokio::spawn(attend(stream, Arc::clone(&entrance)));
            }
        });
        Self { to, hall, at_work }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.at_work.abort();
    }
}

impl Hall {
    fn hear(&mut self, frame: &str) {
        let Ok(frame) = serde_json::from_str::<Value>(frame) else {
            return;
        };
        self.said += 1;
        let message = |text: &Value| json!({"type": "message", "data": {"text": text}}).to_string();
        let said = message(&frame["text"]);
        let Some((last, others)) = self.people.split_last() else {
            return;
        };
        // Who has gone hears nothing.
        let tell = |person: &UnboundedSender<String>, said: &str| drop(person.send(said.into()));
        others.iter().for_each(|person| tell(person, &said));
        match self.habit {
            Habit::Loses if self.said == 5 => {}
            Habit::Overtakes if self.said == 5 => self.held_back = Some(said),
            Habit::Repeats if self.said == 5 => (0..2).for_each(|_| tell(last, &said)),
            Habit::Forges if self.said == 5 => tell(last, &message(&json!("Buy now!"))),
            _ => {
                tell(last, &said);
                self.held_back
                    .take()
                    .iter()
                    .for_each(|said| tell(last, said));
            }
        }
    }
}

/// One connection, from its handshake to its end.
async fn attend(mut stream: TcpStream, hall: Arc<Mutex<Hall>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read_buf(&mut head).await.ok()?;
        (read > 0).then_some(())?;
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let mut headers = head.lines();
    let token = headers.find_map(|line| line.strip_prefix("authorization: Bearer "))?;
    let welcome =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(welcome.as_bytes()).await.ok()?;
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;

    let (person, mut told) = unbounded_channel();
    let hello = json!({"type": "connection_established", "chat_id": 7}).to_string();
    person.send(hello).ok()?;
    {
        let mut hall = hall.lock();
        hall.handshakes.insert((path, token.to_owned()));
        hall.people.push(person);
    }
    loop {
        tokio::select! {
            heard = socket.next() => if let Ws::Text(frame) = heard?.ok()? {
                hall.lock().hear(&frame);
            },
            frame = told.recv() => socket.send(Ws::text(frame?)).await.ok()?,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_server_that_speaks_the_chat_dialect_is_measured_and_asked_for_nothing_else() {
    let other = Other::serves(Habit::Honest).await;
    let place = place(&["one", "two", "", "three"]);
    let load = |scenario| Measured::of(&load_there(&place, other.to, 7, scenario));
    for scenario in ["fanout --lock-step", "fanout --senders 3"] {
        let found = load(scenario);
        assert_eq!(found.get("receivers"), 3);
        found.were_delivered_to(3.0);
    }
    load("idle").are(["scenario", "target", "connections"]);
    load("connect").some("half_handshakes_per_second");
    let asked = ["one", "three", "two"].map(|token| ("/ws/chat/7/".to_owned(), token.to_owned()));
    assert_eq!(other.hall.lock().handshakes, BTreeSet::from(asked));
}

/// What the load says of a server with this habit, in which messages are numbered from 0.
async fn complaint(habit: Habit, scenario: &str) -> String {
    let other = Other::serves(habit).await;
    let place = place(&["one", "two", "three"]);
    let output = load_there(&place, other.to, 7, scenario);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "such a run has no figures");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loses_repeats_reorders_or_makes_up_a_message_fails_the_run() {
    for (habit, told) in [
        (Habit::Loses, "a receiver was due number 4 and got 5"),
        (Habit::Repeats, "a receiver was due number 5 and got 4"),
        (Habit::Overtakes, "a receiver was due number 4 and got 5"),
        (
            Habit::Forges,
            "a receiver got a message that nobody here sent",
        ),
    ] {
        let complaint = complaint(habit, "fanout --in-flight 16").await;
        assert!(complaint.contains(told), "{told}: {complaint}");
    }
}

/// Nothing shows it but the count: the next message isn't sent before all have this one. It takes the load's own
/// patience of 15 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_message_that_no_other_one_follows_fails_the_run_too() {
    let complaint = complaint(Habit::Loses, "fanout --lock-step").await;
    let lost = complaint.contains("messages were lost: member ");
    assert!(lost && complaint.contains("has 4 of 5"), "{complaint}");
}

#[test]
fn what_a_load_is_given_wrongly_it_says_before_it_asks_anybody() {
    let place = place(&["one", "two"]);
    for (arguments, code, told) in [
        ("fanout --chat 7", 2, "--tokens <FILE>"),
        ("idle --tokens tokens", 2, "--chat <ID>"),
        (
            "fanout --chat 7 --tokens tokens --receivers 2",
            2,
            "--receivers <N>",
        ),
        (
            "fanout --chat 7 --tokens tokens --dialect rpc",
            2,
            "--dialect <DIALECT>",
        ),
        (
            "connect --chat 7 --tokens tokens --connections 20",
            2,
            "--connections <N>",
        ),
        (
            "fanout --chat 7 --tokens tokens --senders 3",
            1,
            "senders are receivers too",
        ),
        (
            "fanout --chat 7 --tokens nowhere",
            1,
            "the tokens in nowhere: No such file",
        ),
        (
            "--url https://chat.example idle",
            1,
            "https://chat.example: a load speaks no TLS",
        ),
        (
            "--url chat.example idle",
            1,
            "chat.example is no address of a server: http://HOST:PORT is",
        ),
        ("--pid 4294967295 idle", 1, "there is no process 4294967295"),
    ] {
        let all: Vec<&str> = ["load"].into_iter().chain(arguments.split(' ')).collect();
        let output = runs_in(&place, &all, "");
        let refused = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(refused.contains(told), "{arguments}: {refused}");
        assert_eq!(output.status.code(), Some(code), "{arguments}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
    assert!(!place.path().join("data").exists());
}

#[test]
fn the_help_tells_what_a_tertulia_needs_and_how_another_server_is_measured() {
    for (command, words) in [
        (
            "load --help",
            "http://HOST:PORT wss:// TERTULIA_MESSAGES_PER_MINUTE=0 --tokens",
        ),
        ("load fanout --help", "--chat --tokens Bearer"),
        ("load idle --help", "--chat --tokens"),
        ("load connect --help", "--chat --tokens"),
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let output = runs_in(&place(&[]), &arguments, "");
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        for word in words.split(' ') {
            assert!(
                help.contains(word),
                "{command} has no word on {word}: {help}"
            );
        }
    }
}
