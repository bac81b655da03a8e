//! One hub: order, gaps, memory, endings.

use std::sync::{Arc, Barrier};

use entity::Seq;

use super::reader::{CHAT, Reader, event, head, joined, left, message, number, sent, types};
use crate::{
    chat::{ChatEvent, What},
    hub::{
        CHAT_DELETED, Close, Hub, NOT_A_MEMBER, QueueLimits,
        hub::{Delivery, Next},
        memory::Membership,
    },
};

/// A hub that stands at a number, and somebody who hears it.
fn hub_at(seq: i64) -> (Hub, Reader) {
    let hub = Hub::new(CHAT, 200);
    hub.begin(&Arc::new(head("trip")), Seq(seq));
    let reader = sits(&hub, 1, 2);
    (hub, reader)
}

fn sits(hub: &Hub, connection: u64, user: i64) -> Reader {
    let reader = Reader::new(connection, user);
    let stands = hub.delivered().unwrap();
    let seated = hub.seat(&reader.seat, stands, |_| None);
    assert_eq!(seated, Membership::Holds);
    reader
}

fn texts(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    let text = |seq| format!("{seq} text {seq}");
    numbers.into_iter().map(text).collect()
}

#[test]
fn what_comes_early_waits_for_what_is_missing_and_repeats_are_dropped() {
    let (hub, mut reader) = hub_at(10);
    assert_eq!(hub.deliver(&[sent(13), sent(12)]), Delivery::Gap);
    assert_eq!(hub.deliver(&[types(3)]), Delivery::Done);
    assert_eq!(reader.heard().len(), 1, "typing waits for nothing");
    assert_eq!(hub.deliver(&[sent(10), sent(11), sent(11)]), Delivery::Done);
    assert_eq!(hub.deliver(&[sent(12), sent(9)]), Delivery::Done);
    assert_eq!(reader.heard(), texts(11..=13));
}

#[test]
fn what_is_missing_may_come_in_the_same_burst() {
    let (hub, mut reader) = hub_at(0);
    assert_eq!(hub.deliver(&[sent(3), sent(2), sent(1)]), Delivery::Done);
    assert_eq!(reader.heard(), texts(1..=3));
}

#[test]
fn more_than_can_wait_is_forgotten_but_for_the_newest() {
    let (hub, mut reader) = hub_at(0);
    let early: Vec<_> = (2..=258).map(sent).collect();
    assert_eq!(hub.deliver(&early), Delivery::Gap);
    // The 257th was too much: it and the newest of the others are left.
    let repaired: Vec<_> = (1..=256).map(sent).collect();
    hub.begin_repair();
    hub.deliver(&repaired);
    assert_eq!(hub.end_repair(), Delivery::Done);
    assert_eq!(reader.heard(), texts(1..=258));
    assert_eq!(hub.delivered(), Some(Seq(258)));
}

#[test]
fn what_comes_while_the_first_reader_reads_where_the_chat_stands_follows() {
    let hub = Hub::new(CHAT, 200);
    assert_eq!(
        hub.deliver(&[sent(5), sent(6), sent(8), types(1)]),
        Delivery::Done
    );
    assert_eq!(
        hub.begin(&Arc::new(head("trip")), Seq(5)),
        Delivery::Gap,
        "7"
    );
    assert_eq!(hub.delivered(), Some(Seq(6)));
    // Who reads the same and comes later changes nothing.
    assert_eq!(hub.begin(&Arc::new(head("trip")), Seq(5)), Delivery::Done);
    let mut reader = sits(&hub, 1, 2);
    hub.deliver(&[sent(7)]);
    assert_eq!(reader.heard(), texts(7..=8));
}

#[test]
fn a_beginning_that_races_with_events_leaves_none_out() {
    for round in 0..200 {
        let hub = Hub::new(CHAT, 200);
        let start = Barrier::new(3);
        let committed = 1 + round % 20;
        std::thread::scope(|scope| {
            for half in 0..2 {
                let (hub, start) = (&hub, &start);
                scope.spawn(move || {
                    start.wait();
                    for seq in (1..=20).filter(|seq| seq % 2 == half) {
                        hub.deliver(&[sent(seq)]);
                    }
                });
            }
            start.wait();
            hub.begin(&Arc::new(head("trip")), Seq(committed));
        });
        assert_eq!(hub.delivered(), Some(Seq(20)));
    }
}

#[test]
fn every_reader_hears_one_order_whoever_brings_the_events() {
    let (hub, first) = hub_at(0);
    let mut readers = vec![first];
    readers.extend((2..20).map(|connection| sits(&hub, connection, 2)));
    std::thread::scope(|scope| {
        for offset in 0..4_i64 {
            let hub = &hub;
            scope.spawn(move || {
                // Each brings everything, in another disorder.
                let burst: Vec<_> = (0..200)
                    .map(|n| sent((n ^ (offset * 5)) % 200 + 1))
                    .collect();
                burst.chunks(7).for_each(|some| {
                    hub.deliver(some);
                });
            });
        }
    });
    for reader in &mut readers {
        assert_eq!(reader.heard(), texts(1..=200));
    }
}

#[test]
fn who_resumes_hears_messages_in_their_latest_state() {
    let (hub, _reader) = hub_at(0);
    hub.deliver(&[sent(1), sent(2), sent(3)]);
    hub.deliver(&[
        event(4, 1, What::Edited(message(1, "first"))),
        event(5, 1, What::Edited(message(1, "second"))),
        event(6, 1, What::Deleted(message(2, ""))),
    ]);
    let late = Reader::new(9, 9);
    let Next::Events(events) = hub.resume(Seq(0), 100, &late.seat, Seq(6), |_| None) else {
        panic!("all of it is remembered");
    };
    let told: Vec<_> = events.iter().map(|event| text(event)).collect();
    assert_eq!(told, ["second", "", "text 3", "second", "second", ""]);
}

