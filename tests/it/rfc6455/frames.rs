//! Groups 1 to 4: frames of all sizes, pings and pongs, reserved bits and opcodes.

use super::*;

const SMALL: &[u8] = b"Hello, world!";
const SMALL_BINARY: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

/// What 1.1 and 1.2 send, by the last part of their numbers.
const FRAMINGS: [(Cut, usize); 8] = [
    (Whole, 0),
    (Whole, 125),
    (Whole, 126),
    (Whole, 127),
    (Whole, 128),
    (Whole, 65_535),
    (Whole, 65_536),
    (Pieces(997), 65_536),
];

#[tokio::test]
async fn cases_1_1_text_frames_come_through_whole() {
    let cases = (1..).zip(FRAMINGS).map(|(n, (cut, len))| {
        let payload = letters(len);
        case(format!("1.1.{n}"))
            .sends(cut, &[(WHOLE_TEXT, &payload)])
            .hears(&[frame(TEXT, &payload)])
    });
    play(8, cases).await;
}

#[tokio::test]
async fn cases_1_2_binary_frames_are_refused() {
    let cases = (1..).zip(FRAMINGS).map(|(n, (cut, len))| {
        case(format!("1.2.{n}"))
            .sends(cut, &[(WHOLE_BINARY, &vec![0xfe; len])])
            .closed(NO_BINARY)
    });
    play(8, cases).await;
}

#[tokio::test]
async fn cases_2_pings_and_pongs() {
    let (ping, pong) = (FIN | PING, FIN | PONG);
    let ponged = |payload: &[u8]| [frame(PONG, payload)];
    let (most, over) = ([0xfe; 125], [0xfe; 126]);
    let ten: Vec<String> = (0..10).map(|n| format!("payload-{n}")).collect();
    let ten_pings: Vec<Sent<'_>> = ten.iter().map(|text| (ping, text.as_bytes())).collect();
    let ten_pongs: Vec<Frame> = ten
        .iter()
        .flat_map(|text| ponged(text.as_bytes()))
        .collect();
    let unasked: Sent<'_> = (pong, b"unsolicited pong payload");
    let cases = [
        case("2.1").sends(Whole, &[EMPTY_PING]).hears(&ponged(b"")),
        case("2.2")
            .sends(Whole, &[(ping, SMALL)])
            .hears(&ponged(SMALL)),
        case("2.3")
            .sends(Whole, &[(ping, SMALL_BINARY)])
            .hears(&ponged(SMALL_BINARY)),
        case("2.4")
            .sends(Whole, &[(ping, &most)])
            .hears(&ponged(&most)),
        case("2.5").sends(Whole, &[(ping, &over)]).closed(PROTOCOL),
        case("2.6")
            .sends(ByOctet, &[(ping, &most)])
            .hears(&ponged(&most)),
        case("2.7").sends(Whole, &[(pong, b"")]),
        case("2.8").sends(Whole, &[unasked]),
        case("2.9")
            .sends(Whole, &[unasked, (ping, SMALL)])
            .hears(&ponged(SMALL)),
        case("2.10").sends(ByFrame, &ten_pings).hears(&ten_pongs),
        case("2.11").sends(ByOctet, &ten_pings).hears(&ten_pongs),
    ];
    play(11, cases).await;
}

#[tokio::test]
async fn cases_3_reserved_bits() {
    let rsv = |bits: u8| bits << 4;
    // What comes before is answered, what comes behind is not.
    let between = |bits| {
        [
            (WHOLE_TEXT, SMALL),
            (WHOLE_TEXT | rsv(bits), SMALL),
            EMPTY_PING,
        ]
    };
    let echo = [frame(TEXT, SMALL)];
    let cases = [
        case("3.1").sends(Whole, &[(WHOLE_TEXT | rsv(1), SMALL)]),
        case("3.2").sends(Whole, &between(2)).hears(&echo),
        case("3.3").sends(ByFrame, &between(3)).hears(&echo),
        case("3.4").sends(ByOctet, &between(4)).hears(&echo),
        case("3.5").sends(Whole, &[(WHOLE_BINARY | rsv(5), SMALL_BINARY)]),
        case("3.6").sends(Whole, &[(FIN | PING | rsv(6), SMALL)]),
        case("3.7").sends(Whole, &[(FIN | CLOSE | rsv(7), b"")]),
    ];
    play(7, cases.map(|case| case.closed(PROTOCOL))).await;
}

#[tokio::test]
async fn cases_4_reserved_opcodes() {
    let echo = [frame(TEXT, SMALL)];
    // Those of messages, those of control frames.
    let cases = [("4.1", 3), ("4.2", 11)]
        .into_iter()
        .flat_map(|(group, first)| {
            let reserved = |n: u8, payload: &'static [u8]| (FIN | (first + n), payload);
            let between = |n, payload| [(WHOLE_TEXT, SMALL), reserved(n, payload), EMPTY_PING];
            [
                case(format!("{group}.1")).sends(Whole, &[reserved(0, b"")]),
                case(format!("{group}.2")).sends(Whole, &[reserved(1, SMALL)]),
                case(format!("{group}.3"))
                    .sends(ByFrame, &between(2, b""))
                    .hears(&echo),
                case(format!("{group}.4"))
                    .sends(ByFrame, &between(3, SMALL))
                    .hears(&echo),
                case(format!("{group}.5"))
                    .sends(ByOctet, &between(4, SMALL))
                    .hears(&echo),
            ]
        });
    play(10, cases.map(|case| case.closed(PROTOCOL))).await;
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
