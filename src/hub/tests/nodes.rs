//! Hubs over a database: repair, replay, and the step from replay to live.

use std::{sync::Arc, time::Duration};

use entity::{ChatId, Role, Seq};

use super::{
    reader::{Reader, number},
    testing::{Node, Town},
};
use crate::{
    chat::{Actor, ChatEvent, ConnectionId},
    hub::{QueueLimits, Replayed, Seat, Seated, SharedFrame},
    layer::MemoryLayer,
};

/// Only a failure waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn layer() -> Arc<MemoryLayer> {
    Arc::new(MemoryLayer::default())
}

/// What the chat dialect says at a replay's end.
fn synced(replayed: Replayed) -> Option<SharedFrame> {
    Some(SharedFrame::text(&format!("synced {}", replayed.seq)))
}

/// A reader that hears everything from where the chat stands.
async fn sits(node: &Node, who: &Actor, chat: ChatId) -> (Seated, Reader) {
    // How much comes at once is not what these stories are about.
    let roomy = QueueLimits {
        frames_max: 10_000,
        ..QueueLimits::default()
    };
    let reader = Reader::with_limits(1, who.id().0, roomy);
    let (hub, entered) = node.hubs.enter(who, chat).await.unwrap();
    let seat = reader.seat.clone();
    let seated = node.hubs.seat(who, hub, entered, seat, |_, _| None).await;
    (seated.unwrap(), reader)
}

/// Asks for what happened since, again and again while there is more; how often, and how it ended.
async fn catches_up(
    node: &Node,
    who: &Actor,
    chat: ChatId,
    seat: Seat,
    since: Seq,
) -> (Seated, Vec<Replayed>) {
    let (hub, entered) = node.hubs.enter(who, chat).await.unwrap();
    let seated = node.hubs.stand(hub, seat);
    let mut replays = vec![seated.replay(&entered, since, synced).await.unwrap()];
    while let Some(last) = replays.last().filter(|last| last.has_more) {
        let (_, entered) = node.hubs.enter(who, chat).await.unwrap();
        replays.push(seated.replay(&entered, last.seq, synced).await.unwrap());
    }
    (seated, replays)
}

