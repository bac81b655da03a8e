//! How much of everything: each limit from both of its sides.

use serde_json::{Value, json};

use crate::{
    support::{Phone, Server, binary::Binary},
    walk::every_kind_is_among,
};

#[tokio::test]
async fn ten_messages_a_minute_and_not_eleven_through_all_doors_together() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let [here, there] = [
        anna.creates_group("here", []).await,
        anna.creates_group("there", []).await,
    ];
    let mut phone = anna.joins(&here).await;
    for number in 0..5 {
        phone.says(&number.to_string()).await;
        phone.next_message().await;
        anna.says(&there, &number.to_string()).await;
    }
    phone.says_as("c-11", "the eleventh").await;
    let error = phone
        .hears_error("rate_limited", "Too many messages: at most 10 per minute")
        .await;
    assert_eq!(error["client_id"], "c-11");
    let wait = error["retry_after"].as_f64().expect("when to come back");
    assert!(wait > 0.0 && wait <= 60.0, "{wait}");
    phone.still_works().await;
    let reply = anna
        .tries_to_say(&there, json!({"text": "the eleventh"}))
        .await;
    let body = reply.expect(429);
    let wait: u32 = reply
        .header("retry-after")
        .expect("when to come back")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let unit = if wait == 1 { "second" } else { "seconds" };
    let told = format!("Request was throttled. Expected available in {wait} {unit}.");
    assert_eq!(body, json!({"detail": told}));
    assert_eq!(anna.page(&here, "").await["count"], 5);
    assert_eq!(anna.page(&there, "").await["count"], 5);
}

#[tokio::test]
async fn what_was_not_accepted_costs_nothing() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 2).await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let notes = anna.creates_group("notes", []).await;
    let boriss = boris.creates_group("not anna's", []).await;
    let mut phone = anna.joins(&notes).await;
    for text in ["", &"x".repeat(1001), "nul \0"] {
        phone.says(text).await;
        phone.hears("error").await;
        anna.tries_to_say(&notes, json!({"text": text}))
            .await
            .expect(400);
    }
    anna.tries_to_say(&boriss, json!({"text": "let me in"}))
        .await
        .expect(404);
    phone.says_as("c", "one").await;
    phone.hears("message").await;
    phone.says_as("c", "one").await; // a repeat
    phone.hears("message").await;
    phone.says("two").await;
    assert_eq!(phone.next_message().await.text, "two");
    phone.says("three").await;
    assert_eq!(phone.hears("error").await["code"], "rate_limited");
}

#[tokio::test]
async fn a_thousand_characters_fit_and_one_more_does_not() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    // Characters, not bytes: these have four each. White space at the ends isn't counted.
    let fits = "\u{1f680}".repeat(1000);
    phone.says(&format!("  {fits}  ")).await;
    assert_eq!(phone.next_message().await.text, fits);
    anna.tries_to_say(&notes, json!({"text": fits}))
        .await
        .expect(201);
    phone.hears("message").await;
    let over = "\u{1f680}".repeat(1001);
    phone.says(&over).await;
    phone
        .hears_error(
            "text_too_long",
            "Message text cannot be longer than 1000 characters",
        )
        .await;
    let problem = anna
        .tries_to_say(&notes, json!({"text": over}))
        .await
        .expect(400);
    assert_eq!(
        problem,
        json!({"text": ["Ensure this field has no more than 1000 characters."]})
    );
}

#[tokio::test]
async fn a_limit_of_nought_is_off() {
    let server = Server::start_with(|settings| {
        settings.limits.messages_per_minute = 0;
        settings.limits.message_chars = 0;
        settings.limits.frames_per_second = 0;
    })
    .await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    phone.says(&"x".repeat(5000)).await;
    phone.hears("message").await;
    for number in 0..150 {
        phone.says(&number.to_string()).await;
    }
    for number in 0..150 {
        assert_eq!(phone.next_message().await.text, number.to_string());
    }
    for _ in 0..150 {
        phone.sends(json!({"type": "ping"})).await;
    }
    for _ in 0..150 {
        phone.hears("pong").await;
    }
}

