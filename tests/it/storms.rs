//! Several nodes, as processes of their own, on one database and one Redis, while any of these is killed, cut off and
//! started again: what was acknowledged is there, nothing is doubled, and everybody at every node hears the same.
//!
//! `TERTULIA_TEST_LONG` makes it 10 rounds with 10 s of calm between them. Its last result stands in docs/stress.md.

use std::time::Duration;

use serde_json::json;
use test_database::{Proxy, TestDatabase};
use tokio::time::Instant;

use crate::support::{
    Chat, Person, binary::Binary, look_around, postgres::Postgres, redis::TestRedis, talk::Crowd,
    until,
};

/// What Redis doesn't tell is found by looking, every other second.
const SOON: Duration = Duration::from_secs(3);
/// So long the others do without what was stopped.
const OUTAGE: Duration = Duration::from_secs(3);

/// How many times something breaks, and how long all is well before that.
fn rounds() -> (usize, Duration) {
    match std::env::var_os("TERTULIA_TEST_LONG") {
        Some(_) => (10, Duration::from_secs(10)),
        None => (3, Duration::from_millis(500)),
    }
}

/// Nodes of one service.
struct City {
    nodes: Vec<Binary>,
    database: String,
}

impl City {
    /// As many nodes as there are layers, on one database.
    async fn new(database: &str, layers: &[&str]) -> Self {
        let uploads = tempfile::tempdir().expect("a directory").keep();
        let uploads = uploads.display().to_string();
        let mut nodes = Vec::new();
        for layer in layers {
            let options = [
                ["--database-url", database],
                ["--layer-url", layer],
                ["--uploads-dir", &uploads],
                ["--messages-per-minute", "0"],
                ["--changes-per-minute", "0"],
                ["--history-per-minute", "0"],
                ["--frames-per-second", "0"],
                ["--access-token-lifetime", "1h"],
                ["--connections-per-chat", "many"],
            ];
            nodes.push(Binary::serves(options.as_flattened()).await);
        }
        City {
            nodes,
            database: database.to_owned(),
        }
    }

    /// People at every node, who write and read in two chats.
    async fn talks(&self) -> (Crowd, [Chat; 2]) {
        let people = ["anna", "boris", "clara"];
        let [anna, boris, clara] = self.nodes[0].users(people).await;
        let chats = [
            anna.creates_group("trip", [&boris, &clara]).await,
            anna.creates_group("work", [&boris, &clara]).await,
        ];
        let mut crowd = Crowd::default();
        for (number, node) in self.nodes.iter().enumerate() {
            let at = |person: &Person| Person {
                name: format!("{}@{number}", person.name),
                ..person.at(node.address())
            };
            for chat in chats {
                crowd.writes(&at(&anna), chat);
                crowd.reads(&at(&boris), chat);
            }
            crowd.posts(&at(&clara), chats[number % 2]);
        }
        (crowd, chats)
    }