/// Hears until this number has come; all numbers heard.
async fn hears_until(reader: &mut Reader, last: Seq) -> Vec<i64> {
    let mut numbers = Vec::new();
    let heard = async {
        while numbers.last() != Some(&last.0) {
            let frames = reader.hears().await.unwrap();
            numbers.extend(frames.iter().filter_map(|frame| number(frame)));
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, heard).await;
    assert!(in_time.is_ok(), "waited in vain for {last:?}: {numbers:?}");
    // What was heard last counts as written too: a replay waits for that.
    reader.heard();
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replays_go_live_without_a_gap_or_a_repeat_while_everybody_talks() {
    const SAID: i64 = 2000;
    let town = Town::new().await;
    let node = Arc::new(town.node(layer()).await);
    let anna = node.person("anna").await;
    let chat = node.group(&anna, &[]).await;

    let talk = {
        let (node, anna) = (node.clone(), anna.clone());
        tokio::spawn(async move {
            for _ in 0..SAID / 20 {
                node.says_much(&anna, chat, 20).await;
            }
        })
    };
    let mut reading = Vec::new();
    for connection in 0..40 {
        let (node, anna) = (node.clone(), anna.clone());
        reading.push(tokio::spawn(async move {
            let mut reader = Reader::new(connection, anna.id().0);
            let seat = reader.seat.clone();
            let stands = node.hubs.enter(&anna, chat).await.unwrap().1.last_seq;
            let since = Seq(stands.0 * (connection as i64 % 3) / 2).min(stands);
            let (seated_and_replays, heard) = tokio::join!(
                catches_up(&node, &anna, chat, seat, since),
                hears_until(&mut reader, Seq(SAID)),
            );
            let wanted: Vec<i64> = (since.0 + 1..=SAID).collect();
            assert_eq!(heard, wanted, "{connection} since {since:?}");
            drop(seated_and_replays);
        }));
        if connection % 4 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for reads in reading {
        reads.await.unwrap();
    }
    talk.await.unwrap();
}

#[tokio::test]
async fn a_thousand_events_are_replayed_at_once_and_the_rest_when_asked_for() {
    let town = Town::new().await;
    let node = town.node(layer()).await;
    let anna = node.person("anna").await;
    let chat = node.group(&anna, &[]).await;
    let last = node.says_much(&anna, chat, 1001).await;
    assert_eq!(last, Seq(1001));

    for (since, seqs) in [(0, &[1000, 1001][..]), (1, &[1001])] {
        let mut reader = Reader::new(1, anna.id().0);
        let seat = reader.seat.clone();
        let ((_seated, replays), heard) = tokio::join!(
            catches_up(&node, &anna, chat, seat, Seq(since)),
            hears_until(&mut reader, last),
        );
        let ends: Vec<_> = replays.iter().map(|replay| replay.seq.0).collect();
        assert_eq!(
            (ends.as_slice(), heard.len()),
            (seqs, 1001 - since as usize)
        );
        assert!(!replays.iter().any(|replay| replay.reset));
    }
    node.stop().await;
}

#[tokio::test]
async fn who_knows_more_than_the_chat_is_told_to_begin_anew() {
    let town = Town::new().await;
    let node = town.node(layer()).await;
    let anna = node.person("anna").await;
    let chat = node.group(&anna, &[]).await;
    let last = node.says(&anna, chat, "hello").await;

    let mut reader = Reader::new(1, anna.id().0);
    let (_seated, replays) = catches_up(&node, &anna, chat, reader.seat.clone(), Seq(7)).await;
    let reset = Replayed {
        since: Seq(7),
        seq: last,
        has_more: false,
        reset: true,
    };
    assert_eq!(replays, [reset]);
    assert_eq!(reader.heard(), ["synced 1"]);
    assert_eq!(node.says(&anna, chat, "again").await, last.next());
    assert_eq!(reader.heard(), ["2 again (own)"], "it is live");
    node.stop().await;
}

#[tokio::test]
async fn hints_of_which_too_many_came_early_are_read_from_the_database() {
    let town = Town::new().await;
    // Two nodes that don't hear each other.
    let (here, there) = (town.node(layer()).await, town.node(layer()).await);
    let anna = here.person("anna").await;
    let chat = here.group(&anna, &[]).await;
    let (_seated, mut reader) = sits(&here, &anna, chat).await;

    let last = there.says_much(&anna, chat, 600).await;
    let head = here.hubs.find(chat).and_then(|hub| hub.head()).unwrap();
    let mut hints: Vec<Arc<ChatEvent>> = Vec::new();
    while hints.len() < 600 {
        let since = Seq(hints.len() as i64);
        hints.extend(
            there
                .domain
                .history
                .events(&head, since, 100)
                .await
                .unwrap(),
        );
    }
    // The first is lost, the others come the wrong way round.
    hints.remove(0);
    hints.reverse();
    let come = async {
        for hint in hints {
            here.hubs.deliver(&mut [hint]);
            tokio::task::yield_now().await;
        }
    };
    let (heard, ()) = tokio::join!(hears_until(&mut reader, last), come);
    assert_eq!(heard, (1..=600).collect::<Vec<i64>>());
    here.stop().await;
    there.stop().await;
}

#[tokio::test]
async fn a_repair_that_the_database_refuses_is_made_up_for_by_the_sweep() {
    let town = Town::new().await;
    let (here, there) = (town.node(layer()).await, town.node(layer()).await);
    let anna = here.person("anna").await;
    let chat = here.group(&anna, &[]).await;
    let (_seated, mut reader) = sits(&here, &anna, chat).await;
    there.says(&anna, chat, "one").await;
    let last = there.says(&anna, chat, "two").await;

    there.hides_messages().await;
    let hub = here.hubs.find(chat).unwrap();
    assert!(hub.begin_repair());
    here.hubs.run_repair(&hub).await;
    assert_eq!(hub.delivered(), Some(Seq(0)), "nothing could be read");
    there.shows_messages().await;

    assert_eq!(hears_until(&mut reader, last).await, [1, 2]);
    here.stop().await;
    there.stop().await;
}

#[tokio::test]
async fn a_renaming_that_is_read_from_the_database_tells_the_new_name() {
    let town = Town::new().await;
    let (here, there) = (town.node(layer()).await, town.node(layer()).await);
    let (anna, boris) = (here.person("anna").await, here.person("boris").await);
    let chat = here.group(&anna, &[&boris]).await;
    let (_seated, mut reader) = sits(&here, &boris, chat).await;
    let (_, entered) = there.hubs.enter(&boris, chat).await.unwrap();
    there.renames(&anna, chat, "journey").await;

    let hub = here.hubs.find(chat).unwrap();
    here.hubs.repair(&hub);
    let told = tokio::time::timeout(PATIENCE, reader.hears()).await;
    assert_eq!(told.unwrap().unwrap(), ["1 named journey"]);
    assert_eq!(hub.head().unwrap().name.as_deref(), Some("journey"));

    // A hub that begins after it, and somebody who was let in before it.
    let late = town.node(layer()).await;
    let (hub, _) = late.hubs.enter(&boris, chat).await.unwrap();
    let mut resumes = Reader::new(1, boris.id().0);
    let seated = late.hubs.stand(hub, resumes.seat.clone());
    let reads = async {
        let heard = resumes.hears().await.unwrap();
        // What was heard last counts as written too: a replay waits for that.
        resumes.heard();
        heard
    };
    let (replayed, heard) = tokio::join!(seated.replay(&entered, Seq(0), synced), reads);
    assert_eq!(replayed.unwrap().seq, Seq(1));
    assert_eq!(heard, ["1 named journey"]);
    for node in [here, there, late] {
        node.stop().await;
    }
}

#[tokio::test]
async fn who_was_removed_and_added_again_elsewhere_sits_and_is_there() {
    let town = Town::new().await;
    let (here, there) = (town.node(layer()).await, town.node(layer()).await);
    let (anna, boris) = (here.person("anna").await, here.person("boris").await);
    let chat = here.group(&anna, &[&boris]).await;
    let (_annas, _reader) = sits(&here, &anna, chat).await;
    let members = &there.domain.members;
    members.remove(&anna, chat, boris.id()).await.unwrap();
    let added = members.add(&anna, chat, vec![boris.id()], Role::Member);
    added.await.unwrap();

    let reader = Reader::new(2, boris.id().0);
    let (hub, entered) = here.hubs.enter(&boris, chat).await.unwrap();
    let present = here.hubs.present(&hub, &boris.user, ConnectionId(2));
    // What was lost may be heard before he sits down.
    here.hubs.run_repair(&hub).await;
    let seat = reader.seat.clone();
    let seated = here
        .hubs
        .seat(&boris, hub.clone(), entered, seat, |_, _| None);
    let seated = seated.await.unwrap();
    assert_eq!(hub.delivered(), Some(Seq(2)));
    assert!(seated.is_live() && reader.closing().is_none());
    assert_eq!(hub.presence_with(&anna.user).count, 2);
    members.remove(&anna, chat, boris.id()).await.unwrap();
    here.hubs.run_repair(&hub).await;
    assert!(!seated.is_live());
    assert_eq!(hub.presence_with(&anna.user).count, 1);
    drop(present);
    here.stop().await;
    there.stop().await;
}

#[tokio::test]
async fn typing_goes_on_while_its_connection_catches_up_and_ends_with_it() {
    let town = Town::new().await;
    let node = town.node(layer()).await;
    let (anna, boris) = (node.person("anna").await, node.person("boris").await);
    let chat = node.group(&anna, &[&boris]).await;
    let (annas, _reader) = sits(&node, &anna, chat).await;
    let mut boriss = Reader::new(2, boris.id().0);
    let (_seated, _) = catches_up(&node, &boris, chat, boriss.seat.clone(), Seq(0)).await;
    boriss.heard();

    annas.types(&anna, true);
    assert_eq!(boriss.heard(), [format!("typing {} for 10s", anna.id())]);
    let (_, entered) = node.hubs.enter(&anna, chat).await.unwrap();
    annas.replay(&entered, Seq(0), synced).await.unwrap();
    assert!(boriss.heard().is_empty(), "she types still");
    drop(annas);
    assert_eq!(boriss.heard(), [format!("typed {}", anna.id())]);
    node.stop().await;
}