fn text(event: &ChatEvent) -> &str {
    match &event.what {
        What::Sent(message) | What::Edited(message) | What::Deleted(message) => &message.text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn memory_is_bounded_by_number_and_by_bytes() {
    let (hub, _reader) = hub_at(0);
    let late = Reader::new(9, 9);
    let from = |since| match hub.resume(Seq(since), 1000, &late.seat, Seq(since), |_| None) {
        Next::Events(events) => Some(events.len()),
        _ => None,
    };
    hub.deliver(&(1..=200).map(sent).collect::<Vec<_>>());
    assert_eq!((from(71), from(72), from(199)), (None, Some(128), Some(1)));
    let long = |seq| event(seq, 1, What::Sent(message(seq, &"ы".repeat(1000))));
    hub.deliver(&(201..=300).map(long).collect::<Vec<_>>());
    assert_eq!(
        (from(283), from(284)),
        (None, Some(16)),
        "32 KiB of 2000 each"
    );
}

#[test]
fn a_replay_that_is_ahead_of_its_hub_hears_nothing_twice() {
    let (hub, _reader) = hub_at(10);
    let mut ahead = Reader::new(9, 9);
    let next = hub.resume(Seq(12), 100, &ahead.seat, Seq(12), |_| None);
    assert!(matches!(next, Next::Live));
    hub.deliver(&[sent(11), sent(12), types(3), sent(13)]);
    let heard = ahead.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(number(&heard[1]), Some(13));
}

#[test]
fn whoever_is_removed_hears_of_it_and_of_nothing_after() {
    let (hub, mut stays) = hub_at(0);
    let mut goes = sits(&hub, 2, 7);
    hub.deliver(&[sent(1), left(2, 7), types(3), sent(3)]);
    assert_eq!(goes.heard(), ["1 text 1", "2 left 7"]);
    assert_eq!(goes.closing(), Some(NOT_A_MEMBER));
    assert!(!hub.is_seated(goes.seat.connection));
    assert_eq!(stays.heard().len(), 4);
    assert_eq!(stays.closing(), None);

    hub.deliver(&[event(4, 1, What::ChatDeleted(head("trip"))), sent(5)]);
    assert_eq!(stays.heard(), ["4 chat deleted"]);
    assert_eq!(stays.closing(), Some(CHAT_DELETED));
}

#[test]
fn nobody_sits_down_whose_membership_ended_while_they_came() {
    let (hub, _reader) = hub_at(10);
    hub.deliver(&[left(11, 7), sent(12)]);
    let comes = Reader::new(9, 7);
    let seats = |checked_at| hub.seat(&comes.seat, Seq(checked_at), |_| None);
    assert_eq!(seats(10), Membership::Ended(NOT_A_MEMBER));
    assert_eq!(seats(9), Membership::Unknown);
    assert!(!hub.is_seated(comes.seat.connection));
    hub.deliver(&[joined(13, 7)]);
    assert_eq!(seats(10), Membership::Holds, "they are a member again");
    assert_eq!(seats(13), Membership::Holds);
}

#[test]
fn who_was_removed_and_came_again_before_the_hub_heard_of_it_keeps_their_seat() {
    let (hub, _reader) = hub_at(9);
    let mut back = Reader::new(2, 7);
    let seated = hub.seat(&back.seat, Seq(11), |_| None);
    assert_eq!(seated, Membership::Holds);
    let mut resumed = Reader::new(3, 7);
    let next = hub.resume(Seq(9), 100, &resumed.seat, Seq(11), |_| None);
    assert!(matches!(next, Next::Live));
    hub.deliver(&[left(10, 7)]);
    hub.deliver(&[joined(11, 7), sent(12)]);
    for reader in [&mut back, &mut resumed] {
        assert_eq!(reader.heard(), ["10 left 7", "11 joined 7", "12 text 12"]);
        assert_eq!(reader.closing(), None);
    }
    hub.deliver(&[left(13, 7), sent(14)]);
    for reader in [&mut back, &mut resumed] {
        assert_eq!(reader.heard(), ["13 left 7"]);
        assert_eq!(reader.closing(), Some(NOT_A_MEMBER));
    }
}

#[test]
fn a_connection_that_ends_or_is_too_slow_gives_up_its_seat_and_no_other() {
    let (hub, mut stays) = hub_at(0);
    let few = QueueLimits {
        frames_max: 3,
        ..QueueLimits::default()
    };
    let mut slow = Reader::with_limits(2, 7, few);
    hub.seat(&slow.seat, Seq(0), |_| None);
    hub.deliver(&[sent(1), types(3), sent(2)]);
    // Typing gives way to what counts; and typing that finds no room is dropped itself.
    hub.deliver(&[sent(3), types(3)]);
    assert_eq!(slow.closing(), None);
    assert_eq!(slow.heard(), texts(1..=3));
    hub.deliver(&[sent(4)]);
    hub.deliver(&(5..=10).map(sent).collect::<Vec<_>>());
    assert_eq!(slow.closing(), Some(Close::TOO_SLOW));
    assert!(!hub.is_seated(slow.seat.connection));
    assert_eq!(stays.heard().len(), 12);

    stays.seat.queue.close(Close::new(1012, "Restart"));
    hub.deliver(&[sent(11)]);
    assert!(!hub.is_seated(stays.seat.connection));
}