    async fn ends(self, crowd: Crowd, chats: &[Chat]) {
        let database = look_around::open(&self.database).await;
        let kept = crowd.ends(chats, &database).await;
        println!("{kept} promises kept by {} nodes", self.nodes.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_that_are_killed_one_after_the_other_lose_nothing() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let database = TestDatabase::new();
    let mut city = City::new(database.url(), &[redis.url(); 3]).await;
    let (crowd, chats) = city.talks().await;
    let (rounds, calm) = rounds();
    for round in 0..rounds {
        crowd.goes_on_for(calm).await;
        let node = &mut city.nodes[round % 3];
        node.is_killed();
        crowd.goes_on().await; // at the other two
        node.starts_again().await;
    }
    city.ends(crowd, &chats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stops_and_comes_back_with_or_without_its_data_loses_nothing() {
    let Some(mut redis) = TestRedis::start() else {
        return;
    };
    let database = TestDatabase::new();
    let city = City::new(database.url(), &[redis.url(); 2]).await;
    let (crowd, chats) = city.talks().await;
    let (rounds, calm) = rounds();
    for round in 0..rounds {
        crowd.goes_on_for(calm).await;
        redis.dies();
        crowd.goes_on_for(OUTAGE).await; // sends are acknowledged without it
        if round % 2 == 1 {
            redis.forgets();
        }
        redis.starts();
    }
    city.ends(crowd, &chats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_redis_loses_nothing() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let database = TestDatabase::new();
    let proxy = Proxy::before_server(redis.host().to_owned());
    let by_proxy = format!("redis://{}/0", proxy.address());
    let city = City::new(database.url(), &[redis.url(), &by_proxy]).await;
    let (crowd, chats) = city.talks().await;
    let (rounds, calm) = rounds();
    for round in 0..rounds {
        crowd.goes_on_for(calm).await;
        match round % 3 {
            0 => proxy.cuts(),
            1 => proxy.swallows_an_answer(),
            _ => {
                proxy.refuses();
                crowd.goes_on_for(OUTAGE).await;
                proxy.admits();
            }
        }
        crowd.goes_on().await;
    }
    city.ends(crowd, &chats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_is_restarted_under_two_nodes_loses_nothing() {
    let (Some(redis), Some(mut postgres)) = (TestRedis::start(), Postgres::start()) else {
        return;
    };
    let city = City::new(&postgres.url(), &[redis.url(); 2]).await;
    let (crowd, chats) = city.talks().await;
    let (rounds, calm) = rounds();
    for round in 0..rounds {
        crowd.goes_on_for(calm).await;
        match round % 2 {
            0 => postgres.crashes(),
            _ => postgres.stops(),
        }
        let ready = |node: &Binary| {
            let to = node.address();
            async move {
                crate::support::Request::new("GET", "/readyz")
                    .send(to)
                    .await
                    .status
            }
        };
        until("a node to say that it isn't ready", || async {
            (ready(&city.nodes[0]).await == 503).then_some(())
        })
        .await;
        postgres.starts();
        for node in &city.nodes {
            until("the nodes to be ready again", || async {
                (ready(node).await == 200).then_some(())
            })
            .await;
        }
        crowd.goes_on().await;
    }
    city.ends(crowd, &chats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_chats_go_on_and_other_nodes_catch_up_within_three_seconds() {
    let Some(mut redis) = TestRedis::start() else {
        return;
    };
    let database = TestDatabase::new();
    let city = City::new(database.url(), &[redis.url(); 2]).await;
    let [here, there] = [&city.nodes[0], &city.nodes[1]];
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.at(there.address()).joins(&trip).await;
    let mut hears = async |text: &str| {
        annas.says(text).await;
        let began = Instant::now();
        assert_eq!(annas.next_message().await.text, text);
        let on_its_node = began.elapsed();
        assert_eq!(boriss.next_message().await.text, text);
        (on_its_node, began.elapsed())
    };
    hears("with it").await;
    redis.dies();
    for text in ["without it", "still without it", "and once more"] {
        let (here, there) = hears(text).await;
        assert!(here < Duration::from_secs(2), "acknowledged after {here:?}");
        assert!(there < SOON, "{text:?} was heard after {there:?}");
    }
    redis.forgets();
    redis.starts();
    hears("it is back").await;
    let body = json!({"text": "over REST", "client_id": "k"});
    let target = format!("/api/chats/{trip}/messages/");
    boris
        .at(there.address())
        .post(&target, body)
        .await
        .expect(201);
    assert_eq!(annas.next_message().await.text, "over REST");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_swallows_is_made_up_for_within_three_seconds() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let database = TestDatabase::new();
    let proxy = Proxy::before_server(redis.host().to_owned());
    let by_proxy = format!("redis+pubsub://{}/0", proxy.address());
    let through = format!("redis+pubsub://{}/0", redis.host());
    let city = City::new(database.url(), &[&through, &by_proxy]).await;
    let [here, there] = [&city.nodes[0], &city.nodes[1]];
    let [anna, removed, gone] = here.users(["anna", "removed", "gone"]).await;
    let trip = anna.creates_group("trip", [&removed, &gone]).await;
    let mut phones = [
        removed.at(there.address()).joins(&trip).await,
        gone.at(there.address()).joins(&trip).await,
    ];
    anna.says(&trip, "Redis tells it").await;
    for phone in &mut phones {
        assert_eq!(phone.next_message().await.text, "Redis tells it");
    }
    proxy.keeps_messages();
    let began = Instant::now();
    anna.says(&trip, "Redis keeps it").await;
    for phone in &mut phones {
        assert_eq!(phone.next_message().await.text, "Redis keeps it");
    }
    assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
    let kept = proxy.kept();
    assert!(kept > 0, "nothing was swallowed");
    let began = Instant::now();
    anna.removes(&trip, &removed).await;
    gone.signs_out().await;
    let codes = [
        phones[0].is_closed_at_last().await.code,
        phones[1].is_closed_at_last().await.code,
    ];
    assert_eq!(codes, [4003, 4001]);
    assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
    assert!(proxy.kept() > kept, "nothing was swallowed");
}
