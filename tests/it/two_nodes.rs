//! Two nodes of one database, and between them a layer that keeps to nothing: everybody hears everything all
//! the same, once and in order, and whoever is sent away on one node is out on the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tertulia::layer::{ChannelLayer, LayerMessage, Layered, MemoryLayer};

use crate::support::{Chat, Person, Phone, Server};

/// What the layer doesn't tell is found by looking, every other second.
const SOON: Duration = Duration::from_secs(3);

/// What a bad layer does to what it is given.
#[derive(Clone, Copy)]
enum Mood {
    /// It loses everything.
    Deaf,
    /// It loses, repeats and reorders as it likes.
    Moody,
}

struct BadLayer {
    under: MemoryLayer,
    mood: Mood,
    state: Mutex<(StdRng, Option<(String, LayerMessage)>)>,
}

impl BadLayer {
    fn new(mood: Mood) -> Arc<Self> {
        let seed = std::env::var("TERTULIA_TEST_SEED").ok();
        let seed = seed.and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| rand::rng().random());
        println!("TERTULIA_TEST_SEED={seed}");
        Arc::new(Self {
            under: MemoryLayer::default(),
            mood,
            state: Mutex::new((StdRng::seed_from_u64(seed), None)),
        })
    }

    /// What goes on of a message, and when: what was held back follows what came after it.
    fn passes(&self, group: &str, message: LayerMessage) -> Vec<(String, LayerMessage)> {
        let message = (group.to_owned(), message);
        let mut state = self.state.lock();
        let (random, held_back) = &mut *state;
        match (self.mood, random.random_range(0..4)) {
            (Mood::Deaf, _) | (_, 0) => Vec::new(),
            (_, 1) => held_back.replace(message).into_iter().collect(),
            (_, 2) => [message.clone(), message]
                .into_iter()
                .chain(held_back.take())
                .collect(),
            _ => [message].into_iter().chain(held_back.take()).collect(),
        }
    }
}

impl ChannelLayer for BadLayer {
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
        let passes = self.passes(group, message);
        Box::pin(async move {
            for (group, message) in passes {
                self.under.group_send(&group, message).await?;
            }
            Ok(())
        })
    }

    fn send<'a>(&'a self, channel: &'a str, message: LayerMessage) -> Layered<'a, ()> {
        self.under.send(channel, message)
    }

    fn receive<'a>(&'a self, channel: &'a str) -> Layered<'a, LayerMessage> {
        self.under.receive(channel)
    }

    fn has_others(&self) -> bool {
        true
    }
}

/// What a phone has heard: each number and what it was.
fn heard(phone: &Phone) -> Vec<(Value, Value)> {
    let frames = phone.log().iter();
    frames
        .map(|frame| (frame["seq"].clone(), frame["type"].clone()))
        .collect()
}

async fn hears_up_to(phone: &mut Phone, seq: i64) {
    while phone.seq() < seq {
        phone.next_frame().await;
    }
}

/// Says, edits and deletes: 50 messages, 10 edits, 10 deletions.
async fn talks(person: Person, chat: Chat) {
    for number in 0..50 {
        let text = format!("{} {number}", person.name);
        let said = person.says(&chat, &text).await;
        match number % 5 {
            1 => drop(person.edits(&chat, &said, "edited").await),
            3 => person.deletes(&chat, &said).await,
            _ => {}
        }
    }
}

#[tokio::test]
async fn whatever_the_layer_loses_repeats_or_reorders_everybody_hears_the_same() {
    let [here, there] = Server::two_nodes(BadLayer::new(Mood::Moody)).await;
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let boris = boris.at(there.address());
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    let talk = [talks(anna.clone(), trip), talks(boris.clone(), trip)];
    let talk = futures_util::future::join_all(talk);
    let listen =
        async { tokio::join!(hears_up_to(&mut annas, 140), hears_up_to(&mut boriss, 140)) };
    tokio::join!(talk, listen);
    assert_eq!(heard(&annas), heard(&boriss));
    assert_eq!(
        anna.page(&trip, "").await["results"],
        boris.page(&trip, "").await["results"]
    );
}

#[tokio::test]
async fn what_the_layer_keeps_to_itself_is_heard_within_three_seconds() {
    let [here, there] = Server::two_nodes(BadLayer::new(Mood::Deaf)).await;
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let boris = boris.at(there.address());
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut boriss = boris.joins(&trip).await;
    let began = Instant::now();
    anna.says(&trip, "Can you hear me?").await;
    assert_eq!(boriss.next_message().await.text, "Can you hear me?");
    assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
}

#[tokio::test]
async fn whoever_is_sent_away_on_one_node_is_out_on_the_other_within_three_seconds() {
    let [here, there] = Server::two_nodes(BadLayer::new(Mood::Deaf)).await;
    let [anna, removed, gone] = here.users(["anna", "removed", "gone"]).await;
    let trip = anna.creates_group("trip", [&removed, &gone]).await;
    let [removed, gone] = [removed, gone].map(|person| person.at(there.address()));
    let mut phones = [removed.joins(&trip).await, gone.joins(&trip).await];
    let began = Instant::now();
    anna.removes(&trip, &removed).await;
    gone.at(here.address()).signs_out().await;
    let codes = [
        phones[0].is_closed_at_last().await.code,
        phones[1].is_closed_at_last().await.code,
    ];
    assert_eq!(codes, [4003, 4001]);
    assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
    gone.get("/api/users/me/").await.expect(401);
    removed
        .get(&format!("/api/chats/{trip}/"))
        .await
        .expect(404);
}
