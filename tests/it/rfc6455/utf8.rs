//! Group 6: text that is UTF-8 and text that isn't, whole and in fragments. The sequences of 6.5 to
//! 6.23 go back to Markus Kuhn's UTF-8 decoder capability and stress test.

use super::*;

const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

fn by_octet(payload: &[u8]) -> Vec<Sent<'_>> {
    fragments(TEXT, payload, 1)
}

#[tokio::test]
async fn cases_6_1_fragments_without_payload() {
    let middle: Sent<'_> = (MORE, b"middle frame payload");
    let cases = [
        case("6.1.1")
            .sends(Whole, &[(WHOLE_TEXT, b"")])
            .hears(&[text("")]),
        case("6.1.2")
            .sends(Whole, &[(TEXT, b""), (MORE, b""), (LAST, b"")])
            .hears(&[text("")]),
        case("6.1.3")
            .sends(Whole, &[(TEXT, b""), middle, (LAST, b"")])
            .hears(&[text("middle frame payload")]),
    ];
    play(3, cases).await;
}

#[tokio::test]
async fn cases_6_2_text_cut_between_and_within_its_characters() {
    let (begins, ends) = ("Hello-µ@ßöä".as_bytes(), "üàá-UTF-8!!".as_bytes());
    let whole = [begins, ends].concat();
    let echo = [frame(TEXT, &whole)];
    let cases = [
        case("6.2.1")
            .sends(Whole, &[(WHOLE_TEXT, &whole)])
            .hears(&echo),
        case("6.2.2")
            .sends(Whole, &[(TEXT, begins), (LAST, ends)])
            .hears(&echo),
        case("6.2.3").sends(Whole, &by_octet(&whole)).hears(&echo),
        case("6.2.4")
            .sends(ByOctet, &by_octet(KOSME))
            .hears(&[frame(TEXT, KOSME)]),
    ];
    play(4, cases).await;
}

#[tokio::test]
async fn cases_6_3_text_that_is_wrong_in_its_midst() {
    let cases = [
        case("6.3.1").sends(Whole, &[(WHOLE_TEXT, NOT_TEXT)]),
        case("6.3.2").sends(Whole, &by_octet(NOT_TEXT)),
    ];
    play(2, cases.map(|case| case.closed(NOT_UTF8))).await;
}

/// What 6.4 sends. U+110000 would be such four octets, if there were one: its second is wrong.
const BEYOND: [&[u8]; 3] = [KOSME, b"\xf4\x90\x80\x80", b"edited"];
const FIRST_WRONG: usize = KOSME.len() + 1;

/// The rest of the message is never sent: the refusal can't have waited for it.
#[tokio::test]
async fn cases_6_4_a_wrong_octet_in_a_fragment_is_refused_before_the_next_comes() {
    let whole = BEYOND.concat();
    let (right, wrong) = whole.split_at(FIRST_WRONG);
    let still_there: Sent<'_> = (FIN | PING, b"still there?");
    let is_there = [frame(PONG, b"still there?")];
    let cases = [
        ("6.4.1", BEYOND[0], BEYOND[1]),
        ("6.4.2", right, &wrong[..1]),
    ];
    let cases = cases.map(|(name, right, wrong)| {
        case(name)
            .sends(Whole, &[(TEXT, right), still_there])
            .hears(&is_there)
            .sends(Whole, &[(MORE, wrong)])
            .closed(NOT_UTF8)
    });
    play(2, cases).await;
}

/// tungstenite looks at a frame when its last octet is here; the suite calls that non-strict.
#[tokio::test]
async fn cases_6_4_a_wrong_octet_within_a_frame_is_refused_at_its_end_at_the_latest() {
    let payload = BEYOND.concat();
    let octets = masked(WHOLE_TEXT, &payload);
    let header_len = octets.len() - payload.len();
    let cuts = [("6.4.3", KOSME.len(), 4), ("6.4.4", FIRST_WRONG, 1)];
    let cases = cuts.map(|(name, right, wrong)| {
        let (begins, rest) = octets.split_at(header_len + right);
        let (wrong, ends) = rest.split_at(wrong);
        case(name)
            .sends_octets(&[begins, wrong, ends])
            .closed(NOT_UTF8)
    });
    play(2, cases).await;
}

