//! What becomes of a connection: how it comes in, what it is owed, and all the ways in which it
//! ends. Against the machinery alone, with a consumer that echoes.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use chrono::{TimeDelta, Utc};
use entity::{SessionId, UserId};
use tertulia::{
    chat::Revoked,
    hub::{QueueLimits, SharedFrame},
    origin::{AllowedOrigins, TrustedProxies},
    ws::{Origins, SocketLimits, close},
};

use crate::wire::*;

/// More than loopback's buffers take.
const MUCH: usize = 16 << 20;

fn long(number: usize) -> SharedFrame {
    SharedFrame::text(&format!("{number:032768}"))
}

fn wide_queue() -> QueueLimits {
    QueueLimits {
        frames_max: 100_000,
        bytes_max: 1 << 30,
        total_bytes_max: 1 << 30,
    }
}

/// Fills the sockets' own buffers, until what is pushed stays in the queue.
async fn stops_reading(theatre: &Theatre, queue: &tertulia::hub::Queue) -> usize {
    let (mut number, mut waiting) = (0, 0);
    while waiting < 4 {
        assert!(queue.push(long(number)));
        number += 1;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        waiting = if queue.bytes() > 0 { waiting + 1 } else { 0 };
        assert!(number < 10_000);
    }
    assert!(theatre.registry.queued_bytes() >= queue.bytes());
    number
}

