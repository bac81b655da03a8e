//! Group 5: messages in fragments, control frames between them, and fragments of nothing.

use super::*;

const FIRST: Sent<'_> = (TEXT, b"fragment1");
const SECOND: Sent<'_> = (LAST, b"fragment2");

#[tokio::test]
async fn cases_5_control_frames_have_no_fragments() {
    let cases = [
        case("5.1").sends(Whole, &[(PING, b"fragment1"), SECOND]),
        case("5.2").sends(Whole, &[(PONG, b"fragment1"), SECOND]),
    ];
    play(2, cases.map(|case| case.closed(PROTOCOL))).await;
}

#[tokio::test]
async fn cases_5_fragments_come_through_as_one_message() {
    let with_ping = [FIRST, (FIN | PING, b"ping payload"), SECOND];
    let echo = [text("fragment1fragment2")];
    let heard = [frame(PONG, b"ping payload"), echo[0].clone()];
    let cases = [
        case("5.3").sends(Whole, &[FIRST, SECOND]).hears(&echo),
        case("5.4").sends(ByFrame, &[FIRST, SECOND]).hears(&echo),
        case("5.5").sends(ByOctet, &[FIRST, SECOND]).hears(&echo),
        case("5.6").sends(Whole, &with_ping).hears(&heard),
        case("5.7").sends(ByFrame, &with_ping).hears(&heard),
        case("5.8").sends(ByOctet, &with_ping).hears(&heard),
    ];
    play(6, cases).await;
}

#[tokio::test]
async fn cases_5_a_fragment_of_nothing_is_refused() {
    let orphan = |first| {
        [
            (first, &b"non-continuation payload"[..]),
            (WHOLE_TEXT, b"Hello, world!"),
        ]
    };
    let after_whole = [
        FIRST,
        SECOND,
        (MORE, b"fragment3"),
        (WHOLE_TEXT, b"fragment4"),
    ];
    let twice = |first| [(first, &b"orphan"[..]), FIRST, SECOND].repeat(2);
    let echo = [text("fragment1fragment2")];
    let cases = [
        case("5.9").sends(Whole, &orphan(LAST)),
        case("5.10").sends(ByFrame, &orphan(LAST)),
        case("5.11").sends(ByOctet, &orphan(LAST)),
        case("5.12").sends(Whole, &orphan(MORE)),
        case("5.13").sends(ByFrame, &orphan(MORE)),
        case("5.14").sends(ByOctet, &orphan(MORE)),
        case("5.15").sends(Whole, &after_whole).hears(&echo),
        case("5.16").sends(Whole, &twice(MORE)),
        case("5.17").sends(Whole, &twice(LAST)),
        case("5.18").sends(Whole, &[FIRST, (WHOLE_TEXT, b"fragment2")]),
    ];
    play(10, cases.map(|case| case.closed(PROTOCOL))).await;
}

#[tokio::test]
async fn cases_5_a_ping_is_answered_before_the_message_around_it_is_whole() {
    let begins = [FIRST, (MORE, b"fragment2"), (FIN | PING, b"pongme 1!")];
    let ends = [
        (MORE, &b"fragment3"[..]),
        (MORE, b"fragment4"),
        (FIN | PING, b"pongme 2!"),
        (LAST, b"fragment5"),
    ];
    let heard_first = [frame(PONG, b"pongme 1!")];
    let heard_then = [
        frame(PONG, b"pongme 2!"),
        text("fragment1fragment2fragment3fragment4fragment5"),
    ];
    let cases = [("5.19", Whole), ("5.20", ByFrame)].map(|(name, cut)| {
        case(name)
            .sends(cut, &begins)
            .hears(&heard_first)
            .sends(cut, &ends)
            .hears(&heard_then)
    });
    play(2, cases).await;
}