const RIGHT: &[(&str, &[u8])] = &[
    // Characters of one to four octets among others.
    ("6.5.1", b"hello\x24world"),
    ("6.5.2", b"hello\xc2\xa2world"),
    ("6.5.3", b"hello\xe2\x82\xacworld"),
    ("6.5.4", b"hello\xf0\xa4\xad\xa2world"),
    ("6.5.5", KOSME),
    // The first code points of one to four octets, and the last.
    ("6.7.1", b"\x00"),
    ("6.7.2", b"\xc2\x80"),
    ("6.7.3", b"\xe0\xa0\x80"),
    ("6.7.4", b"\xf0\x90\x80\x80"),
    ("6.9.1", b"\x7f"),
    ("6.9.2", b"\xdf\xbf"),
    ("6.9.3", b"\xef\xbf\xbf"),
    ("6.9.4", b"\xf4\x8f\xbf\xbf"),
    // Around the surrogates, and the last ones again.
    ("6.11.1", b"\xed\x9f\xbf"),
    ("6.11.2", b"\xee\x80\x80"),
    ("6.11.3", b"\xef\xbf\xbd"),
    ("6.11.4", b"\xf4\x8f\xbf\xbf"),
    // The specials at the end of the first plane: U+FFF9 to U+FFFF.
    ("6.23.1", b"\xef\xbf\xb9"),
    ("6.23.2", b"\xef\xbf\xba"),
    ("6.23.3", b"\xef\xbf\xbb"),
    ("6.23.4", b"\xef\xbf\xbc"),
    ("6.23.5", b"\xef\xbf\xbd"),
    ("6.23.6", b"\xef\xbf\xbe"),
    ("6.23.7", b"\xef\xbf\xbf"),
];

