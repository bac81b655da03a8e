//! A frame is made once for all who are owed the same bytes.

use std::{cell::RefCell, sync::Arc};

use entity::{Seq, UserId};

use super::reader::{CHAT, Reader, encode, event, head, sent};
use crate::{
    chat::{ChatEvent, ChatHead, ConnectionId, What},
    hub::{Audience, Hub, SharedFrame},
};

thread_local! {
    static ENCODED: RefCell<Vec<(Option<Seq>, Audience)>> = const { RefCell::new(Vec::new()) };
}

fn counting(head: &ChatHead, event: &ChatEvent, audience: Audience) -> Option<SharedFrame> {
    ENCODED.with_borrow_mut(|encoded| encoded.push((event.seq, audience)));
    encode(head, event, audience)
}

#[test]
fn an_event_is_encoded_once_for_each_audience_that_sits_there() {
    let hub = Hub::new(CHAT, 200);
    hub.begin(&Arc::new(head("trip")), Seq(0));
    let mut readers: Vec<_> = (0..50)
        .map(|n| {
            // User 1 has two connections here.
            let mut reader = Reader::new(n, if n < 2 { 1 } else { n as i64 });
            reader.seat.voice.encode = counting;
            hub.seat(&reader.seat, Seq(0), |_| None);
            reader
        })
        .collect();
    let from_phone = Arc::new(ChatEvent {
        origin: Some(ConnectionId(1)),
        ..ChatEvent::clone(&sent(1))
    });
    let of_nobody_here = Arc::new(ChatEvent {
        by: UserId(1000),
        ..ChatEvent::clone(&sent(2))
    });
    hub.deliver(&[from_phone, of_nobody_here]);
    let encoded = ENCODED.take();
    let of = |seq| {
        let same = encoded.iter().filter(move |(of, _)| *of == Some(Seq(seq)));
        same.count()
    };
    assert_eq!((of(1), of(2)), (3, 1), "{encoded:?}");
    assert_eq!(readers[1].heard()[0], "1 text 1 (own)");
    assert_eq!(readers[30].heard(), ["1 text 1", "2 text 2"]);
}

#[test]
fn a_burst_tells_each_event_with_the_name_that_the_chat_had() {
    let hub = Hub::new(CHAT, 200);
    hub.begin(&Arc::new(head("old")), Seq(0));
    let mut reader = Reader::new(1, 2);
    hub.seat(&reader.seat, Seq(0), |_| None);
    let named = |seq, name| event(seq, 1, What::ChatUpdated(head(name)));
    hub.deliver(&[named(1, "new"), sent(2), named(3, "newer")]);
    let heard = reader.heard();
    assert_eq!(heard, ["1 named new", "2 text 2", "3 named newer"]);
}
