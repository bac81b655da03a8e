//! A `client_id` makes sending safe to repeat: the same again is the first message again.

use serde_json::{Value, json};

use crate::support::{Message, Server};

#[tokio::test]
async fn a_repeat_on_a_socket_is_answered_there_alone_with_the_first_message() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;

    annas.says_as("c-1", "once").await;
    let first = annas.hears("message").await;
    assert_eq!(first.get("repeat"), None);
    annas.says_as("c-1", "once, but different").await;
    let again = annas.hears("message").await;
    assert_eq!(again["repeat"], true);
    assert_eq!(again["client_id"], "c-1");
    assert_eq!(again["data"], first["data"]);

    annas.says("marker").await;
    assert_eq!(boriss.next_message().await.text, "once");
    assert_eq!(boriss.next_message().await.text, "marker");
}

#[tokio::test]
async fn what_was_sent_on_a_socket_that_died_can_be_sent_again_through_any_door() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    phone.says_as("c-1", "did it arrive?").await;
    let first = phone.next_message().await;
    phone.loses_network().await;

    let body = json!({"text": "did it arrive?", "client_id": "c-1"});
    let over_rest = anna.tries_to_say(&notes, body).await.expect(200);
    assert_eq!(Message::of(&over_rest), first);
    let mut phone = anna.joins(&notes).await;
    phone.says_as("c-1", "did it arrive?").await;
    let again = phone.hears("message").await;
    assert_eq!(
        (&again["repeat"], &again["data"]),
        (&json!(true), &first.shown)
    );
    assert_eq!(anna.reads_back(&notes).await, ["did it arrive?"]);
}

#[tokio::test]
async fn a_client_id_belongs_to_its_sender_and_chat() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let other = anna.creates_group("other", [&boris]).await;
    let say = |text: &str| json!({"text": text, "client_id": "same"});
    anna.tries_to_say(&trip, say("anna here")).await.expect(201);
    boris
        .tries_to_say(&trip, say("boris here"))
        .await
        .expect(201);
    anna.tries_to_say(&other, say("anna there"))
        .await
        .expect(201);
    assert_eq!(anna.reads_back(&trip).await, ["boris here", "anna here"]);
    assert_eq!(anna.reads_back(&other).await, ["anna there"]);
}

#[tokio::test]
async fn the_same_sent_at_once_many_times_is_one_message() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut boriss = boris.joins(&trip).await;
    let send = || anna.tries_to_say(&trip, json!({"text": "hello", "client_id": "c"}));
    let replies = futures_util::future::join_all((0..12).map(|_| send())).await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    let repeated = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!((made, repeated), (1, 11));
    let ids: Vec<Value> = replies
        .iter()
        .map(|reply| reply.json()["id"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    anna.says(&trip, "marker").await;
    assert_eq!(boriss.next_message().await.text, "hello");
    assert_eq!(boriss.next_message().await.text, "marker");
}

#[tokio::test]
async fn a_client_id_of_64_characters_fits_and_one_of_65_does_not() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    let fits = "ю".repeat(64);
    phone.says_as(&fits, "fits").await;
    assert_eq!(phone.hears("message").await["client_id"], fits);
    phone.says_as(&"ю".repeat(65), "doesn't").await;
    assert_eq!(phone.hears("error").await["code"], "invalid");
    phone.still_works().await;
    let body = json!({"text": "doesn't", "client_id": "c".repeat(65)});
    let problem = anna.tries_to_say(&notes, body).await.expect(400);
    assert!(problem["client_id"].is_array(), "{problem}");
    assert_eq!(anna.reads_back(&notes).await, ["fits"]);
}

#[tokio::test]
async fn a_repeat_is_answered_although_its_sender_is_over_the_limit() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 2).await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    phone.says_as("c-1", "one").await;
    phone.says_as("c-2", "two").await;
    phone.says_as("c-3", "three").await;
    assert_eq!(phone.next_message().await.text, "one");
    assert_eq!(phone.next_message().await.text, "two");
    let error = phone.hears("error").await;
    assert_eq!(
        (&error["code"], &error["client_id"]),
        (&json!("rate_limited"), &json!("c-3"))
    );
    phone.says_as("c-1", "one").await;
    assert_eq!(phone.hears("message").await["repeat"], true);
    let body = json!({"text": "two", "client_id": "c-2"});
    anna.tries_to_say(&notes, body).await.expect(200);
}

#[tokio::test]
async fn what_is_sent_again_with_something_new_behind_it_takes_no_place_from_that() {
    let server = Server::start().await; // ten a minute
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    for number in 0..5 {
        phone
            .says_as(&format!("c{number}"), "before the tunnel")
            .await;
        phone.hears("message").await;
    }
    // Five were stored, and nobody told her: she sends all ten, one behind the other.
    let mut phone = anna.joins(&notes).await;
    for number in 0..10 {
        phone
            .says_as(&format!("c{number}"), "before the tunnel")
            .await;
    }
    phone.minds_no_order();
    let mut told = std::collections::BTreeMap::new();
    while told.len() < 10 {
        let frame = phone.next_frame().await;
        assert_eq!(frame["type"], "message", "{frame}");
        told.insert(frame["client_id"].to_string(), frame["repeat"] == true);
    }
    assert_eq!(
        told.values().filter(|repeat| **repeat).count(),
        5,
        "{told:?}"
    );
    assert_eq!(anna.page(&notes, "").await["count"], 10);
    // And ten were all.
    phone.says_as("eleventh", "one more").await;
    phone.hears_at_last("error").await;
}
