//! What a service tells of itself at `/metrics`: every number moves when its thing happens, and says nothing of
//! anybody.

use std::{net::SocketAddr, sync::Arc};

use serde_json::json;
use tertulia::{
    chat::ConnectionId,
    hub::{Close, Queue, QueueLimits, QueueTotal, SharedFrame},
    layer::{ChannelLayer, LayerError, LayerMessage, Layered, MemoryLayer},
    metrics,
};
use tokio::sync::watch;

use crate::support::{
    Request, Server,
    binary::{Binary, address_of_ones_own},
    figures::Figures,
    until,
};

/// A program, and where it shows its metrics.
async fn serves() -> (Binary, SocketAddr) {
    let shown_at = address_of_ones_own();
    let binary = Binary::serves(&["--metrics-bind", &shown_at.to_string()]).await;
    (binary, shown_at)
}

async fn figures(at: SocketAddr) -> Figures {
    Figures::of(&Request::new("GET", "/metrics").send(at).await)
}

/// Asks until `series` is `value`: what is counted after its answer is out is counted soon.
async fn until_it_is(at: SocketAddr, series: &str, value: f64) {
    until(series, || async {
        (figures(at).await.get(series) == value).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_people_do_moves_the_numbers() {
    let (binary, at) = serves().await;
    let [anna, boris] = binary.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let before = figures(at).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    for text in ["one", "two", "three"] {
        annas.says(text).await;
        annas.next_message().await;
        boriss.next_message().await;
    }
    let message = anna.says(&trip, "four").await;
    anna.edits(&trip, &message, "4").await;
    boriss.hears_at_last("message_edited").await;
    let mut all = boris.follows().await;
    all.still_works_among_messages().await;

    let after = figures(at).await;
    let grew = |series: &str| after.get(series) - before.get(series);
    assert_eq!(after.get("tertulia_connections{dialect=\"chat\"}"), 2.0);
    assert_eq!(after.get("tertulia_connections{dialect=\"chats\"}"), 1.0);
    assert_eq!(
        grew("tertulia_connections_opened_total{dialect=\"chat\"}"),
        2.0
    );
    assert_eq!(grew("tertulia_messages_total"), 4.0);
    assert_eq!(grew("tertulia_changes_total"), 1.0);
    assert!(grew("tertulia_deliveries_total") >= 10.0, "{after:?}");
    assert!(grew("tertulia_bursts_total") >= 5.0, "{after:?}");
    assert_eq!(grew("tertulia_commit_jobs_sum"), 5.0);
    assert_eq!(
        grew("tertulia_commit_jobs_count"),
        grew("tertulia_commit_seconds_count")
    );
    assert!(grew("tertulia_commit_seconds_sum") > 0.0);
    assert_eq!(grew("tertulia_http_requests_total{status=\"201\"}"), 1.0);
    assert_eq!(grew("tertulia_http_requests_total{status=\"200\"}"), 1.0);
    assert_eq!(grew("tertulia_http_request_seconds_count"), 2.0);
    assert_eq!(after.get("tertulia_up{part=\"database\"}"), 1.0);
    assert_eq!(after.get("tertulia_up{part=\"layer\"}"), 1.0);
    assert_eq!(
        after.get(concat!(
            "tertulia_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"}"
        )),
        1.0
    );
    let sweeps = after.get("tertulia_sweeps_total");
    until("a sweep", || async {
        (figures(at).await.get("tertulia_sweeps_total") > sweeps).then_some(())
    })
    .await;

    annas.closes().await;
    boriss.loses_network().await;
    until_it_is(at, "tertulia_connections{dialect=\"chat\"}", 0.0).await;
    until_it_is(at, "tertulia_connections_left_total", 1.0).await;
    let cut = "tertulia_connections_closed_total{code=\"1006\"}";
    until_it_is(at, cut, 1.0).await;
    all.closes().await;
}

#[tokio::test]
async fn refusals_are_counted_by_their_cause() {
    let (binary, at) = serves().await;
    let [anna, boris] = binary.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let others = anna.creates_group("others", []).await;
    let mut boriss = boris.joins(&trip).await;
    let to = binary.address();
    let before = figures(at).await;

    assert!(boris.tries_to_join(&others).await.is_err());
    boris
        .with_token("no.such.token")
        .tries_to_join(&trip)
        .await
        .err()
        .expect("no sign-in");
    Request::new("GET", "/ws/chat/1/")
        .send(to)
        .await
        .expect(426);
    boris.get("/api/nothing/").await.expect(404);
    let wrong = json!({"username": "anna", "password": "not hers"});
    boris.post("/api/token/", wrong).await.expect(401);
    for number in 0..10 {
        anna.says(&trip, &format!("{number}")).await;
    }
    anna.tries_to_say(&trip, json!({"text": "the eleventh"}))
        .await
        .expect(429);
    anna.removes(&trip, &boris).await;
    assert_eq!(boriss.is_closed_at_last().await.code, 4003);

    let moved = [
        "tertulia_connections_refused_total{code=\"4003\"}",
        "tertulia_connections_refused_total{code=\"4001\"}",
        "tertulia_handshakes_refused_total{status=\"426\"}",
        "tertulia_http_requests_total{status=\"404\"}",
        "tertulia_http_requests_total{status=\"401\"}",
        "tertulia_http_requests_total{status=\"429\"}",
        "tertulia_signins_failed_total",
        "tertulia_throttled_total{what=\"message\"}",
    ];
    let after = figures(at).await;
    for series in moved {
        assert_eq!(after.get(series) - before.get(series), 1.0, "{series}");
    }
    // Refused ones end with the same codes.
    until_it_is(at, "tertulia_connections_closed_total{code=\"4003\"}", 2.0).await;
    until_it_is(at, "tertulia_connections_closed_total{code=\"4001\"}", 1.0).await;
}

#[tokio::test]
async fn the_process_tells_of_itself() {
    let (binary, at) = serves().await;
    let one = figures(at).await;
    let resident = one.get("process_resident_memory_bytes");
    let seen = binary.resident_bytes() as f64;
    assert!(
        (seen / 2.0..seen * 2.0).contains(&resident),
        "{resident}, seen {seen}"
    );
    let (open, max) = (one.get("process_open_fds"), one.get("process_max_fds"));
    assert!(open > 5.0 && open < max, "{open} of {max}");
    assert!(one.get("process_cpu_seconds_total") > 0.0);
    let now = chrono::Utc::now().timestamp() as f64;
    let age = now - one.get("process_start_time_seconds");
    assert!((-2.0..120.0).contains(&age), "{age}");
}

#[tokio::test]
async fn nobody_is_named_and_no_series_is_added_by_what_people_do() {
    let (binary, at) = serves().await;
    let before = figures(at).await;
    let [anna, boris] = binary.users(["walnut", "boris"]).await;
    let trip = anna.creates_group("walnuts", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    annas.says("walnut").await;
    annas.next_message().await;
    annas.sends_text("no JSON").await;
    annas.hears("error").await;
    let teapot = Request::new("BREW", "/api/walnut/")
        .send(binary.address())
        .await;
    assert!(teapot.status >= 400);
    let shown = Request::new("GET", "/metrics").send(at).await;
    assert!(!shown.text().contains("walnut"), "{}", shown.text());
    let after = Figures::of(&shown);
    assert_eq!(before.series(), after.series());
    annas.closes().await;
}

#[tokio::test]
async fn without_an_address_of_their_own_the_metrics_are_for_staff() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let operator = server.operator("operator").await;
    server.get("/metrics").await.expect(401);
    anna.get("/metrics").await.expect(403);
    Figures::of(&operator.get("/metrics").await);
    Figures::of(&operator.get("/metrics/").await);
}

#[tokio::test]
async fn with_an_address_of_their_own_the_metrics_are_there_alone() {
    let (binary, at) = serves().await;
    let [anna] = binary.users(["anna"]).await;
    anna.get("/metrics").await.expect(403);
    Request::new("GET", "/metrics")
        .send(binary.address())
        .await
        .expect(401);
    figures(at).await;
    Request::new("GET", "/healthz").send(at).await.expect(404);
    Request::new("GET", "/api/users/")
        .send(at)
        .await
        .expect(404);
    let written = Request::new("POST", "/metrics").send(at).await;
    assert_eq!(written.status, 405);
}

#[test]
fn a_queue_that_is_full_is_counted_and_what_it_drops() {
    let limits = QueueLimits {
        frames_max: 2,
        ..QueueLimits::default()
    };
    let queue = Queue::new(ConnectionId(1), QueueTotal::new(limits));
    let frame = || SharedFrame::text("{}");
    let (overflows, dropped) = (metrics::QUEUE_OVERFLOWS.of("own"), &metrics::QUEUE_DROPPED);
    let (overflows_before, dropped_before) = (overflows.get(), dropped.get());
    assert!(queue.push(frame()) && queue.push(frame().ephemeral()));
    assert!(queue.push(frame().ephemeral()), "one too many, and passing");
    assert_eq!(dropped.get() - dropped_before, 1);
    assert!(queue.push(frame()), "in the place of what passes");
    assert_eq!(dropped.get() - dropped_before, 2);
    assert_eq!(overflows.get(), overflows_before);
    assert!(!queue.push(frame()));
    assert_eq!(overflows.get() - overflows_before, 1);
    assert_eq!(queue.closing(), Some(Close::TOO_SLOW));
}

/// A layer that can be away, and loses what it is told meanwhile.
#[derive(Default)]
struct Fickle {
    under: MemoryLayer,
    is_away: watch::Sender<bool>,
}

fn away<T>() -> Result<T, LayerError> {
    Err(LayerError::Away("for a walk".to_owned()))
}

impl ChannelLayer for Fickle {
    fn new_channel(&self) -> Layered<'_, String> {
        self.under.new_channel()
    }

    fn end_channel<'a>(&'a self, channel: &'a str) -> Layered<'a, ()> {
        self.under.end_channel(channel)
    }

    fn group_add<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()> {
        self.under.group_add(group, channel)
    }

    fn group_discard<'a>(&'a self, group: &'a str, channel: &'a str) -> Layered<'a, ()> {
        self.under.group_discard(group, channel)
    }

    fn group_send<'a>(&'a self, group: &'a str, message: LayerMessage) -> Layered<'a, ()> {
        match *self.is_away.borrow() {
            true => Box::pin(async { away() }),
            false => self.under.group_send(group, message),
        }
    }

    fn send<'a>(&'a self, channel: &'a str, message: LayerMessage) -> Layered<'a, ()> {
        self.under.send(channel, message)
    }

    fn receive<'a>(&'a self, channel: &'a str) -> Layered<'a, LayerMessage> {
        let mut is_away = self.is_away.subscribe();
        Box::pin(async move {
            tokio::select! {
                biased;
                _ = is_away.wait_for(|is_away| *is_away) => away(),
                heard = self.under.receive(channel) => heard,
            }
        })
    }

    fn has_others(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_layer_that_goes_away_and_comes_back_is_told_and_what_it_lost_is_counted() {
    let layer = Arc::new(Fickle::default());
    let [here, there] = Server::two_nodes(layer.clone()).await;
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let boris = boris.at(there.address());
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut boriss = boris.joins(&trip).await;
    let sent = || metrics::LAYER_PUBLISHES.of("sent").get();
    let failed = || metrics::LAYER_PUBLISHES.of("failed").get();
    let (sent_before, heard_before) = (sent(), metrics::LAYER_RECEIVED.get());
    anna.says(&trip, "by the layer").await;
    assert_eq!(boriss.next_message().await.text, "by the layer");
    until("what was said and heard to be counted", || async {
        (sent() > sent_before && metrics::LAYER_RECEIVED.get() > heard_before).then_some(())
    })
    .await;

    let (failed_before, lost_before) = (failed(), metrics::EVENTS_READ_BACK.get());
    let repairs_before = metrics::REPAIRS.get();
    let up = metrics::UP.of("layer");
    assert_eq!(up.get(), 1);
    layer.is_away.send_replace(true);
    until("the layer to be missed", || async {
        (up.get() == 0).then_some(())
    })
    .await;
    anna.says(&trip, "by the sweep").await;
    assert_eq!(boriss.next_message().await.text, "by the sweep");
    assert!(failed() > failed_before);
    assert!(metrics::REPAIRS.get() > repairs_before);
    assert!(metrics::EVENTS_READ_BACK.get() > lost_before);

    let reconnects_before = metrics::LAYER_RECONNECTS.get();
    layer.is_away.send_replace(false);
    until("the layer to be heard again", || async {
        anna.says(&trip, "hello?").await;
        (metrics::LAYER_RECONNECTS.get() > reconnects_before && up.get() == 1).then_some(())
    })
    .await;
}
