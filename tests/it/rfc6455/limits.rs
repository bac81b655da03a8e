//! Groups 9 and 10: large messages, in many fragments and in many pieces, and many round trips.

use super::*;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// What a message has at most.
const LIMIT: usize = 64 * KIB;

/// What 9.1 and 9.2 send, by the last part of their numbers.
const MESSAGES: [usize; 6] = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];

#[tokio::test]
async fn cases_9_1_text_of_64_kib_comes_through_and_more_is_refused() {
    let over = letters(LIMIT + 1);
    let cases = (1..).zip(MESSAGES).map(|(n, len)| {
        let payload = letters(len);
        let case = case(format!("9.1.{n}")).sends(Whole, &[(WHOLE_TEXT, &payload)]);
        if len > LIMIT {
            return case.closed(TOO_BIG);
        }
        case.hears(&[frame(TEXT, &payload)])
    });
    let one_more = case("9.1.1 with one octet more")
        .sends(Whole, &[(WHOLE_TEXT, &over)])
        .closed(TOO_BIG);
    play(6, cases.chain([one_more])).await;
}

#[tokio::test]
async fn cases_9_2_binary_messages_are_refused() {
    let cases = (1..).zip(MESSAGES).map(|(n, len)| {
        let code = if len > LIMIT { TOO_BIG } else { NO_BINARY };
        case(format!("9.2.{n}"))
            .sends(Whole, &[(WHOLE_BINARY, &letters(len))])
            .closed(code)
    });
    play(6, cases).await;
}

/// Into what 9.3 and 9.4 cut 4 MiB, by the last part of their numbers.
const FRAGMENTS: [usize; 9] = [
    64,
    256,
    KIB,
    4 * KIB,
    16 * KIB,
    64 * KIB,
    256 * KIB,
    MIB,
    4 * MIB,
];

#[tokio::test]
async fn cases_9_3_fragments_come_through_up_to_64_kib_in_all() {
    let (most, over, as_in_suite) = (letters(LIMIT), letters(LIMIT + 1), letters(4 * MIB));
    let echo = [frame(TEXT, &most)];
    let cases = (1..).zip(FRAGMENTS).flat_map(|(n, len)| {
        let sends = |case: Case, payload: &[u8]| case.sends(Whole, &fragments(TEXT, payload, len));
        [
            sends(case(format!("9.3.{n} with 64 KiB")), &most).hears(&echo),
            sends(case(format!("9.3.{n} with 64 KiB and an octet")), &over).closed(TOO_BIG),
            sends(case(format!("9.3.{n}")), &as_in_suite).closed(TOO_BIG),
        ]
    });
    play(9, cases).await;
}

#[tokio::test]
async fn cases_9_4_binary_fragments_are_refused() {
    let (most, as_in_suite) = (letters(LIMIT), letters(4 * MIB));
    let cases = (1..).zip(FRAGMENTS).flat_map(|(n, len)| {
        let sends =
            |case: Case, payload: &[u8]| case.sends(Whole, &fragments(BINARY, payload, len));
        [
            sends(case(format!("9.4.{n} with 64 KiB")), &most).closed(NO_BINARY),
            sends(case(format!("9.4.{n}")), &as_in_suite).closed(TOO_BIG),
        ]
    });
    play(9, cases).await;
}

/// Into what 9.5 and 9.6 cut the octets of a frame of 1 MiB, by the last part of their numbers.
const PIECES: [usize; 6] = [64, 128, 256, 512, 1024, 2048];

#[tokio::test]
async fn cases_9_5_text_comes_through_however_the_octets_are_cut() {
    let (most, as_in_suite) = (letters(LIMIT), letters(MIB));
    let echo = [frame(TEXT, &most)];
    let cases = (1..).zip(PIECES).flat_map(|(n, len)| {
        [
            case(format!("9.5.{n} with 64 KiB"))
                .sends(Pieces(len), &[(WHOLE_TEXT, &most)])
                .hears(&echo),
            case(format!("9.5.{n}"))
                .sends(Pieces(len), &[(WHOLE_TEXT, &as_in_suite)])
                .closed(TOO_BIG),
        ]
    });
    play(6, cases).await;
}

#[tokio::test]
async fn cases_9_6_binary_is_refused_however_the_octets_are_cut() {
    let (most, as_in_suite) = (letters(LIMIT), letters(MIB));
    let cases = (1..).zip(PIECES).flat_map(|(n, len)| {
        [
            case(format!("9.6.{n} with 64 KiB"))
                .sends(Pieces(len), &[(WHOLE_BINARY, &most)])
                .closed(NO_BINARY),
            case(format!("9.6.{n}"))
                .sends(Pieces(len), &[(WHOLE_BINARY, &as_in_suite)])
                .closed(TOO_BIG),
        ]
    });
    play(6, cases).await;
}

/// What 9.7 and 9.8 send a thousand times, by the last part of their numbers.
const ROUND_TRIPS: [usize; 6] = [0, 16, 64, 256, 1024, 4096];

#[tokio::test]
async fn cases_9_7_a_thousand_round_trips() {
    let cases = (1..).zip(ROUND_TRIPS).map(|(n, len)| {
        let payload = letters(len);
        case(format!("9.7.{n}"))
            .sends(Whole, &[(WHOLE_TEXT, &payload)])
            .hears(&[frame(TEXT, &payload)])
            .times(1000)
    });
    play(6, cases).await;
}

#[tokio::test]
async fn cases_9_8_binary_makes_no_round_trip() {
    let cases = (1..).zip(ROUND_TRIPS).map(|(n, len)| {
        case(format!("9.8.{n}"))
            .sends(Whole, &[(WHOLE_BINARY, &letters(len))])
            .closed(NO_BINARY)
    });
    play(6, cases).await;
}

#[tokio::test]
async fn case_10_1_1_fragments_of_which_the_last_is_shorter() {
    let most = letters(LIMIT);
    let case = case("10.1.1")
        .sends(Whole, &fragments(TEXT, &most, 1300))
        .hears(&[frame(TEXT, &most)]);
    play(1, [case]).await;
}

#[tokio::test]
async fn a_length_that_no_message_may_have_is_refused_before_its_payload_comes() {
    let theatre = Theatre::start().await;
    for len in [65_537u64, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
        let mut peer = theatre.enters().await;
        let header = [&[WHOLE_TEXT, 0xff][..], &len.to_be_bytes(), &[0; 4]].concat();
        peer.sends(&header).await;
        let heard = peer.hears().await;
        assert_eq!(heard, Some(closing(1009, "Message too big")), "{len}");
    }
    theatre.stop().await;
}