/// The number of pages where it stays: as far as the sockets' buffers go.
async fn pages_at_rest(theatre: &Theatre) -> usize {
    let mut before = usize::MAX;
    while before != theatre.stage.pages.load(SeqCst) {
        before = theatre.stage.pages.load(SeqCst);
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
    before
}

#[tokio::test]
async fn only_a_handshake_of_rfc_6455_is_accepted() {
    let theatre = Theatre::start().await;
    let good = handshake("/echo", "");
    for (from, to, status) in [
        ("GET", "GET", 101),
        ("GET", "POST", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("Upgrade: websocket\r\n", "", 426),
        ("Upgrade: websocket", "Upgrade: h2c", 426),
        ("Upgrade: websocket", "Upgrade: h2c, WebSocket", 101),
        ("Connection: Upgrade", "Connection: keep-alive", 426),
        (
            "Connection: Upgrade",
            "Connection: keep-alive, upgrade",
            101,
        ),
        ("Version: 13", "Version: 8", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "not base64", 400),
    ] {
        let mut peer = Peer::connect(theatre.address).await;
        let answer = peer.asks(&good.replace(from, to)).await;
        assert_eq!(answer.status, status, "{from} -> {to}");
        match status {
            101 => {
                // The example of RFC 6455, 1.3.
                let accept = answer.header("sec-websocket-accept");
                assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
                assert_eq!(answer.header("sec-websocket-protocol"), None);
                peer.leaves().await;
            }
            426 => assert_eq!(answer.header("sec-websocket-version"), Some("13")),
            _ => assert!(answer.body.contains("detail"), "{}", answer.body),
        }
    }
    theatre.stop().await;
}

#[tokio::test]
async fn words_sent_with_the_handshake_are_heard() {
    let theatre = Theatre::start().await;
    let mut peer = Peer::connect(theatre.address).await;
    let mut bytes = handshake("/echo", "").into_bytes();
    bytes.extend(masked(FIN | TEXT, b"already here"));
    peer.sends(&bytes).await;
    assert_eq!(peer.answer().await.status, 101);
    assert_eq!(peer.hears_text().await, "already here");
    peer.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn the_first_of_four_ways_to_bring_a_token_counts() {
    let theatre = Theatre::start().await;
    let header = "Authorization: Bearer 1:a\r\n";
    let protocol = "Sec-WebSocket-Protocol: chat, bearer, 2:b\r\n";
    let both = format!("{header}{protocol}");
    for (query, lines, user, subprotocol) in [
        ("?token=4:d", "", "user4", None),
        ("?token=4%3Ad", "", "user4", None),
        ("?token=4:d&ticket=ticket-3:c", "", "user3", None),
        ("?token=4:d&ticket=3:c", protocol, "user2", Some("bearer")),
        ("?token=4:d", header, "user1", None),
        ("", &both, "user1", Some("bearer")),
        ("?token=4:d", "Authorization: Basic dTpw\r\n", "user4", None),
    ] {
        let mut peer = Peer::connect(theatre.address).await;
        let request = handshake(&format!("/rooms/signed{query}"), lines);
        let answer = peer.asks(&request).await;
        assert_eq!(answer.status, 101);
        assert_eq!(answer.header("sec-websocket-protocol"), subprotocol);
        assert_eq!(peer.hears_text().await, format!("hello {user}"));
        peer.leaves().await;
    }
    theatre.stop().await;
}

#[tokio::test]
async fn a_failed_sign_in_is_accepted_and_then_closed_with_its_code() {
    let theatre = Theatre::start().await;
    for (query, last) in [
        ("", closing(4001, "Authentication required")),
        ("?token=forged", closing(4001, "Authentication required")),
        ("?token=1:ended", closing(4001, "Authentication required")),
        (
            "?token=away",
            closing(1013, "Service temporarily unavailable"),
        ),
    ] {
        let path = format!("/rooms/signed{query}");
        let mut peer = Peer::enter(theatre.address, &path, "").await;
        assert_eq!(peer.hears().await, Some(last));
        peer.sends(&masked(FIN | CLOSE, &4001u16.to_be_bytes()))
            .await;
        assert_eq!(peer.hears().await, None);
    }
    theatre.stop().await;
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_and_told_what_to_set() {
    let listed = AllowedOrigins::new(vec!["https://app.test".to_owned()]);
    let theatre = Theatre::build(Plan {
        origins: Origins {
            proxies: TrustedProxies::default(),
            allowed: listed,
            session_cookie: None,
        },
        ..Plan::default()
    })
    .await;
    for (origin, status) in [
        ("http://chat.test", 101),
        ("https://app.test", 101),
        ("https://evil.test", 403),
        ("http://chat.test:81", 403),
        ("null", 403),
    ] {
        let mut peer = Peer::connect(theatre.address).await;
        let lines = format!("Origin: {origin}\r\n");
        let answer = peer.asks(&handshake("/echo", &lines)).await;
        assert_eq!(answer.status, status, "{origin}");
        if status == 403 {
            for word in [origin, "chat.test", "TERTULIA_ALLOWED_ORIGINS"] {
                assert!(answer.body.contains(word), "{}", answer.body);
            }
        }
    }
    // The client may not speak for a proxy that nobody trusts.
    let mut peer = Peer::connect(theatre.address).await;
    let lines = "Origin: https://evil.test\r\nX-Forwarded-Host: evil.test\r\n";
    assert_eq!(peer.asks(&handshake("/echo", lines)).await.status, 403);
    theatre.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_host_is_the_one_that_the_browser_asked() {
    let theatre = Theatre::build(Plan {
        origins: Origins {
            proxies: TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]),
            allowed: AllowedOrigins::default(),
            session_cookie: None,
        },
        ..Plan::default()
    })
    .await;
    let lines = "Origin: https://pub.test\r\nX-Forwarded-Host: pub.test\r\n\
                 X-Forwarded-Proto: https\r\n";
    Peer::enter(theatre.address, "/echo", lines)
        .await
        .leaves()
        .await;
    theatre.stop().await;
}

#[tokio::test]
async fn whoever_is_refused_hears_the_answer_and_the_code_and_nothing_of_the_hub() {
    let theatre = Theatre::start().await;
    let mut peer = Peer::enter(theatre.address, "/rooms/refused", "").await;
    assert_eq!(peer.hears_text().await, "sent");
    let last = closing(4003, "Not a member of this chat");
    assert_eq!(peer.hears().await, Some(last));
    drop(peer);
    theatre.is_empty().await;
    assert!(theatre.stage.left.lock().is_empty());
    theatre.stop().await;
}

#[tokio::test]
async fn what_the_hub_pushed_while_connecting_comes_after_what_connecting_said() {
    let theatre = Theatre::start().await;
    let mut peer = Peer::enter(theatre.address, "/rooms/waits", "").await;
    theatre.stage.waits.notified().await;
    peer.says("first frame").await;
    theatre.stage.cue.notify_one();
    assert_eq!(peer.hears_text().await, "connected");
    assert_eq!(peer.hears_text().await, "pushed while connecting");
    assert_eq!(peer.hears_text().await, "first frame");
    peer.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn frames_are_served_one_at_a_time_and_the_hubs_go_out_meanwhile() {
    let theatre = Theatre::start().await;
    let (mut peer, queue) = theatre.enters_as("anna").await;
    let pipelined = ["!wait", "one", "two"].map(|word| masked(FIN | TEXT, word.as_bytes()));
    peer.sends(&pipelined.concat()).await;
    theatre.stage.waits.notified().await;
    assert!(queue.push(SharedFrame::text("meanwhile")));
    assert_eq!(peer.hears_text().await, "meanwhile");
    theatre.stage.cue.notify_one();
    for word in ["waited", "one", "two"] {
        assert_eq!(peer.hears_text().await, word);
    }
    peer.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn what_was_said_before_hanging_up_is_served() {
    let theatre = Theatre::start().await;
    let mut peer = theatre.enters().await;
    let words: Vec<u8> = (0..100)
        .flat_map(|n| masked(FIN | TEXT, &[b'0' + n % 10]))
        .collect();
    peer.sends(&words).await;
    tokio::io::AsyncWriteExt::shutdown(&mut peer.socket)
        .await
        .unwrap();
    for n in 0..100u8 {
        assert_eq!(peer.hears().await, Some(frame(TEXT, &[b'0' + n % 10])));
    }
    assert_eq!(peer.hears().await, None);
    theatre.is_empty().await;
    assert_eq!(*theatre.stage.left.lock(), [1006]);
    theatre.stop().await;
}

#[tokio::test]
async fn a_peer_that_resets_while_its_frame_is_served_is_noticed_and_its_frame_is_finished() {
    let theatre = Theatre::start().await;
    let (mut peer, queue) = theatre.enters_as("anna").await;
    peer.says("!wait").await;
    theatre.stage.waits.notified().await;
    peer.socket.set_zero_linger().unwrap();
    drop(peer);
    theatre.becomes(|_| queue.closing().is_some()).await;
    assert!(!queue.push(SharedFrame::text("to nobody")));
    assert_eq!(theatre.registry.count(), 1);
    theatre.stage.cue.notify_one();
    theatre.is_empty().await;
    assert_eq!(*theatre.stage.left.lock(), [1006]);
    theatre.stop().await;
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_with_1011_and_leaves_nothing_behind() {
    let theatre = Theatre::start().await;
    let fault = closing(1011, "Internal server error");
    let mut bystander = theatre.enters().await;
    let mut peer = theatre.enters().await;
    peer.says("!panic").await;
    assert_eq!(peer.hears().await, Some(fault.clone()));
    drop(peer);
    let mut peer = Peer::enter(theatre.address, "/rooms/panics", "").await;
    assert_eq!(peer.hears().await, Some(fault));
    drop(peer);
    theatre
        .becomes(|theatre| theatre.registry.count() == 1)
        .await;
    // Only the first had become a consumer.
    assert_eq!(*theatre.stage.left.lock(), [1011]);
    bystander.says("still here").await;
    assert_eq!(bystander.hears_text().await, "still here");
    bystander.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn an_end_is_written_after_what_was_said_before_it() {
    let theatre = Theatre::start().await;
    let (mut peer, queue) = theatre.enters_as("anna").await;
    for n in 0..100 {
        assert!(queue.push(SharedFrame::text(&n.to_string())));
    }
    queue.close(close::NOT_A_MEMBER);
    assert!(!queue.push(SharedFrame::text("too late")));
    for n in 0..100 {
        assert_eq!(peer.hears_text().await, n.to_string());
    }
    let last = closing(4003, "Not a member of this chat");
    assert_eq!(peer.hears().await, Some(last));
    // What it still says goes nowhere, and its own close ends it.
    peer.says("what?").await;
    peer.sends(&masked(FIN | CLOSE, &4003u16.to_be_bytes()))
        .await;
    assert_eq!(peer.hears().await, None);
    theatre.is_empty().await;
    assert_eq!(*theatre.stage.left.lock(), [4003]);

    let mut peer = theatre.enters().await;
    peer.says("!close").await;
    assert_eq!(peer.hears_text().await, "one word more");
    assert_eq!(peer.hears().await, Some(closing(4010, "Chat deleted")));
    drop(peer);
    theatre.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_the_close_is_let_go_after_two_seconds() {
    let theatre = Theatre::start().await;
    let (mut peer, queue) = theatre.enters_as("anna").await;
    queue.close(close::CHAT_DELETED);
    assert_eq!(peer.hears().await, Some(closing(4010, "Chat deleted")));
    theatre
        .becomes(|theatre| !theatre.stage.left.lock().is_empty())
        .await;
    theatre.seconds_pass(2);
    assert_eq!(theatre.registry.count(), 1);
    theatre.seconds_pass(1);
    theatre.is_empty().await;
    drop(peer);
    theatre.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_closed_with_4008_and_hears_the_code_when_it_reads_again() {
    let theatre = Theatre::start().await;
    let (mut slow, queue) = theatre.enters_as("slow").await;
    let (mut other, others) = theatre.enters_as("other").await;
    let pushed = (0..).take_while(|n| n * 32_768 < MUCH && queue.push(long(*n)));
    let pushed = pushed.count();
    assert!(pushed * 32_768 < MUCH, "the queue has no end");
    assert_eq!(queue.closing(), Some(close::TOO_SLOW));
    assert!(theatre.registry.queued_bytes() <= 1 << 20);

    // The others don't notice.
    assert!(others.push(SharedFrame::text("hi")));
    assert_eq!(other.hears_text().await, "hi");

    let mut heard = 0;
    let last = loop {
        let frame = slow.hears().await.expect("a close");
        match frame.opcode {
            TEXT => assert!(long(heard).payloads().eq([frame.payload.as_slice()])),
            _ => break frame,
        }
        heard += 1;
    };
    assert_eq!(last, closing(4008, "Too slow"));
    drop(slow);
    theatre
        .becomes(|theatre| theatre.registry.count() == 1)
        .await;
    other.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn a_slow_reader_that_was_closed_in_the_middle_of_a_frame_gets_that_frame_whole() {
    let theatre = Theatre::build(Plan {
        queue: wide_queue(),
        ..Plan::default()
    })
    .await;
    let (mut slow, queue) = theatre.enters_as("slow").await;
    // All at once: the connection has taken them in hand, and stands in the middle of one.
    let pushed = MUCH / 32_768;
    assert!((0..pushed).all(|number| queue.push(long(number))));
    let mut before = usize::MAX;
    while before != queue.bytes() {
        before = queue.bytes();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
    queue.close(close::TOO_SLOW);
    let mut heard = 0;
    let last = loop {
        let frame = slow.hears().await.expect("a close");
        if frame.opcode == CLOSE {
            break frame;
        }
        assert!(long(heard).payloads().eq([frame.payload.as_slice()]));
        heard += 1;
    };
    assert_eq!(last, closing(4008, "Too slow"));
    assert!(heard < pushed, "what waited was dropped");
    drop(slow);
    theatre.stop().await;
}

#[tokio::test]
async fn a_peer_that_takes_no_bytes_for_ten_seconds_is_reset() {
    let theatre = Theatre::build(Plan {
        queue: wide_queue(),
        ..Plan::default()
    })
    .await;
    let (mut slow, queue) = theatre.enters_as("slow").await;
    stops_reading(&theatre, &queue).await;
    theatre.seconds_pass(10);
    assert_eq!(theatre.registry.count(), 1);
    theatre.seconds_pass(1);
    theatre.is_empty().await;
    assert!(!queue.push(SharedFrame::text("to nobody")));
    // A reset: what was on its way may be lost, an end comes at once.
    while slow.hears().await.is_some() {}
    theatre.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_slow_reader_is_given_up_two_seconds_after_its_end() {
    let theatre = Theatre::build(Plan {
        queue: wide_queue(),
        ..Plan::default()
    })
    .await;
    let (mut slow, queue) = theatre.enters_as("slow").await;
    let pushed = stops_reading(&theatre, &queue).await;
    queue.close(close::NOT_A_MEMBER);
    theatre.seconds_pass(4);
    let mut heard = 0;
    let last = loop {
        let frame = slow.hears().await.expect("a close");
        if frame.opcode == CLOSE {
            break frame;
        }
        heard += 1;
    };
    assert_eq!(last, closing(4003, "Not a member of this chat"));
    assert!(heard < pushed);
    drop(slow);
    theatre.stop().await;
}

#[tokio::test]
async fn typing_is_dropped_before_a_slow_reader_is_closed() {
    let theatre = Theatre::build(Plan {
        queue: QueueLimits {
            frames_max: 8,
            ..wide_queue()
        },
        ..Plan::default()
    })
    .await;
    // Not live yet: what is pushed waits.
    let path = "/rooms/waits?name=anna";
    let mut peer = Peer::enter(theatre.address, path, "").await;
    theatre.stage.waits.notified().await;
    let queue = theatre.stage.queues.lock()["anna"].clone();
    for n in 0..5 {
        assert!(queue.push(SharedFrame::text(&format!("typing {n}")).ephemeral()));
        assert!(queue.push(SharedFrame::text(&format!("message {n}"))));
    }
    assert!(queue.closing().is_none());
    theatre.stage.cue.notify_one();
    assert_eq!(peer.hears_text().await, "connected");
    assert_eq!(peer.hears_text().await, "pushed while connecting");
    // The ninth frame made room for itself; the typing that came after that fits again.
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "message 4") {
        heard.push(peer.hears_text().await);
    }
    let messages: Vec<_> = heard
        .iter()
        .filter(|text| text.starts_with("message"))
        .collect();
    assert_eq!(messages.len(), 5, "{heard:?}");
    assert!(heard.len() < 10, "{heard:?}");
    peer.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn when_all_queues_together_are_too_full_the_fullest_go() {
    let theatre = Theatre::build(Plan {
        queue: QueueLimits {
            total_bytes_max: 4 << 20,
            ..wide_queue()
        },
        ..Plan::default()
    })
    .await;
    let mut peers = Vec::new();
    for (name, frames) in [("light", 8), ("full", 60), ("fuller", 64)] {
        let path = format!("/rooms/waits?name={name}");
        peers.push(Peer::enter(theatre.address, &path, "").await);
        theatre.stage.waits.notified().await;
        let queue = theatre.stage.queues.lock()[name].clone();
        for n in 0..frames {
            assert!(queue.push(long(n)), "{name} {n}");
        }
    }
    let sweep = theatre.registry.clone();
    let stop = theatre.shutdown.clone();
    let sweeping = tokio::spawn(async move { sweep.run(stop).await });
    let queue = |name: &str| theatre.stage.queues.lock()[name].clone();
    let fuller = queue("fuller");
    theatre.becomes(|_| fuller.closing().is_some()).await;
    assert_eq!(fuller.closing(), Some(close::TOO_SLOW));
    assert!(queue("full").closing().is_none() && queue("light").closing().is_none());
    assert!(theatre.registry.queued_bytes() <= 4 << 20);
    theatre.stage.cue.notify_waiters();
    drop(peers);
    theatre.stop().await;
    sweeping.await.unwrap();
}

#[tokio::test]
async fn a_history_goes_out_as_fast_as_its_client_reads_and_no_faster() {
    let theatre = Theatre::start().await;
    let (mut peer, _) = theatre.enters_as("anna").await;
    let pages = MUCH / 50_000;
    let order = [format!("!pages {pages}"), "after".to_owned()];
    let bytes = order
        .map(|order| masked(FIN | TEXT, order.as_bytes()))
        .concat();
    peer.sends(&bytes).await;
    let before = pages_at_rest(&theatre).await;
    assert!(before < pages, "all {before} pages are in memory");
    assert_eq!(theatre.registry.queued_bytes(), 0);
    for page in 0..pages {
        assert_eq!(peer.hears_text().await, format!("{page:050000}"));
    }
    assert_eq!(peer.hears_text().await, "after");
    peer.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_read_is_not_served_on() {
    let theatre = Theatre::start().await;
    let mut peer = theatre.enters().await;
    let asked = MUCH / 50_000;
    peer.sends(&masked(FIN | TEXT, b"!page").repeat(asked))
        .await;
    let served = pages_at_rest(&theatre).await;
    assert!(served < asked, "all {served} answers are in memory");
    for _ in 0..asked {
        assert_eq!(peer.hears_text().await.len(), 50_000);
    }
    assert_eq!(theatre.stage.pages.load(SeqCst), asked);
    peer.leaves().await;
    theatre.stop().await;
}

/// A peer that has read nothing: an answer waits for it, and behind that comes the beginning of `message`, more than is
/// read ahead.
async fn lags_behind(theatre: &Theatre, message: &[u8]) -> Peer {
    const BEGUN: usize = 12 << 10;
    let (mut peer, queue) = theatre.enters_as("slow").await;
    stops_reading(theatre, &queue).await;
    let begun = [&masked(FIN | TEXT, b"!page"), &message[..BEGUN]].concat();
    peer.sends(&begun).await;
    theatre
        .becomes(|theatre| theatre.stage.pages.load(SeqCst) == 1)
        .await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    while peer.hears_text().await.len() != 50_000 {}
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(DEADLINE, peer.sends(&message[BEGUN..]))
        .await
        .expect("a reader");
    peer
}

#[tokio::test]
async fn the_rest_of_a_message_is_read_whose_beginning_filled_what_is_read_ahead() {
    let theatre = Theatre::build(Plan {
        queue: wide_queue(),
        ..Plan::default()
    })
    .await;
    let message = "long ".repeat(4_000);
    let mut peer = lags_behind(&theatre, &masked(FIN | TEXT, message.as_bytes())).await;
    assert_eq!(peer.hears_text().await, message);
    peer.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn whatever_follows_a_broken_rule_is_thrown_away_so_that_the_code_arrives() {
    let theatre = Theatre::build(Plan {
        queue: wide_queue(),
        ..Plan::default()
    })
    .await;
    // An opcode that isn't any, and then more than the sockets' buffers take.
    let broken = masked(FIN | 3, &vec![b'x'; MUCH]);
    let mut peer = lags_behind(&theatre, &broken).await;
    assert_eq!(peer.hears().await, Some(closing(1002, "Protocol error")));
    drop(peer);
    theatre.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_one_that_answers_stays() {
    let theatre = Theatre::start().await;
    let mut peer = theatre.enters().await;
    for _ in 0..4 {
        theatre.seconds_pass(24);
        peer.says("not silent").await;
        assert_eq!(peer.hears_text().await, "not silent");
        theatre.seconds_pass(25);
        assert_eq!(peer.hears().await, Some(frame(PING, b"")));
        peer.sends(&masked(FIN | PONG, b"")).await;
    }
    peer.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_for_a_minute_is_closed() {
    let theatre = Theatre::start().await;
    let mut peer = theatre.enters().await;
    theatre.seconds_pass(60);
    assert_eq!(peer.hears().await, Some(frame(PING, b"")));
    theatre.seconds_pass(1);
    let mut last = peer.hears().await;
    while last == Some(frame(PING, b"")) {
        last = peer.hears().await;
    }
    assert_eq!(last, Some(closing(1001, "Going away")));
    theatre.seconds_pass(6);
    theatre.is_empty().await;
    drop(peer);
    theatre.stop().await;
}

#[tokio::test]
async fn nobody_signed_in_by_the_deadline_is_closed_and_whoever_did_stays() {
    let theatre = Theatre::start().await;
    let mut silent = Peer::enter(theatre.address, "/rooms/late", "").await;
    silent.says("hi").await;
    assert_eq!(silent.hears_text().await, "hi");
    let mut known = Peer::enter(theatre.address, "/rooms/late", "").await;
    known.says("!sign-in 7:a").await;
    assert_eq!(known.hears_text().await, "user7");
    theatre.seconds_pass(11);
    assert_eq!(
        silent.hears().await,
        Some(closing(4001, "Authentication required"))
    );
    drop(silent);
    known.says("still here").await;
    assert_eq!(known.hears_text().await, "still here");
    known.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn a_sign_in_that_ends_takes_its_connections_with_it_and_no_others() {
    let theatre = Theatre::start().await;
    let enter = async |token: &str| {
        let path = format!("/rooms/signed?token={token}");
        let mut peer = Peer::enter(theatre.address, &path, "").await;
        peer.hears_text().await;
        peer
    };
    let mut phone = enter("1:phone").await;
    let mut tab = enter("1:phone").await;
    let mut desk = enter("1:").await;
    let mut other = enter("2:other").await;
    assert_eq!(theatre.registry.count_of(UserId(1)), 3);

    let (session, user) = (SessionId("phone".to_owned()), UserId(1));
    theatre.registry.revoke(&Revoked::Session { session, user });
    let ended = closing(4001, "Authentication required");
    assert_eq!(phone.hears().await, Some(ended.clone()));
    assert_eq!(tab.hears().await, Some(ended.clone()));
    drop((phone, tab));
    theatre
        .becomes(|theatre| theatre.registry.count_of(UserId(1)) == 1)
        .await;

    let before = Utc::now() - TimeDelta::minutes(1);
    theatre.registry.revoke(&Revoked::User { user, before });
    desk.says("newer than that").await;
    assert_eq!(desk.hears_text().await, "newer than that");
    let before = Utc::now() + TimeDelta::seconds(1);
    theatre.registry.revoke(&Revoked::User { user, before });
    assert_eq!(desk.hears().await, Some(ended));
    drop(desk);

    other.says("still here").await;
    assert_eq!(other.hears_text().await, "still here");
    other.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn a_session_is_asked_for_after_a_day_and_takes_its_connection_with_it_if_it_has_run_out() {
    let theatre = Theatre::start().await;
    let enter = async |token: &str| {
        let path = format!("/rooms/signed?token={token}");
        let mut peer = Peer::enter(theatre.address, &path, "").await;
        peer.hears_text().await;
        peer
    };
    let (mut brief, mut long) = (enter("1:brief").await, enter("2:long").await);
    // A day, in which neither is silent for long.
    for _ in 0..24 * 60 * 60 / 24 {
        theatre.seconds_pass(24);
        for peer in [&mut brief, &mut long] {
            peer.says("here").await;
            assert_eq!(peer.hears_text().await, "here");
        }
    }
    theatre.seconds_pass(1);
    let ended = closing(4001, "Authentication required");
    assert_eq!(brief.hears().await, Some(ended));
    drop(brief);
    // The other's lives one hour more, whenever it is asked for.
    for _ in 0..2 * 60 * 60 / 24 {
        long.says("still here").await;
        assert_eq!(long.hears_text().await, "still here");
        theatre.seconds_pass(24);
    }
    long.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn a_user_may_have_so_many_connections_and_one_more_when_one_has_ended() {
    let theatre = Theatre::build(Plan {
        connections_per_user: 2,
        ..Plan::default()
    })
    .await;
    let enter = async || {
        let mut peer = Peer::enter(theatre.address, "/rooms/signed?token=1:a", "").await;
        (peer.hears().await, peer)
    };
    let hello = Some(text("hello user1"));
    let (first, one) = enter().await;
    let (second, two) = enter().await;
    let (third, three) = enter().await;
    assert_eq!((first, second), (hello.clone(), hello.clone()));
    assert_eq!(third, Some(closing(4030, "Too many connections")));
    drop(three);
    two.leaves().await;
    theatre
        .becomes(|theatre| theatre.registry.count() == 1)
        .await;
    let (again, two) = enter().await;
    assert_eq!(again, hello);
    one.leaves().await;
    two.leaves().await;
    theatre.stop().await;
}

#[tokio::test]
async fn twenty_errors_in_ten_seconds_end_a_connection() {
    let theatre = Theatre::start().await;
    let mut peer = theatre.enters().await;
    for _ in 0..19 {
        peer.says("!error").await;
        assert_eq!(peer.hears_text().await, "wrong");
    }
    peer.says("nineteen are forgiven").await;
    assert_eq!(peer.hears_text().await, "nineteen are forgiven");
    peer.says("!error").await;
    assert_eq!(peer.hears_text().await, "wrong");
    let last = closing(4029, "Too many violations");
    assert_eq!(peer.hears().await, Some(last));
    drop(peer);
    theatre.stop().await;
}

#[tokio::test]
async fn floods_of_frames_pings_and_pongs_end_in_4029() {
    let theatre = Theatre::build(Plan {
        sockets: SocketLimits {
            frames_per_second: 5,
            ..SocketLimits::default()
        },
        ..Plan::default()
    })
    .await;
    for bytes in [
        masked(FIN | TEXT, b"!paced"),
        masked(FIN | PING, b"flood"),
        masked(FIN | PONG, b""),
    ] {
        let mut peer = theatre.enters().await;
        peer.sends(&bytes.repeat(500)).await;
        let last = loop {
            let frame = peer.hears().await.expect("a close");
            if frame.opcode == CLOSE {
                break frame;
            }
        };
        assert_eq!(last, closing(4029, "Too many violations"));
    }
    theatre.stop().await;
}

#[tokio::test]
async fn a_restart_is_told_to_everybody_and_nobody_comes_in_meanwhile() {
    let theatre = Theatre::start().await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(theatre.enters().await);
    }
    let mut busy = theatre.enters().await;
    busy.says("!wait").await;
    theatre.stage.waits.notified().await;
    let registry = theatre.registry.clone();
    let draining = tokio::spawn(async move { registry.drain(Duration::from_millis(100)).await });
    for mut peer in peers {
        assert_eq!(peer.hears().await, Some(closing(1012, "Service restart")));
        peer.sends(&masked(FIN | CLOSE, &1012u16.to_be_bytes()))
            .await;
    }
    let mut late = Peer::connect(theatre.address).await;
    let answer = late.asks(&handshake("/echo", "")).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("5"))
    );
    // Somebody whose frame is being served hears the code, and the frame is served to its end.
    assert_eq!(busy.hears().await, Some(closing(1012, "Service restart")));
    drop(busy);
    assert!(!draining.is_finished());
    theatre.stage.cue.notify_one();
    draining.await.unwrap();
    assert_eq!(theatre.registry.count(), 0);
    assert_eq!(theatre.stage.left.lock().len(), 21);
    theatre.stop().await;
}
