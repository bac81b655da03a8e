//! How much is unread, as events pass.

use std::sync::Arc;

use entity::Seq;

use super::reader::{CHAT, Reader, event, head, message, profile, sent};
use crate::{
    chat::{ChatEvent, What},
    hub::{
        Hub,
        hub::Next,
        seats::{Attention, Sitting},
        unread::{Tally, Unread},
    },
};

fn read(user: i64, up_to: i64) -> Arc<ChatEvent> {
    let what = What::Read {
        user: profile(user),
        last_read_message: None,
        last_read_seq: Seq(up_to),
    };
    Arc::new(ChatEvent {
        seq: None,
        ..ChatEvent::clone(&event(0, user, what))
    })
}

#[test]
fn what_a_seat_has_heard_before_its_hub_is_unread_until_it_is_read() {
    let hub = Hub::new(CHAT, 200);
    hub.begin(&Arc::new(head("trip")), Seq(10));
    let boris = Reader::new(1, 2);
    // Five messages were lost on their way to the hub, and read with the greeting.
    let sitting = Sitting {
        seat: boris.seat.clone(),
        after: Seq(15),
        attention: Attention::Full,
        tally: Some(Tally::new(5, Seq(10))),
    };
    let (mut missed, mut frames) = (Vec::new(), Vec::new());
    let seated = hub.follow(&sitting, Seq(15), Seq(15), &mut missed, &mut frames);
    assert!(matches!(seated, Next::Live));
    hub.deliver(&[read(2, 12)]);
    let connection = boris.seat.connection;
    assert_eq!(hub.take_unread(connection), Some(Unread::Uncounted));
}

#[test]
fn what_was_read_before_it_came_is_not_unread() {
    let (mut tally, boris) = (Tally::new(0, Seq(8)), Reader::new(1, 2));
    let hears =
        |tally: &mut Tally, event: Arc<ChatEvent>| tally.hears(&event, &boris.seat, &head("trip"));
    // Nine and ten are lost on the way; the mark isn't.
    assert!(hears(&mut tally, read(2, 10)));
    assert_eq!(tally.take_unread(Seq(8)), Some(Unread::Count(0)));
    assert!(!hears(&mut tally, sent(9)) && !hears(&mut tally, sent(10)));
    assert_eq!(tally.take_unread(Seq(10)), None);
    assert!(hears(&mut tally, sent(11)));
    let deleted = |seq| event(12, 1, What::Deleted(message(seq, "")));
    assert!(!hears(&mut tally, deleted(10)));
    assert_eq!(tally.take_unread(Seq(12)), Some(Unread::Count(1)));
    assert!(hears(&mut tally, deleted(11)));
    assert_eq!(tally.take_unread(Seq(12)), Some(Unread::Count(0)));
}
