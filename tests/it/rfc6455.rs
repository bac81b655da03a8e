//! The WebSocket protocol at the level of frames: what the Autobahn|Testsuite's cases without
//! compression ask of a server, case by case, named by their numbers. Two things differ on purpose:
//! binary messages are refused (1003), and so are messages of more than 64 KiB (1009).

use crate::wire::*;

/// How the client cuts what it sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Whole,
    ByFrame,
    ByOctet,
    Pieces(usize),
}
use Cut::{ByFrame, ByOctet, Pieces, Whole};

struct Case {
    name: &'static str,
    cut: Cut,
    /// First byte and payload of each frame.
    sent: Vec<(u8, Vec<u8>)>,
    heard: Vec<Frame>,
    /// How the server ends it; none: it stays open, and closes politely when asked to.
    closed: Option<u16>,
}

fn case(
    name: &'static str,
    cut: Cut,
    sent: &[(u8, &[u8])],
    heard: &[Frame],
    closed: Option<u16>,
) -> Case {
    Case {
        name,
        cut,
        sent: sent
            .iter()
            .map(|(first, payload)| (*first, payload.to_vec()))
            .collect(),
        heard: heard.to_vec(),
        closed,
    }
}

async fn play(cases: Vec<Case>) {
    let theatre = Theatre::start().await;
    for case in cases {
        let name = case.name;
        let mut peer = theatre.enters().await;
        let frames = case
            .sent
            .iter()
            .map(|(first, payload)| masked(*first, payload));
        match case.cut {
            Whole => peer.sends(&frames.collect::<Vec<_>>().concat()).await,
            ByFrame => {
                for frame in frames {
                    peer.sends(&frame).await;
                }
            }
            ByOctet | Pieces(_) => {
                let len = if let Pieces(len) = case.cut { len } else { 1 };
                for piece in frames.collect::<Vec<_>>().concat().chunks(len) {
                    // Where the server has refused already, the rest can't be sent.
                    if tokio::io::AsyncWriteExt::write_all(&mut peer.socket, piece)
                        .await
                        .is_err()
                    {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        for expected in &case.heard {
            assert_eq!(peer.hears().await.as_ref(), Some(expected), "{name}");
        }
        match case.closed {
            None => {
                peer.sends(&masked(FIN | CLOSE, &1000u16.to_be_bytes()))
                    .await;
                assert_eq!(peer.hears().await, Some(closing(1000, "")), "{name}");
            }
            Some(code) => {
                let last = peer
                    .hears()
                    .await
                    .unwrap_or_else(|| panic!("{name}: no close"));
                assert_eq!(last.opcode, CLOSE, "{name}");
                assert_eq!(
                    last.payload.get(..2),
                    Some(&code.to_be_bytes()[..]),
                    "{name}"
                );
            }
        }
        assert_eq!(peer.hears().await, None, "{name}");
    }
    theatre.stop().await;
}

const WHOLE_TEXT: u8 = FIN | TEXT;
const LAST: u8 = FIN;
const MORE: u8 = 0;
const PROTOCOL: Option<u16> = Some(1002);
const NOT_UTF8: Option<u16> = Some(1007);

#[tokio::test]
async fn cases_1_framing() {
    let mut cases = Vec::new();
    let names = [
        "1.1.1", "1.1.2", "1.1.3", "1.1.4", "1.1.5", "1.1.6", "1.1.7",
    ];
    for (name, len) in names
        .into_iter()
        .zip([0, 125, 126, 127, 128, 65_535, 65_536])
    {
        let payload = vec![b'*'; len];
        let echo = [frame(TEXT, &payload)];
        cases.push(case(name, Whole, &[(WHOLE_TEXT, &payload)], &echo, None));
        let binary = vec![0xfe; len];
        let sent: [(u8, &[u8]); 1] = [(FIN | BINARY, &binary)];
        cases.push(case(name, Whole, &sent, &[], Some(1003)));
    }
    let long = vec![b'*'; 65_536];
    let sent: [(u8, &[u8]); 1] = [(WHOLE_TEXT, &long)];
    cases.push(case(
        "1.1.8",
        Pieces(997),
        &sent,
        &[frame(TEXT, &long)],
        None,
    ));
    let sent: [(u8, &[u8]); 1] = [(FIN | BINARY, &long)];
    cases.push(case("1.2.8", Pieces(997), &sent, &[], Some(1003)));
    play(cases).await;
}

#[tokio::test]
async fn cases_2_pings_and_pongs() {
    let ping = FIN | PING;
    let pong = FIN | PONG;
    let (small, binary, most, over) = (
        b"Hello, world!",
        [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff],
        [0xfe; 125],
        [0xfe; 126],
    );
    let ten: Vec<Vec<u8>> = (0..10)
        .map(|n| format!("payload-{n}").into_bytes())
        .collect();
    let ten_pings: Vec<(u8, &[u8])> = ten.iter().map(|payload| (ping, &payload[..])).collect();
    let ten_pongs: Vec<Frame> = ten.iter().map(|payload| frame(PONG, payload)).collect();
    play(vec![
        case("2.1", Whole, &[(ping, b"")], &[frame(PONG, b"")], None),
        case("2.2", Whole, &[(ping, small)], &[frame(PONG, small)], None),
        case(
            "2.3",
            Whole,
            &[(ping, &binary)],
            &[frame(PONG, &binary)],
            None,
        ),
        case("2.4", Whole, &[(ping, &most)], &[frame(PONG, &most)], None),
        case("2.5", Whole, &[(ping, &over)], &[], PROTOCOL),
        case(
            "2.6",
            ByOctet,
            &[(ping, &most)],
            &[frame(PONG, &most)],
            None,
        ),
        case("2.7", Whole, &[(pong, b"")], &[], None),
        case(
            "2.8",
            Whole,
            &[(pong, b"unsolicited pong payload")],
            &[],
            None,
        ),
        case(
            "2.9",
            Whole,
            &[(pong, b"unsolicited"), (ping, b"ping")],
            &[frame(PONG, b"ping")],
            None,
        ),
        case("2.10", ByFrame, &ten_pings, &ten_pongs, None),
        case("2.11", ByOctet, &ten_pings, &ten_pongs, None),
    ])
    .await;
}

#[tokio::test]
async fn cases_3_reserved_bits() {
    let small: &[u8] = b"Hello, world!";
    let echo = [text("Hello, world!")];
    let (rsv, ping) = (|bits: u8| bits << 4, (FIN | PING, &b""[..]));
    let then = |bits| [(WHOLE_TEXT, small), (WHOLE_TEXT | rsv(bits), small), ping];
    play(vec![
        case("3.1", Whole, &[(WHOLE_TEXT | rsv(1), small)], &[], PROTOCOL),
        case("3.2", Whole, &then(2), &echo, PROTOCOL),
        case("3.3", ByFrame, &then(3), &echo, PROTOCOL),
        case("3.4", ByOctet, &then(4), &echo, PROTOCOL),
        case(
            "3.5",
            Whole,
            &[(FIN | BINARY | rsv(5), &[0, 255, 254])],
            &[],
            PROTOCOL,
        ),
        case("3.6", Whole, &[(FIN | PING | rsv(6), small)], &[], PROTOCOL),
        case("3.7", Whole, &[(FIN | CLOSE | rsv(7), &[])], &[], PROTOCOL),
    ])
    .await;
}

#[tokio::test]
async fn cases_4_reserved_opcodes() {
    let small: &[u8] = b"Hello, world!";
    let echo = [text("Hello, world!")];
    let ping = (FIN | PING, &b""[..]);
    let mut cases = Vec::new();
    for (names, base) in [
        (["4.1.1", "4.1.2", "4.1.3", "4.1.4", "4.1.5"], 3),
        (["4.2.1", "4.2.2", "4.2.3", "4.2.4", "4.2.5"], 11),
    ] {
        let reserved = |n: u8| FIN | (base + n);
        let then = |n, payload| [(WHOLE_TEXT, small), (reserved(n), payload), ping];
        cases.push(case(names[0], Whole, &[(reserved(0), b"")], &[], PROTOCOL));
        cases.push(case(
            names[1],
            Whole,
            &[(reserved(1), small)],
            &[],
            PROTOCOL,
        ));
        cases.push(case(names[2], ByFrame, &then(2, b""), &echo, PROTOCOL));
        cases.push(case(names[3], ByFrame, &then(3, small), &echo, PROTOCOL));
        cases.push(case(names[4], ByOctet, &then(4, small), &echo, PROTOCOL));
    }
    play(cases).await;
}

#[tokio::test]
async fn cases_5_fragmentation() {
    let halves: [(u8, &[u8]); 2] = [(TEXT, b"fragment1"), (LAST, b"fragment2")];
    let echo = text("fragment1fragment2");
    let with_ping: [(u8, &[u8]); 3] = [halves[0], (FIN | PING, b"ping"), halves[1]];
    let ponged = [frame(PONG, b"ping"), echo.clone()];
    let orphan = |first: u8| {
        [
            (first, &b"non-continuation payload"[..]),
            (WHOLE_TEXT, b"Hello"),
        ]
    };
    let twice = |first: u8| [(first, &b"orphan"[..]), halves[0], halves[1]].repeat(2);
    let after_whole = [
        halves[0],
        halves[1],
        (MORE, b"orphan"),
        (WHOLE_TEXT, b"Hello"),
    ];
    let both_text: [(u8, &[u8]); 2] = [(TEXT, b"fragment1"), (WHOLE_TEXT, b"fragment2")];
    let five: [(u8, &[u8]); 7] = [
        (TEXT, b"fragment1"),
        (MORE, b"fragment2"),
        (FIN | PING, b"pongme 1!"),
        (MORE, b"fragment3"),
        (MORE, b"fragment4"),
        (FIN | PING, b"pongme 2!"),
        (LAST, b"fragment5"),
    ];
    let five_heard = [
        frame(PONG, b"pongme 1!"),
        frame(PONG, b"pongme 2!"),
        text("fragment1fragment2fragment3fragment4fragment5"),
    ];
    let echoed = [echo];
    play(vec![
        case(
            "5.1",
            Whole,
            &[(PING, b"fragment1"), (LAST, b"fragment2")],
            &[],
            PROTOCOL,
        ),
        case(
            "5.2",
            Whole,
            &[(PONG, b"fragment1"), (LAST, b"fragment2")],
            &[],
            PROTOCOL,
        ),
        case("5.3", Whole, &halves, &echoed, None),
        case("5.4", ByFrame, &halves, &echoed, None),
        case("5.5", ByOctet, &halves, &echoed, None),
        case("5.6", Whole, &with_ping, &ponged, None),
        case("5.7", ByFrame, &with_ping, &ponged, None),
        case("5.8", ByOctet, &with_ping, &ponged, None),
        case("5.9", Whole, &orphan(LAST), &[], PROTOCOL),
        case("5.10", ByFrame, &orphan(LAST), &[], PROTOCOL),
        case("5.11", ByOctet, &orphan(LAST), &[], PROTOCOL),
        case("5.12", Whole, &orphan(MORE), &[], PROTOCOL),
        case("5.13", ByFrame, &orphan(MORE), &[], PROTOCOL),
        case("5.14", ByOctet, &orphan(MORE), &[], PROTOCOL),
        case("5.15", Whole, &after_whole, &echoed, PROTOCOL),
        case("5.16", Whole, &twice(MORE), &[], PROTOCOL),
        case("5.17", Whole, &twice(LAST), &[], PROTOCOL),
        case("5.18", Whole, &both_text, &[], PROTOCOL),
        case("5.19", ByFrame, &five, &five_heard, None),
        case("5.20", Whole, &five, &five_heard, None),
    ])
    .await;
}

/// A message as fragments of one octet each.
fn by_octet(payload: &[u8]) -> Vec<(u8, &[u8])> {
    let mut fragments: Vec<(u8, &[u8])> = payload.chunks(1).map(|octet| (MORE, octet)).collect();
    fragments[0].0 |= TEXT;
    fragments.last_mut().expect("a fragment").0 |= FIN;
    fragments
}

#[tokio::test]
async fn cases_6_utf8_in_messages_and_fragments() {
    let valid = "Hello-µ@ßöäüàá-UTF-8!!".as_bytes();
    let invalid: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    let echo = [frame(TEXT, valid)];
    // A codepoint beyond U+10FFFF in the middle.
    let start: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4";
    let (bad, end): (&[u8], &[u8]) = (b"\x90", b"\x80\x80edited");
    let whole = [start, bad, end].concat();
    let empty = [text("")];
    let middle = [text("middle frame payload")];
    let kosme = "κόσμε".as_bytes();
    play(vec![
        case("6.1.1", Whole, &[(WHOLE_TEXT, b"")], &empty, None),
        case(
            "6.1.2",
            Whole,
            &[(TEXT, b""), (MORE, b""), (LAST, b"")],
            &empty,
            None,
        ),
        case(
            "6.1.3",
            Whole,
            &[(TEXT, b""), (MORE, b"middle frame payload"), (LAST, b"")],
            &middle,
            None,
        ),
        case("6.2.1", Whole, &[(WHOLE_TEXT, valid)], &echo, None),
        case(
            "6.2.2",
            Whole,
            &[(TEXT, &valid[..8]), (LAST, &valid[8..])],
            &echo,
            None,
        ),
        case("6.2.3", Whole, &by_octet(valid), &echo, None),
        case(
            "6.2.4",
            ByOctet,
            &by_octet(kosme),
            &[frame(TEXT, kosme)],
            None,
        ),
        case("6.3.1", Whole, &[(WHOLE_TEXT, invalid)], &[], NOT_UTF8),
        case("6.3.2", Whole, &by_octet(invalid), &[], NOT_UTF8),
        case(
            "6.4.1",
            ByFrame,
            &[(TEXT, start), (MORE, bad), (LAST, end)],
            &[],
            NOT_UTF8,
        ),
        case(
            "6.4.2",
            ByFrame,
            &[
                (TEXT, &whole[..12]),
                (MORE, &whole[12..13]),
                (LAST, &whole[13..]),
            ],
            &[],
            NOT_UTF8,
        ),
        case("6.4.3", Pieces(12), &[(WHOLE_TEXT, &whole)], &[], NOT_UTF8),
        case("6.4.4", ByOctet, &[(WHOLE_TEXT, &whole)], &[], NOT_UTF8),
    ])
    .await;
}

#[tokio::test]
async fn cases_6_utf8_sequences() {
    let valid: [(&'static str, &[u8]); 23] = [
        ("6.5.1", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"),
        ("6.6.2", b"\xce\xba"),
        ("6.6.5", b"\xce\xba\xe1\xbd\xb9"),
        ("6.6.7", b"\xce\xba\xe1\xbd\xb9\xcf\x83"),
        ("6.6.9", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc"),
        ("6.6.11", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"),
        ("6.7.1", b"\x00"),
        ("6.7.2", b"\xc2\x80"),
        ("6.7.3", b"\xe0\xa0\x80"),
        ("6.7.4", b"\xf0\x90\x80\x80"),
        ("6.9.1", b"\x7f"),
        ("6.9.2", b"\xdf\xbf"),
        ("6.9.3", b"\xef\xbf\xbf"),
        ("6.9.4", b"\xf4\x8f\xbf\xbf"),
        ("6.11.1", b"\xed\x9f\xbf"),
        ("6.11.2", b"\xee\x80\x80"),
        ("6.11.3", b"\xef\xbf\xbd"),
        ("6.11.4", b"\xf4\x8f\xbf\xbf"),
        ("6.22.1", b"\xef\xbf\xbe"),
        ("6.22.3", b"\xf0\x9f\xbf\xbe"),
        ("6.22.19", b"\xf2\x8f\xbf\xbf"),
        ("6.22.34", b"\xf4\x8f\xbf\xbf"),
        ("6.23.1", b"\xef\xbf\xbd"),
    ];
    let invalid: [(&'static str, &[u8]); 43] = [
        ("6.6.1", b"\xce"),
        ("6.6.3", b"\xce\xba\xe1"),
        ("6.6.4", b"\xce\xba\xe1\xbd"),
        ("6.6.6", b"\xce\xba\xe1\xbd\xb9\xcf"),
        ("6.6.8", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce"),
        ("6.6.10", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce"),
        ("6.8.1", b"\xf8\x88\x80\x80\x80"),
        ("6.8.2", b"\xfc\x84\x80\x80\x80\x80"),
        ("6.10.1", b"\xf7\xbf\xbf\xbf"),
        ("6.10.2", b"\xfb\xbf\xbf\xbf\xbf"),
        ("6.10.3", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
        ("6.11.5", b"\xf4\x90\x80\x80"),
        ("6.12.1", b"\x80"),
        ("6.12.2", b"\xbf"),
        ("6.12.3", b"\x80\xbf"),
        ("6.12.8", b"\x80\xbf\x80\xbf\x80\xbf\xbe"),
        ("6.13.1", b"\xc0 \xc1 \xc2 \xdf "),
        ("6.13.2", b"\xe0 \xe1 \xef "),
        ("6.13.3", b"\xf0 \xf1 \xf7 "),
        ("6.13.4", b"\xf8 \xf9 \xfb "),
        ("6.13.5", b"\xfc \xfd "),
        ("6.14.1", b"\xc0"),
        ("6.14.2", b"\xe0\x80"),
        ("6.14.3", b"\xf0\x80\x80"),
        ("6.14.6", b"\xdf"),
        ("6.14.7", b"\xef\xbf"),
        ("6.14.8", b"\xf7\xbf\xbf"),
        (
            "6.15.1",
            b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf",
        ),
        ("6.16.1", b"\xfe"),
        ("6.16.2", b"\xff"),
        ("6.16.3", b"\xfe\xfe\xff\xff"),
        ("6.17.1", b"\xc0\xaf"),
        ("6.17.2", b"\xe0\x80\xaf"),
        ("6.17.3", b"\xf0\x80\x80\xaf"),
        ("6.18.1", b"\xc1\xbf"),
        ("6.18.2", b"\xe0\x9f\xbf"),
        ("6.18.3", b"\xf0\x8f\xbf\xbf"),
        ("6.19.1", b"\xc0\x80"),
        ("6.19.2", b"\xe0\x80\x80"),
        ("6.20.1", b"\xed\xa0\x80"),
        ("6.20.7", b"\xed\xbf\xbf"),
        ("6.21.1", b"\xed\xa0\x80\xed\xb0\x80"),
        ("6.21.8", b"\xed\xaf\xbf\xed\xbf\xbf"),
    ];
    let mut cases = Vec::new();
    for (name, payload) in valid {
        let echo = [frame(TEXT, payload)];
        cases.push(case(name, Whole, &[(WHOLE_TEXT, payload)], &echo, None));
        cases.push(case(name, Whole, &by_octet(payload), &echo, None));
    }
    for (name, payload) in invalid {
        cases.push(case(name, Whole, &[(WHOLE_TEXT, payload)], &[], NOT_UTF8));
        cases.push(case(name, Whole, &by_octet(payload), &[], NOT_UTF8));
    }
    play(cases).await;
}

#[tokio::test]
async fn cases_7_closing() {
    let close = FIN | CLOSE;
    let normal: &[u8] = &1000u16.to_be_bytes();
    let with_reason = [normal, b"Hello World!"].concat();
    let longest = [normal, &[b'*'; 123]].concat();
    let too_long = [normal, &[b'*'; 124]].concat();
    let bad_reason = [
        normal,
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ]
    .concat();
    let hello = [text("Hello World!")];
    let long = vec![b'*'; 60_000];
    let long_echo = [frame(TEXT, &long)];
    let goodbye = Some(1000);
    let words: (u8, &[u8]) = (WHOLE_TEXT, b"Hello World!");
    let mut cases = vec![
        case("7.1.1", Whole, &[words, (close, normal)], &hello, goodbye),
        case(
            "7.1.2",
            Whole,
            &[(close, normal), (close, normal)],
            &[],
            goodbye,
        ),
        case(
            "7.1.3",
            Whole,
            &[(close, normal), (FIN | PING, b"")],
            &[],
            goodbye,
        ),
        case("7.1.4", Whole, &[(close, normal), words], &[], goodbye),
        case(
            "7.1.5",
            Whole,
            &[(TEXT, b"fragment1"), (close, normal), (LAST, b"fragment2")],
            &[],
            goodbye,
        ),
        case(
            "7.1.6",
            Whole,
            &[
                (WHOLE_TEXT, &long),
                words,
                (close, normal),
                (FIN | PING, b""),
            ],
            &[&long_echo[..], &hello].concat(),
            goodbye,
        ),
        case("7.3.2", Whole, &[(close, b"a")], &[], PROTOCOL),
        case("7.3.3", Whole, &[(close, normal)], &[], goodbye),
        case("7.3.4", Whole, &[(close, &with_reason)], &[], goodbye),
        case("7.3.5", Whole, &[(close, &longest)], &[], goodbye),
        case("7.3.6", Whole, &[(close, &too_long)], &[], PROTOCOL),
        case("7.5.1", Whole, &[(close, &bad_reason)], &[], NOT_UTF8),
    ];
    for code in [
        1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ] {
        let payload: &[u8] = &code.to_be_bytes();
        cases.push(case("7.7", Whole, &[(close, payload)], &[], Some(code)));
    }
    for code in [
        0u16, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        let payload: &[u8] = &code.to_be_bytes();
        cases.push(case("7.9", Whole, &[(close, payload)], &[], PROTOCOL));
        let with_reason = [payload, b"reason"].concat();
        cases.push(case("7.9", Whole, &[(close, &with_reason)], &[], PROTOCOL));
    }
    play(cases).await;
}

#[tokio::test]
async fn case_7_3_1_a_close_without_a_code_is_answered_without_one() {
    let theatre = Theatre::start().await;
    let mut peer = theatre.enters().await;
    peer.sends(&masked(FIN | CLOSE, b"")).await;
    assert_eq!(peer.hears().await, Some(frame(CLOSE, b"")));
    assert_eq!(peer.hears().await, None);
    drop(peer);
    theatre.stop().await;
}

#[tokio::test]
async fn cases_9_and_10_limits() {
    let most = vec![b'*'; 65_536];
    let over = vec![b'*'; 65_537];
    let echo = [frame(TEXT, &most)];
    let fragments = |bytes: &[u8], len: usize| -> Vec<(u8, Vec<u8>)> {
        let mut fragments: Vec<_> = bytes
            .chunks(len)
            .map(|part| (MORE, part.to_vec()))
            .collect();
        fragments[0].0 |= TEXT;
        fragments.last_mut().expect("a fragment").0 |= FIN;
        fragments
    };
    let in_fragments = |name, bytes: &[u8], len, heard: &[Frame], closed| Case {
        name,
        cut: Whole,
        sent: fragments(bytes, len),
        heard: heard.to_vec(),
        closed,
    };
    play(vec![
        case("9.1.1", Whole, &[(WHOLE_TEXT, &most)], &echo, None),
        case("9.1.2", Whole, &[(WHOLE_TEXT, &over)], &[], Some(1009)),
        case(
            "9.1.6",
            Whole,
            &[(WHOLE_TEXT, &vec![b'*'; 1 << 20])],
            &[],
            Some(1009),
        ),
        in_fragments("9.3.1", &most, 64, &echo, None),
        in_fragments("9.3.5", &most, 16_384, &echo, None),
        in_fragments("9.3.9", &over, 16_384, &[], Some(1009)),
        case("9.5.1", Pieces(64), &[(WHOLE_TEXT, &most)], &echo, None),
        case("9.5.6", Pieces(2048), &[(WHOLE_TEXT, &most)], &echo, None),
        in_fragments("10.1.1", &most, 1300, &echo, None),
    ])
    .await;
}

#[tokio::test]
async fn a_frame_that_is_not_masked_is_refused() {
    let theatre = Theatre::start().await;
    let mut peer = theatre.enters().await;
    peer.sends(&[WHOLE_TEXT, 2, b'h', b'i']).await;
    assert_eq!(peer.hears().await, Some(closing(1002, "Protocol error")));
    assert_eq!(peer.hears().await, None);
    drop(peer);
    theatre.stop().await;
}

#[tokio::test]
async fn a_length_that_no_message_may_have_is_refused_before_its_payload_comes() {
    let theatre = Theatre::start().await;
    for len in [65_537u64, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
        let mut peer = theatre.enters().await;
        let header = [&[WHOLE_TEXT, 0xff][..], &len.to_be_bytes(), &[0; 4]].concat();
        peer.sends(&header).await;
        assert_eq!(
            peer.hears().await,
            Some(closing(1009, "Message too big")),
            "{len}"
        );
    }
    theatre.stop().await;
}
