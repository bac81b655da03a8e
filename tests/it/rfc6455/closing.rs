//! Group 7: who closes how, and with which codes.

use super::*;

const CLOSING: u8 = FIN | CLOSE;
const NORMAL: [u8; 2] = 1000u16.to_be_bytes();
const GOODBYE: Sent<'_> = (CLOSING, &NORMAL);
const HELLO: Sent<'_> = (WHOLE_TEXT, b"Hello World!");

#[tokio::test]
async fn cases_7_1_what_comes_after_a_close_is_void() {
    let echo = [text("Hello World!")];
    let halves: [Sent<'_>; 2] = [(TEXT, b"fragment1"), (LAST, b"fragment2")];
    let (most, as_in_suite) = (letters(64 << 10), letters(256 << 10));
    let behind = |long| [(WHOLE_TEXT, long), HELLO, GOODBYE, EMPTY_PING];
    let cases = [
        case("7.1.1")
            .sends(Whole, &[HELLO, GOODBYE])
            .hears(&echo)
            .closed(1000),
        case("7.1.2")
            .sends(Whole, &[GOODBYE, (CLOSING, b"")])
            .closed(1000),
        case("7.1.3")
            .sends(Whole, &[GOODBYE, EMPTY_PING])
            .closed(1000),
        case("7.1.4").sends(Whole, &[GOODBYE, HELLO]).closed(1000),
        case("7.1.5")
            .sends(Whole, &[halves[0], GOODBYE, halves[1]])
            .closed(1000),
        // What came before the close is answered first, also where that takes long.
        case("7.1.6 with 64 KiB")
            .sends(Whole, &behind(&most))
            .hears(&[frame(TEXT, &most), echo[0].clone()])
            .closed(1000),
        case("7.1.6")
            .sends(Whole, &behind(&as_in_suite))
            .closed(TOO_BIG),
    ];
    play(6, cases).await;
}

#[tokio::test]
async fn cases_7_3_and_7_5_what_a_close_frame_holds() {
    let with = |reason: &[u8]| [&NORMAL[..], reason].concat();
    let cases = [
        case("7.3.1")
            .sends(Whole, &[(CLOSING, b"")])
            .closed_without_code(),
        case("7.3.2")
            .sends(Whole, &[(CLOSING, b"a")])
            .closed(PROTOCOL),
        case("7.3.3").sends(Whole, &[GOODBYE]).closed(1000),
        case("7.3.4")
            .sends(Whole, &[(CLOSING, &with(b"Hello World!"))])
            .closed(1000),
        case("7.3.5")
            .sends(Whole, &[(CLOSING, &with(&[b'*'; 123]))])
            .closed(1000),
        case("7.3.6")
            .sends(Whole, &[(CLOSING, &with(&[b'*'; 124]))])
            .closed(PROTOCOL),
        case("7.5.1")
            .sends(Whole, &[(CLOSING, &with(NOT_TEXT))])
            .closed(NOT_UTF8),
    ];
    play(7, cases).await;
}

#[tokio::test]
async fn cases_7_7_a_code_that_may_be_sent_is_sent_back() {
    let codes = [
        ("7.7.1", 1000),
        ("7.7.2", 1001),
        ("7.7.3", 1002),
        ("7.7.4", 1003),
        ("7.7.5", 1007),
        ("7.7.6", 1008),
        ("7.7.7", 1009),
        ("7.7.8", 1010),
        ("7.7.9", 1011),
        ("7.7.10", 3000),
        ("7.7.11", 3999),
        ("7.7.12", 4000),
        ("7.7.13", 4999),
    ];
    let cases = codes.map(|(name, code): (_, u16)| {
        let payload = code.to_be_bytes();
        case(name).sends(Whole, &[(CLOSING, &payload)]).closed(code)
    });
    play(13, cases).await;
}

/// To 7.13 the suite takes any answer.
#[tokio::test]
async fn cases_7_9_and_7_13_a_code_that_must_not_be_sent_is_refused() {
    let codes = [
        ("7.9.1", 0),
        ("7.9.2", 999),
        ("7.9.3", 1004),
        ("7.9.4", 1005),
        ("7.9.5", 1006),
        ("7.9.6", 1016),
        ("7.9.7", 1100),
        ("7.9.8", 2000),
        ("7.9.9", 2999),
        ("7.13.1", 5000),
        ("7.13.2", 65_535),
    ];
    let cases = codes.into_iter().flat_map(|(name, code): (_, u16)| {
        let alone = code.to_be_bytes();
        let with_reason = [&alone[..], b"reason"].concat();
        [
            case(name).sends(Whole, &[(CLOSING, &alone)]),
            case(format!("{name} with a reason")).sends(Whole, &[(CLOSING, &with_reason)]),
        ]
    });
    play(11, cases.map(|case| case.closed(PROTOCOL))).await;
}