#[tokio::test]
async fn edits_deletions_and_reactions_share_a_limit_through_all_doors() {
    let server = Server::start_with(|settings| settings.limits.changes_per_minute = 5).await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let said = anna.says(&notes, "0").await;
    let slip = anna.says(&notes, "slip").await;
    let mut phone = anna.joins(&notes).await;
    let edit = |text: &str| json!({"type": "edit_message", "message_id": said.id, "text": text});
    phone.sends(edit("1")).await;
    phone.hears("message_edited").await;
    anna.edits(&notes, &said, "2").await;
    phone.hears("message_edited").await;
    phone
        .sends(json!({"type": "delete_message", "message_id": slip.id}))
        .await;
    phone.hears("message_deleted").await;
    let reaction = format!(
        "/api/chats/{notes}/messages/{}/reactions/%F0%9F%8E%89/",
        said.id
    );
    anna.put(&reaction).await.expect(204);
    phone.hears("reaction_added").await;
    phone.sends(edit("3")).await;
    phone.hears("message_edited").await;
    phone.sends(edit("4")).await;
    let error = phone.hears_error("rate_limited", "Too many requests").await;
    assert!(
        error["retry_after"].as_f64().is_some_and(|wait| wait > 0.0),
        "{error}"
    );
    let reply = anna.tries_to_edit(&notes, &said, "4").await;
    assert_eq!(reply.status, 429);
    assert!(reply.header("retry-after").is_some());
    anna.delete(&reaction).await.expect(429);
    assert_eq!(anna.reads_back(&notes).await, ["", "3"]);
}

#[tokio::test]
async fn pages_and_replays_share_a_limit_but_going_on_is_free() {
    let server = Server::start_with(|settings| settings.limits.history_per_minute = 2).await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    anna.says(&notes, "one").await;
    let mut phone = anna.joins(&notes).await;
    phone.sends(json!({"type": "get_messages"})).await;
    phone.hears("messages").await;
    phone.syncs(0).await;
    phone.hears("message").await;
    phone.hears("synced").await;
    phone.sends(json!({"type": "get_messages"})).await;
    phone.hears_error("rate_limited", "Too many requests").await;
    phone.sends(json!({"type": "sync", "since": 0})).await;
    phone.hears_error("rate_limited", "Too many requests").await;
    phone.still_works().await;
}

/// A flood of any kind of frame is answered with errors, and ends the connection when it goes on.
async fn flood(phone: &mut Phone, frame: &Value) -> u16 {
    for _ in 0..300 {
        if !phone.tries_to_send(frame.clone()).await {
            break;
        }
    }
    phone.is_closed_at_last().await.code
}

#[tokio::test]
async fn floods_of_each_kind_of_frame_end_the_connection_and_no_other() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let said = anna.says(&trip, "hello").await;
    let mut witness = boris.joins(&trip).await;
    let frames = [
        // The first is accepted; the rest are answered as repeats, which cost no place among the ten of a minute.
        json!({"type": "message", "text": "again and again", "client_id": "one"}),
        json!({"type": "message", "text": "flood"}),
        json!({"type": "message", "text": ""}),
        json!({"type": "typing", "is_typing": true}),
        json!({"type": "read_messages"}),
        json!({"type": "edit_message", "message_id": said.id, "text": "flood"}),
        json!({"type": "delete_message", "message_id": said.id}),
        json!({"type": "delete_message", "message_id": said.id + 1000}),
        json!({"type": "get_messages"}),
        json!({"type": "sync", "since": 0}),
        json!({"type": "authenticate", "token": "wrong"}),
        json!({"type": "ping"}),
        json!({"type": "no such type"}),
        json!([]),
    ];
    every_kind_is_among(&frames);
    for frame in frames {
        let mut phone = anna.joins(&trip).await;
        phone.minds_no_order();
        assert_eq!(flood(&mut phone, &frame).await, 4029, "{frame}");
    }
    witness.sends(json!({"type": "ping"})).await;
    witness.hears_at_last("pong").await;
}

#[tokio::test]
async fn what_isnt_even_json_is_an_error_that_counts() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    for _ in 0..19 {
        phone.sends_text("not json").await;
        phone
            .hears_error("invalid_json", "Invalid JSON format")
            .await;
    }
    phone.still_works().await;
    phone.sends_text("not json").await;
    let close = phone.is_closed_at_last().await;
    assert_eq!(close.code, 4029, "{close:?}");
}

#[tokio::test]
async fn an_operator_answers_customers_without_a_limit() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 2).await;
    let customer = server.user("customer").await;
    let operator = server.operator("operator").await;
    let help = customer.creates(json!({"kind": "support"})).await;
    customer.says(&help, "help").await;
    for number in 0..6 {
        operator.says(&help, &number.to_string()).await;
    }
    let own = operator.creates_group("own", []).await;
    operator.says(&own, "one").await;
    operator.says(&own, "two").await;
    operator
        .tries_to_say(&own, json!({"text": "three"}))
        .await
        .expect(429);
}

#[tokio::test]
async fn a_restart_forgets_no_message_that_counts() {
    let mut binary = Binary::serves(&["--messages-per-minute", "3"]).await;
    let [anna] = binary.users(["anna"]).await;
    let notes = anna.creates_group("notes", []).await;
    for text in ["one", "two", "three"] {
        anna.says(&notes, text).await;
    }
    binary.is_killed();
    binary.starts_again().await;
    anna.tries_to_say(&notes, json!({"text": "four"}))
        .await
        .expect(429);
}
