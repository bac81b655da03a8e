//! Who is in a chat, as those who sit there are told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use entity::{Seq, UserId};

use super::reader::{CHAT, Reader, head, joined, left, profile};
use crate::{
    chat::{Departure, Presence, Profile},
    hub::{Hub, SharedFrame, presence::Stay},
};

fn list(presence: &Presence) -> Option<SharedFrame> {
    let named = presence.users.as_ref().map_or(0, Vec::len);
    Some(SharedFrame::text(&format!("{named} of {}", presence.count)))
}

/// Somebody's connection, and their stay in the chat by it.
struct Guest {
    reader: Reader,
    user: Arc<Profile>,
    stay: Stay,
}

impl Guest {
    fn heard(&mut self) -> Vec<String> {
        self.reader.heard()
    }
}

/// Somebody whose connection sits in the chat, is told who is there, and makes them present.
fn comes(hub: &Hub, connection: u64, user: i64) -> Guest {
    let reader = Reader::new(connection, user);
    hub.seat(&reader.seat, Seq(0), |_| None);
    let user = profile(user);
    let (stay, _) = hub.enter(&user, reader.seat.connection);
    hub.show_presence(&reader.seat.queue, list).unwrap();
    Guest { reader, user, stay }
}

fn goes(hub: &Hub, guest: &Guest) {
    hub.leave(guest.reader.seat.connection);
    hub.go(&guest.user, guest.stay, Departure::Lost);
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
    assert_eq!(anna.heard(), ["1 is here (own)", "1 of 1"]);
    let boriss = [comes(&hub, 2, 2), comes(&hub, 3, 2)];
    assert_eq!(anna.heard(), ["2 is here"]);
    goes(&hub, &boriss[0]);
    assert!(anna.heard().is_empty());
    goes(&hub, &boriss[1]);
    assert_eq!(anna.heard(), ["2 is gone (Lost)"]);
}

#[test]
fn who_leaves_the_chat_is_gone_from_it_with_all_connections() {
    let hub = chat(200);
    let (mut anna, boris) = (comes(&hub, 1, 1), comes(&hub, 2, 2));
    comes(&hub, 3, 2);
    anna.heard();
    hub.deliver(&[left(1, 2)]);
    assert_eq!(anna.heard(), ["1 left 2 (own)", "2 is gone (Asked)"]);
    goes(&hub, &boris);
    assert!(anna.heard().is_empty());
    assert_eq!(hub.presence_with(&anna.user).count, 1);
}

#[test]
fn who_was_removed_and_came_again_before_the_hub_heard_of_it_is_there_all_the_time() {
    let hub = chat(200);
    let mut anna = comes(&hub, 1, 1);
    hub.finds_member(UserId(2), Seq(2));
    let boris = comes(&hub, 2, 2);
    anna.heard();
    hub.deliver(&[left(1, 2), joined(2, 2)]);
    assert_eq!(anna.heard(), ["1 left 2 (own)", "2 joined 2 (own)"]);
    assert_eq!(hub.presence_with(&anna.user).count, 2);
    hub.deliver(&[left(3, 2)]);
    assert_eq!(anna.heard(), ["3 left 2 (own)", "2 is gone (Asked)"]);
    goes(&hub, &boris);
    assert!(anna.heard().is_empty());
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
    let mut guests = Vec::with_capacity(PEOPLE);
    let mut frames = 0;
    for second in 1..=10 {
        for _ in 0..PEOPLE / 10 {
            let number = guests.len() as i64 + 1;
            guests.push(comes(&hub, number as u64, number));
        }
        hub.tell_presence(start + Duration::from_secs(second));
        frames += heard_by(&mut guests);
    }
    // The last of them are counted with the next count.
    hub.tell_presence(start + Duration::from_secs(15));
    let told = guests[0].heard();
    assert_eq!(told, ["5000 are here"]);
    frames += told.len() + heard_by(&mut guests);
    println!("{PEOPLE} came back within 10 s: {frames} frames");
    assert!(frames >= PEOPLE, "each is given a list");
    assert!(frames < 10 * PEOPLE, "{frames} frames");
}

fn heard_by(guests: &mut [Guest]) -> usize {
    guests.iter_mut().map(|guest| guest.heard().len()).sum()
}
