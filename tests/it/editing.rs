//! What was said is changed or taken back.

use serde_json::json;

use crate::support::{Message, Server};

#[tokio::test]
async fn an_edit_is_told_to_all_with_the_message_in_its_new_state() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let said = anna.says(&trip, "Wehre?").await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    annas
        .sends(json!({"type": "edit_message", "message_id": said.id, "text": " Where? "}))
        .await;
    let told = boriss.hears("message_edited").await;
    assert_eq!(annas.hears("message_edited").await, told);
    assert_eq!(
        (&told["seq"], &told["message_id"]),
        (&json!(2), &json!(said.id))
    );
    let message = Message::of(&told["data"]);
    assert_eq!(
        (message.id, message.seq, &*message.text),
        (said.id, said.seq, "Where?")
    );
    assert_eq!(message.shown["is_edited"], true);
    assert!(message.shown["edited_at"].is_string());
    assert_eq!(message.shown["timestamp"], said.shown["timestamp"]);
    assert_eq!(boris.page(&trip, "").await["results"][0], message.shown);
}

#[tokio::test]
async fn an_edit_and_a_deletion_over_rest_reach_the_sockets() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let said = anna.says(&trip, "Wehre?").await;
    let mut boriss = boris.joins(&trip).await;
    let edited = anna.edits(&trip, &said, "Where?").await;
    let told = boriss.hears("message_edited").await;
    assert_eq!((&told["data"], &told["seq"]), (&edited.shown, &json!(2)));
    anna.deletes(&trip, &said).await;
    let told = boriss.hears("message_deleted").await;
    assert_eq!(
        (&told["message_id"], &told["seq"]),
        (&json!(said.id), &json!(3))
    );
    let message = Message::of(&told["data"]);
    assert_eq!(
        (&*message.text, &message.shown["is_deleted"]),
        ("", &json!(true))
    );
}

#[tokio::test]
async fn a_deleted_message_leaves_its_place_but_no_word_of_its_text() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    anna.says(&trip, "before").await;
    let secret = anna.says(&trip, "the secret").await;
    anna.edits(&trip, &secret, "the edited secret").await;
    anna.deletes(&trip, &secret).await;
    let page = boris.page(&trip, "").await;
    assert_eq!(page["count"], 2, "it stays in the list and in the count");
    assert_eq!(page["results"][0]["is_deleted"], true);
    let events = boris
        .get(&format!("/api/chats/{trip}/events/?since=0"))
        .await
        .expect(200);
    let chat = boris.sees(&trip).await;
    let mut phone = boris.joins_since(&trip, 0).await;
    let replayed = [
        phone.hears("message").await,
        phone.hears("message").await,
        phone.hears("message_edited").await,
        phone.hears("message_deleted").await,
    ];
    phone.hears("synced").await;
    for shown in [&page, &events, &chat, &json!(replayed)] {
        assert!(!shown.to_string().contains("secret"), "{shown}");
    }
    drop(phone);
    let database = crate::support::look_around::open(server.database()).await;
    let rows = crate::support::look_around::messages(&database, trip.id).await;
    assert!(rows.iter().all(|row| !row.text.contains("secret")));
}

#[tokio::test]
async fn only_the_sender_edits() {
    let server = Server::start().await;
    let [owner, sender, other] = server.users(["owner", "sender", "other"]).await;
    let trip = owner.creates_group("trip", [&sender, &other]).await;
    let said = sender.says(&trip, "mine").await;
    for person in [&owner, &other] {
        person
            .tries_to_edit(&trip, &said, "not yours")
            .await
            .expect(403);
        let mut phone = person.joins(&trip).await;
        phone
            .sends(json!({"type": "edit_message", "message_id": said.id, "text": "no"}))
            .await;
        assert_eq!(phone.hears("error").await["code"], "forbidden");
        phone.still_works().await;
    }
    assert_eq!(other.reads_back(&trip).await, ["mine"]);
}

#[tokio::test]
async fn the_sender_the_owner_admins_and_staff_delete_and_nobody_else() {
    let server = Server::start().await;
    let [owner, admin, sender, other] = server.users(["owner", "admin", "sender", "other"]).await;
    let operator = server.operator("operator").await;
    let trip = owner.creates_group("trip", [&admin, &sender, &other]).await;
    owner.makes(&trip, &admin, "admin").await;
    let said = sender.says(&trip, "mine").await;
    other.tries_to_delete(&trip, &said).await.expect(403);
    let mut phone = other.joins(&trip).await;
    phone
        .sends(json!({"type": "delete_message", "message_id": said.id}))
        .await;
    assert_eq!(phone.hears("error").await["code"], "forbidden");
    for person in [&sender, &admin, &owner, &operator] {
        let said = sender.says(&trip, "mine").await;
        phone.hears("message").await;
        person.deletes(&trip, &said).await;
        assert_eq!(phone.hears("message_deleted").await["message_id"], said.id);
    }
    assert_eq!(other.reads_back(&trip).await, ["", "", "", "", "mine"]);
}

#[tokio::test]
async fn a_deleted_message_can_not_be_edited_back() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let said = anna.says(&notes, "gone").await;
    anna.deletes(&notes, &said).await;
    let reply = anna.tries_to_edit(&notes, &said, "back").await;
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    let mut phone = anna.joins(&notes).await;
    phone
        .sends(json!({"type": "edit_message", "message_id": said.id, "text": "back"}))
        .await;
    phone.hears("error").await;
    phone.still_works().await;
    assert_eq!(anna.reads_back(&notes).await, [""]);
}

#[tokio::test]
async fn a_new_text_is_checked_as_a_first_one() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let said = anna.says(&notes, "as it was").await;
    let mut phone = anna.joins(&notes).await;
    let long = "ю".repeat(1001);
    let cases = [
        (json!(""), "empty_text", "Message text cannot be empty"),
        (json!("  "), "empty_text", "Message text cannot be empty"),
        (json!(null), "empty_text", "Message text cannot be empty"),
        (
            json!(long),
            "text_too_long",
            "Message text cannot be longer than 1000 characters",
        ),
        (json!("a\0b"), "invalid", "Null characters are not allowed."),
        (json!(7), "invalid", "Message text must be a string"),
    ];
    for (text, code, told) in cases {
        phone
            .sends(json!({"type": "edit_message", "message_id": said.id, "text": text}))
            .await;
        phone.hears_error(code, told).await;
    }
    for text in ["", long.as_str(), "a\0b"] {
        anna.tries_to_edit(&notes, &said, text).await.expect(400);
    }
    assert_eq!(anna.reads_back(&notes).await, ["as it was"]);
}

#[tokio::test]
async fn all_of_a_members_messages_can_be_deleted_at_once() {
    let server = Server::start().await;
    let [owner, spammer] = server.users(["owner", "spammer"]).await;
    let trip = owner.creates_group("trip", [&spammer]).await;
    owner.says(&trip, "hello").await;
    for _ in 0..3 {
        spammer.says(&trip, "buy").await;
    }
    let mut phone = owner.joins(&trip).await;
    let target = format!("/api/chats/{trip}/messages/?sender={}", spammer.id);
    spammer
        .delete(&format!("/api/chats/{trip}/messages/?sender={}", owner.id))
        .await
        .expect(403);
    owner.delete(&target).await.expect(204);
    for _ in 0..3 {
        phone.hears("message_deleted").await;
    }
    assert_eq!(owner.reads_back(&trip).await, ["", "", "", "hello"]);
}