const WRONG: &[(&str, &[u8])] = &[
    // The first and last that five and six octets could say, and the last that four could.
    ("6.8.1", b"\xf8\x88\x80\x80\x80"),
    ("6.8.2", b"\xfc\x84\x80\x80\x80\x80"),
    ("6.10.1", b"\xf7\xbf\xbf\xbf"),
    ("6.10.2", b"\xfb\xbf\xbf\xbf\xbf"),
    ("6.10.3", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
    ("6.11.5", b"\xf4\x90\x80\x80"),
    // Octets that continue nothing.
    ("6.12.1", b"\x80"),
    ("6.12.2", b"\xbf"),
    ("6.12.3", b"\x80\xbf"),
    ("6.12.4", b"\x80\xbf\x80"),
    ("6.12.5", b"\x80\xbf\x80\xbf"),
    ("6.12.6", b"\x80\xbf\x80\xbf\x80"),
    ("6.12.7", b"\x80\xbf\x80\xbf\x80\xbf"),
    // Sequences of two to six octets without their last.
    ("6.14.1", b"\xc0"),
    ("6.14.2", b"\xe0\x80"),
    ("6.14.3", b"\xf0\x80\x80"),
    ("6.14.4", b"\xf8\x80\x80\x80"),
    ("6.14.5", b"\xfc\x80\x80\x80\x80"),
    ("6.14.6", b"\xdf"),
    ("6.14.7", b"\xef\xbf"),
    ("6.14.8", b"\xf7\xbf\xbf"),
    ("6.14.9", b"\xfb\xbf\xbf\xbf"),
    ("6.14.10", b"\xfd\xbf\xbf\xbf\xbf"),
    // Octets that UTF-8 doesn't have.
    ("6.16.1", b"\xfe"),
    ("6.16.2", b"\xff"),
    ("6.16.3", b"\xfe\xfe\xff\xff"),
    // What a shorter sequence says: a slash; the last code points that are shorter; NUL.
    ("6.17.1", b"\xc0\xaf"),
    ("6.17.2", b"\xe0\x80\xaf"),
    ("6.17.3", b"\xf0\x80\x80\xaf"),
    ("6.17.4", b"\xf8\x80\x80\x80\xaf"),
    ("6.17.5", b"\xfc\x80\x80\x80\x80\xaf"),
    ("6.18.1", b"\xc1\xbf"),
    ("6.18.2", b"\xe0\x9f\xbf"),
    ("6.18.3", b"\xf0\x8f\xbf\xbf"),
    ("6.18.4", b"\xf8\x87\xbf\xbf\xbf"),
    ("6.18.5", b"\xfc\x83\xbf\xbf\xbf\xbf"),
    ("6.19.1", b"\xc0\x80"),
    ("6.19.2", b"\xe0\x80\x80"),
    ("6.19.3", b"\xf0\x80\x80\x80"),
    ("6.19.4", b"\xf8\x80\x80\x80\x80"),
    ("6.19.5", b"\xfc\x80\x80\x80\x80\x80"),
    // Surrogates, alone and in pairs.
    ("6.20.1", b"\xed\xa0\x80"),
    ("6.20.2", b"\xed\xad\xbf"),
    ("6.20.3", b"\xed\xae\x80"),
    ("6.20.4", b"\xed\xaf\xbf"),
    ("6.20.5", b"\xed\xb0\x80"),
    ("6.20.6", b"\xed\xbe\x80"),
    ("6.20.7", b"\xed\xbf\xbf"),
    ("6.21.1", b"\xed\xa0\x80\xed\xb0\x80"),
    ("6.21.2", b"\xed\xa0\x80\xed\xbf\xbf"),
    ("6.21.3", b"\xed\xad\xbf\xed\xb0\x80"),
    ("6.21.4", b"\xed\xad\xbf\xed\xbf\xbf"),
    ("6.21.5", b"\xed\xae\x80\xed\xb0\x80"),
    ("6.21.6", b"\xed\xae\x80\xed\xbf\xbf"),
    ("6.21.7", b"\xed\xaf\xbf\xed\xb0\x80"),
    ("6.21.8", b"\xed\xaf\xbf\xed\xbf\xbf"),
];

type Numbered = (String, Vec<u8>);

fn numbered(table: &[(&str, &[u8])]) -> Vec<Numbered> {
    let rows = table.iter();
    rows.map(|(name, octets)| (name.to_string(), octets.to_vec()))
        .collect()
}

/// 6.6: what begins a right text is right itself where a character ends.
fn prefixes(are_right: bool) -> impl Iterator<Item = Numbered> {
    let ends = [2, 5, 7, 9, 11];
    let lens = (1..=KOSME.len()).filter(move |len| ends.contains(len) == are_right);
    lens.map(|len| (format!("6.6.{len}"), KOSME[..len].to_vec()))
}

/// 6.22: the last two code points of each of the 17 planes are no characters, and right all the same.
fn noncharacters() -> impl Iterator<Item = Numbered> {
    let last_two = (0..=16).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    (1..).zip(last_two).map(|(n, point)| {
        let character = char::from_u32(point).expect("no surrogate");
        (format!("6.22.{n}"), character.to_string().into_bytes())
    })
}

/// All octets that continue nothing (6.12.8), all that begin what isn't continued (6.13, a space
/// behind each; as in the suite, both without the last of their kind), and all of 6.14 in a row (6.15).
fn lonely() -> Vec<Numbered> {
    let starts = [
        0xc0..0xdf,
        0xe0..0xef,
        0xf0..0xf7,
        0xf8..0xfb,
        0xfc..0xfd_u8,
    ];
    let starts = starts.map(|octets| octets.flat_map(|octet| [octet, b' ']).collect());
    let unfinished = WRONG.iter().filter(|(name, _)| name.starts_with("6.14."));
    let unfinished = unfinished.flat_map(|(_, octets)| octets.to_vec()).collect();
    let mut lonely: Vec<_> = (1..)
        .zip(starts)
        .map(|(n, octets)| (format!("6.13.{n}"), octets))
        .collect();
    lonely.push(("6.12.8".to_owned(), (0x80..0xbf).collect()));
    lonely.push(("6.15.1".to_owned(), unfinished));
    lonely
}

#[tokio::test]
async fn cases_6_5_to_6_23_sequences_that_are_utf8_come_through() {
    let right = numbered(RIGHT)
        .into_iter()
        .chain(prefixes(true))
        .chain(noncharacters());
    let cases = right.flat_map(|(name, octets)| {
        let echo = [frame(TEXT, &octets)];
        let in_fragments = case(format!("{name} octet by octet"));
        [
            case(name)
                .sends(Whole, &[(WHOLE_TEXT, &octets)])
                .hears(&echo),
            in_fragments.sends(Whole, &by_octet(&octets)).hears(&echo),
        ]
    });
    play(63, cases).await;
}

#[tokio::test]
async fn cases_6_5_to_6_23_sequences_that_are_not_utf8_are_refused() {
    let wrong = numbered(WRONG)
        .into_iter()
        .chain(prefixes(false))
        .chain(lonely());
    let cases = wrong.flat_map(|(name, octets)| {
        let in_fragments = case(format!("{name} octet by octet"));
        [
            case(name).sends(Whole, &[(WHOLE_TEXT, &octets)]),
            in_fragments.sends(Whole, &by_octet(&octets)),
        ]
    });
    play(69, cases.map(|case| case.closed(NOT_UTF8))).await;
}
