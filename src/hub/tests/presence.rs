//! Who is in a chat, as those who sit there are told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::DateTime;
use entity::Seq;

use super::reader::{CHAT, Reader, head, profile};
use crate::{
    chat::{Departure, Presence},
    hub::{Hub, SharedFrame},
};

fn list(presence: &Presence) -> SharedFrame {
    let named = presence.users.as_ref().map_or(0, Vec::len);
    SharedFrame::text(&format!("{named} of {}", presence.count))
}

/// Somebody whose connection sits in the chat, is told who is there, and makes them present.
fn comes(hub: &Hub, connection: u64, user: i64) -> Reader {
    let reader = Reader::new(connection, user);
    hub.seat(&reader.seat, Seq(0), |_| None);
    hub.enter(&profile(user), reader.seat.connection);
    hub.show_presence(&reader.seat.queue, list).unwrap();
    reader
}

fn goes(hub: &Hub, reader: &Reader, user: i64) {
    hub.leave(reader.seat.connection);
    hub.go(&profile(user), Departure::Lost, DateTime::UNIX_EPOCH);
}

fn chat(named_max: usize) -> Hub {
    let hub = Hub::new(CHAT, named_max);
    hub.begin(&Arc::new(head("trip")), Seq(0));
    hub
}

#[test]
fn those_who_come_and_go_are_told_once_however_many_connections_they_have() {
    let hub = chat(200);
    let mut anna = comes(&hub, 1, 1);
    assert_eq!(anna.heard(), ["1 of 1", "1 is here (own)"]);
    let boriss = [comes(&hub, 2, 2), comes(&hub, 3, 2)];
    assert_eq!(anna.heard(), ["2 is here"]);
    goes(&hub, &boriss[0], 2);
    assert!(anna.heard().is_empty());
    goes(&hub, &boriss[1], 2);
    assert_eq!(anna.heard(), ["2 is gone (Lost)"]);
}

#[test]
fn who_does_not_hear_presence_is_not_told() {
    let hub = chat(200);
    let mut operator = Reader::new(1, 1);
    operator.seat.hears_presence = false;
    hub.seat(&operator.seat, Seq(0), |_| None);
    let mut anna = comes(&hub, 2, 2);
    assert_eq!(anna.heard().len(), 2);
    assert!(operator.heard().is_empty());
}

#[test]
fn five_thousand_who_come_back_within_ten_seconds_cost_a_few_frames_each() {
    const PEOPLE: usize = 5000;
    let (hub, start) = (chat(200), Instant::now());
    let mut readers = Vec::with_capacity(PEOPLE);
    let mut frames = 0;
    for second in 1..=10 {
        for _ in 0..PEOPLE / 10 {
            let number = readers.len() as i64 + 1;
            readers.push(comes(&hub, number as u64, number));
        }
        hub.tell_presence(start + Duration::from_secs(second));
        frames += heard_by(&mut readers);
    }
    // The last of them are counted with the next count.
    hub.tell_presence(start + Duration::from_secs(15));
    let told = readers[0].heard();
    assert_eq!(told, ["5000 are here"]);
    frames += told.len() + heard_by(&mut readers);
    println!("{PEOPLE} came back within 10 s: {frames} frames");
    assert!(frames >= PEOPLE, "each is given a list");
    assert!(frames < 10 * PEOPLE, "{frames} frames");
}

fn heard_by(readers: &mut [Reader]) -> usize {
    readers.iter_mut().map(|reader| reader.heard().len()).sum()
}
