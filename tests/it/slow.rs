//! Clients that read slowly or not at all cost their own connection only.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Close, Heard, Person, Phone, binary::Binary, within};

/// The longest text that fits, at four bytes a character.
fn long(number: usize) -> String {
    let head = format!("{number} ");
    let rest = 1000 - head.len();
    head + &"\u{1f680}".repeat(rest)
}

async fn serves() -> Binary {
    Binary::serves(&["--messages-per-minute", "0", "--frames-per-second", "0"]).await
}

/// A chat in which nobody is slow hears twenty messages in a fraction of it; one that waited for whoever reads nothing
/// would wait for ten seconds.
const UNNOTICED: Duration = Duration::from_secs(3);

/// Sends `count` long messages in blocks and hears each of them: the one who doesn't notice.
async fn talks(phone: &mut Phone, count: usize) {
    for block in 0..count / 20 {
        let began = Instant::now();
        for number in 0..20 {
            phone.says(&long(block * 20 + number)).await;
        }
        for _ in 0..20 {
            phone.next_message().await;
        }
        let took = began.elapsed();
        assert!(took < UNNOTICED, "twenty messages took {took:?}");
    }
}

/// A phone whose network takes next to nothing until it reads.
async fn narrow(person: &Person, chat: &crate::support::Chat, query: &str) -> Phone {
    let handshake = person
        .handshake_at(&format!("/ws/chat/{chat}/{query}"))
        .through_a_narrow_network();
    let mut phone = handshake.enter().await.expect("a member");
    phone.name = person.name.clone();
    phone
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_is_closed_with_4008_and_resumes_without_loss() {
    let binary = serves().await;
    let [anna, boris, clara] = binary.users(["anna", "boris", "clara"]).await;
    let trip = anna.creates_group("trip", [&boris, &clara]).await;
    let mut slow = narrow(&boris, &trip, "").await;
    let mut witness = clara.joins(&trip).await;
    let mut annas = anna.joins(&trip).await;
    let watches = tokio::spawn(async move {
        for number in 0..1600 {
            let heard = witness.next_message().await.text;
            assert!(
                heard.starts_with(&format!("{number} ")),
                "{number}: {heard}"
            );
        }
        witness
    });
    talks(&mut annas, 1600).await;
    within("the one who reads to hear it all", watches)
        .await
        .expect("not held up by the other");
    // It reads again: what was on its way, then why it ended.
    let close = slow.is_closed_at_last().await;
    assert_eq!(close.code, 4008, "after {} messages", slow.log().len());
    let last_seq = slow.seq();
    assert!(
        last_seq < 1600,
        "it wasn't slow: the network took everything"
    );
    drop(slow);
    let mut phone = boris.joins_since(&trip, last_seq).await;
    loop {
        match phone.next().await {
            Heard::Frame(frame) if frame["type"] == "synced" && frame["has_more"] == true => {
                phone.syncs(phone.seq()).await;
            }
            Heard::Frame(frame) if frame["type"] == "synced" => break,
            Heard::Frame(_) => {}
            Heard::Closed(close) => panic!("{close:?}"),
        }
    }
    assert_eq!(phone.seq(), 1600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_again_are_reset_and_memory_stays_bounded() {
    let binary = serves().await;
    let [anna] = binary.users(["anna"]).await;
    let names = ["a1", "a2", "a3", "a4"];
    let (mut people, mut annas) = (Vec::new(), Vec::new());
    // Each in a chat of their own: what waits for one is nobody else's as well.
    for person in binary.users(names).await {
        let chat = anna.creates_group(&person.name, [&person]).await;
        annas.push(anna.joins(&chat).await);
        people.push((person, chat));
    }
    // Before they come, too: what database and allocator take of it is there before it counts.
    let mut most = [0; 2];
    let mut deaf = Vec::new();
    for (most, blocks) in most.iter_mut().zip([75, 150]) {
        for _ in 0..blocks {
            let all = annas.iter_mut().map(|phone| talks(phone, 20));
            futures_util::future::join_all(all).await;
            *most = binary.resident_bytes().max(*most);
        }
        if deaf.is_empty() {
            for (person, chat) in &people {
                deaf.push(narrow(person, chat, "").await);
            }
        }
    }
    // 3000 messages of 4 KiB for each of 4 are 47 MiB, of which the system holds 16 at most (tcp_wmem); a queue is 1 MiB
    // at most. What else grows is what the database keeps of as many rows more.
    let [before, after] = most;
    let grown = after.saturating_sub(before) / (1 << 20);
    println!("{grown} MiB for four clients who don't read");
    assert!(grown < 26, "{grown} MiB for four clients who don't read");
    for phone in &deaf {
        phone.is_reset().await;
    }
    for phone in &mut deaf {
        let close = phone.is_closed_at_last().await;
        assert_eq!(
            close,
            Close {
                code: 1006,
                reason: String::new()
            }
        );
    }
    for phone in &mut annas {
        phone.still_works().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_that_resume_a_thousand_long_messages_get_them_all() {
    let unlimited = ["--messages-per-minute", "0", "--frames-per-second", "0"];
    let one_reader = ["--database-pool", "1"];
    let binary = Binary::serves(&[&unlimited[..], &one_reader].concat()).await;
    let [anna] = binary.users(["anna"]).await;
    let trip = anna.creates_group("trip", []).await;
    let mut slow = binary
        .users([
            "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12", "a13",
            "a14", "a15", "a16", "a17",
        ])
        .await
        .to_vec();
    for person in &slow {
        anna.adds(&trip, person).await;
    }
    let first = anna.sees(&trip).await["last_seq"]
        .as_i64()
        .expect("a number");
    let mut annas = anna.joins(&trip).await;
    talks(&mut annas, 1000).await;
    // Whoever comes first fills the database's cache, of which there is one: it isn't held for anybody.
    let warms = slow.pop().expect("one of seventeen");
    gets_a_thousand(&mut resumes_slowly(&warms, &trip, first).await, || {}).await;
    let before = binary.resident_bytes();
    let most = AtomicU64::new(0);
    let replays = slow.iter().map(|person| async {
        let mut phone = resumes_slowly(person, &trip, first).await;
        gets_a_thousand(&mut phone, || {
            // 16 times 4 MiB wait to be read; a page of them for each is here, and what the driver read it from.
            let grown = binary.resident_bytes().saturating_sub(before) / (1 << 20);
            most.fetch_max(grown, Relaxed);
            assert!(grown < 52, "{grown} MiB held for those who read slowly");
        })
        .await;
        phone
    });
    // Each reads what there is for it: of one budget for all the first ones would take everything, and the last ones nothing
    // for so long that they'd be reset.
    let replays = replays.map(tokio::task::unconstrained);
    let mut phones = futures_util::future::join_all(replays).await;
    println!("{most:?} MiB held for those who read slowly");
    annas.says("and now live").await;
    for phone in &mut phones {
        assert_eq!(phone.next_message().await.text, "and now live");
    }
}

async fn resumes_slowly(person: &Person, chat: &crate::support::Chat, since: i64) -> Phone {
    let mut phone = narrow(person, chat, &format!("?since={since}")).await;
    phone.resumes_from(since);
    phone
}

/// Hears a thousand messages and the end of the replay, and looks around between them.
async fn gets_a_thousand(phone: &mut Phone, looks_around: impl Fn()) {
    let since = phone.seq();
    for number in 0..1000 {
        assert_eq!(phone.next_message().await.text, long(number));
        if number % 50 == 0 {
            looks_around();
        }
    }
    let synced = json!({"type": "synced", "since": since, "seq": since + 1000, "has_more": false});
    assert_eq!(phone.hears("synced").await, synced);
}
