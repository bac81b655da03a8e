//! Whoever was away misses nothing and hears nothing twice. The phones check order by themselves.

use serde_json::{Value, json};

use crate::support::{Heard, Message, Server, look_around};

#[tokio::test]
async fn what_was_said_while_boris_was_in_the_tunnel_reaches_him_once() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let last_seq = boris.joins(&trip).await.loses_network().await;
    anna.says(&trip, "Where are we?").await;

    let mut phone = boris.joins_since(&trip, last_seq).await;
    assert_eq!(phone.next_message().await.text, "Where are we?");
    assert_eq!(
        phone.hears("synced").await,
        json!({"type": "synced", "since": 0, "seq": 1, "has_more": false})
    );
    anna.says(&trip, "Here!").await;
    assert_eq!(phone.next_message().await.text, "Here!"); // nothing in between: it came once
}

#[tokio::test]
async fn nothing_missed_is_told_as_such() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins_since(&notes, 0).await;
    let synced = json!({"type": "synced", "since": 0, "seq": 0, "has_more": false});
    assert_eq!(phone.hears("synced").await, synced);
    phone.says("first").await;
    phone.next_message().await;
    phone.syncs(1).await;
    let synced = json!({"type": "synced", "since": 1, "seq": 1, "has_more": false});
    assert_eq!(phone.hears("synced").await, synced);
}

#[tokio::test]
async fn every_change_missed_comes_at_its_own_number_with_the_latest_state() {
    let server = Server::start().await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let seen = anna.says(&trip, "seen").await;
    let last_seq = boris.joins(&trip).await.hangs_up().await;
    assert_eq!(last_seq, 1);

    let typo = anna.says(&trip, "tpyo").await; // 2
    anna.edits(&trip, &typo, "typ0").await; // 3
    anna.edits(&trip, &typo, "typo").await; // 4
    anna.edits(&trip, &seen, "seen again").await; // 5
    let slip = anna.says(&trip, "slip").await; // 6
    anna.deletes(&trip, &slip).await; // 7
    anna.adds(&trip, &clara).await; // 8
    anna.renames(&trip, "journey").await; // 9
    anna.makes(&trip, &clara, "admin").await; // 10
    clara.leaves(&trip).await; // 11

    let mut phone = boris.joins_since(&trip, last_seq).await;
    let data = |frame: &Value| Message::of(&frame["data"]).text;
    assert_eq!(data(&phone.hears("message").await), "typo");
    assert_eq!(
        data(&phone.hears("message_edited").await),
        "typo",
        "an overtaken edit"
    );
    assert_eq!(data(&phone.hears("message_edited").await), "typo");
    assert_eq!(data(&phone.hears("message_edited").await), "seen again");
    let deleted = phone.hears("message").await;
    assert_eq!(
        (data(&deleted), &deleted["data"]["is_deleted"]),
        (String::new(), &json!(true))
    );
    assert_eq!(data(&phone.hears("message_deleted").await), "");
    assert_eq!(phone.hears("member_joined").await["user"]["id"], clara.id);
    assert_eq!(phone.hears("chat_updated").await["data"]["name"], "journey");
    assert_eq!(phone.hears("member_changed").await["role"], "admin");
    assert_eq!(phone.hears("member_left").await["user"]["id"], clara.id);
    let synced = phone.hears("synced").await;
    assert_eq!(
        (&synced["seq"], &synced["has_more"]),
        (&json!(11), &json!(false))
    );

    // Polling tells the same, frame by frame.
    let polled = boris
        .get(&format!("/api/chats/{trip}/events/?since=1"))
        .await
        .expect(200);
    assert_eq!(polled["results"], json!(phone.log()));
    assert_eq!(
        (&polled["seq"], &polled["has_more"]),
        (&json!(11), &json!(false))
    );
}

#[tokio::test]
async fn a_sync_frame_replays_on_the_connection_that_asks_and_on_no_other() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    for text in ["one", "two", "three"] {
        anna.says(&trip, text).await;
    }
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    boriss.syncs(1).await;
    assert_eq!(boriss.next_message().await.text, "two");
    assert_eq!(boriss.next_message().await.text, "three");
    assert_eq!(boriss.hears("synced").await["seq"], 3);
    boriss.says("marker").await;
    assert_eq!(boriss.next_message().await.text, "marker");
    assert_eq!(annas.next_message().await.text, "marker");
}

#[tokio::test]
async fn a_replay_is_cut_at_a_thousand_events_and_waits_to_be_asked_on() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    // Ten at once: one after the other would take long.
    for _ in 0..101 {
        futures_util::future::join_all((0..10).map(|_| anna.says(&trip, "again"))).await;
    }
    let mut phone = boris.joins_since(&trip, 0).await;
    for _ in 0..1000 {
        phone.hears("message").await;
    }
    let cut = json!({"type": "synced", "since": 0, "seq": 1000, "has_more": true});
    assert_eq!(phone.hears("synced").await, cut);
    // Until it asks on, no numbered event comes, though the chat goes on.
    anna.says(&trip, "meanwhile").await;
    phone.still_works().await;
    phone.syncs(1000).await;
    for _ in 0..11 {
        phone.hears("message").await;
    }
    let rest = json!({"type": "synced", "since": 1000, "seq": 1011, "has_more": false});
    assert_eq!(phone.hears("synced").await, rest);
    anna.says(&trip, "live").await;
    assert_eq!(phone.next_message().await.text, "live");

    let polled = boris
        .get(&format!("/api/chats/{trip}/events/?since=0"))
        .await
        .expect(200);
    let results = polled["results"].as_array().expect("results");
    assert_eq!(polled["has_more"], true);
    assert_eq!(polled["seq"], results.last().expect("events")["seq"]);
}

#[tokio::test]
async fn a_number_that_the_chat_has_not_reached_means_load_anew() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    anna.says(&notes, "one").await;
    let mut phone = anna.joins_since(&notes, 99).await;
    let synced = phone.hears("synced").await;
    assert_eq!((&synced["since"], &synced["seq"]), (&json!(99), &json!(1)));
    assert_eq!(
        (&synced["has_more"], &synced["reset"]),
        (&json!(false), &json!(true))
    );
    phone.says("two").await;
    assert_eq!(phone.next_message().await.seq, 2);
    phone.syncs(50).await;
    assert_eq!(phone.hears("synced").await["reset"], true);
}

#[tokio::test]
async fn a_since_that_is_no_number_is_an_error() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    for since in [json!("abc"), json!(-1), json!(1.5), json!(null), json!([1])] {
        phone.sends(json!({"type": "sync", "since": since})).await;
        assert_eq!(phone.hears("error").await["code"], "invalid", "{since}");
    }
    phone.sends(json!({"type": "sync"})).await;
    assert_eq!(phone.hears("error").await["code"], "invalid");
    phone.still_works().await;
    for query in ["?since=abc", "?since=-1"] {
        let target = format!("/api/chats/{notes}/events/{query}");
        assert_eq!(anna.get(&target).await.status, 400, "{query}");
    }
}

/// Boris loses and finds the network again and again while three people talk, edit and delete.
#[tokio::test]
async fn however_often_boris_falls_off_his_log_is_whole() {
    let server = Server::start_with(|settings| {
        settings.limits.messages_per_minute = 0;
        settings.limits.changes_per_minute = 0;
        settings.connections.connections_per_chat = tertulia::settings::ConnectionRule::Many;
    })
    .await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    let trip = anna.creates_group("trip", [&boris, &clara]).await;
    let mut witness = boris.joins(&trip).await;
    let talks = |person: &crate::support::Person| {
        let person = person.clone();
        tokio::spawn(async move {
            for number in 0..60 {
                let said = person
                    .says(&trip, &format!("{} {number}", person.name))
                    .await;
                match number % 5 {
                    1 => drop(person.edits(&trip, &said, "edited").await),
                    3 => person.deletes(&trip, &said).await,
                    _ => {}
                }
            }
        })
    };
    let talkers = [talks(&anna), talks(&clara)];
    let mut heard: Vec<i64> = Vec::new();
    let mut last_seq = 0;
    let wanted = 2 * (60 + 12 + 12);
    let mut falls = 0_usize;
    while last_seq < wanted {
        let mut phone = boris.joins_since(&trip, last_seq).await;
        falls += 1;
        let before_falling = 1 + (falls * 7) % 12;
        while phone.seq() < wanted && phone.log().len() < before_falling {
            phone.next_frame().await;
        }
        heard.extend(phone.log().iter().filter_map(|frame| frame["seq"].as_i64()));
        last_seq = phone.loses_network().await;
    }
    for talker in talkers {
        talker.await.expect("nobody stumbled");
    }
    assert_eq!(
        heard,
        (1..=wanted).collect::<Vec<_>>(),
        "fell off {falls} times"
    );
    while witness.seq() < wanted {
        assert!(matches!(witness.next().await, Heard::Frame(_)));
    }
    let database = look_around::open(server.database()).await;
    look_around::numbers_without_gap(&database)
        .await
        .expect("no gap while serving either");
}
