//! What the machinery refuses, on the sockets of all chats and of support: too fast, too large, no text, and whoever
//! doesn't belong to a chat any more.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Ws;

use crate::support::{Person, Phone, Server};

/// A socket of support, signed in by its first frame.
async fn support(person: &Person) -> Phone {
    let mut phone = person
        .handshake_at("/ws/support/")
        .open()
        .await
        .expect("a socket");
    phone
        .sends(json!({"method": "message.auth", "params": [], "id": 0}))
        .await;
    assert_eq!(phone.next_frame().await["id"], 0);
    phone
}

#[tokio::test]
async fn binary_and_oversized_frames_end_the_connection_alone() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let large = "x".repeat(65 * 1024);
    for (frame, code) in [
        (Ws::binary(vec![1, 2, 3]), 1003),
        (Ws::text(json!({"text": large}).to_string()), 1009),
    ] {
        let mut chats = anna.follows().await;
        let mut others = support(&anna).await;
        chats.sends_raw(frame.clone()).await;
        assert_eq!(chats.is_closed_at_last().await.code, code);
        others.sends_raw(frame).await;
        assert_eq!(others.is_closed_at_last().await.code, code);
    }
    anna.follows().await.still_works().await;
}

#[tokio::test]
async fn who_is_too_fast_is_told_so_in_the_dialect_s_own_words() {
    let server = Server::start_with(|settings| {
        settings.limits.frames_per_second = 1;
        settings.limits.history_per_minute = 1;
    })
    .await;
    let anna = server.user("anna").await;
    let chat = anna.creates_group("own", []).await;
    let mut phone = anna.follows().await;
    for _ in 0..2 {
        phone
            .sends(json!({"type": "get_messages", "chat_id": chat.id}))
            .await;
    }
    phone.hears("messages").await;
    let refused = phone.hears_error("rate_limited", "Too many requests").await;
    assert_eq!(refused["chat_id"], chat.id);
    assert!(refused["retry_after"].is_u64(), "{refused}");
    let mut phone = support(&anna).await;
    for id in 1..=3 {
        phone
            .sends(json!({"method": "message.read", "params": [], "id": id}))
            .await;
    }
    for id in 1..=3 {
        let answer = phone.next_frame().await;
        assert_eq!(answer["id"], id);
        let is_refused = answer["error"]["code"] == 6;
        assert_eq!(is_refused, id == 3, "{answer}");
    }
}

#[tokio::test]
async fn who_was_removed_acts_in_the_chat_no_more() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let message = boris.says(&trip, "mine").await;
    let mut phone = boris.follows().await;
    anna.removes(&trip, &boris).await;
    phone.hears_at_last("chat_removed").await;
    for frame in [
        json!({"text": "still here?"}),
        json!({"type": "typing", "is_typing": true}),
        json!({"type": "read_messages"}),
        json!({"type": "edit_message", "message_id": message.id, "text": "x"}),
        json!({"type": "delete_message", "message_id": message.id}),
        json!({"type": "get_messages"}),
        json!({"type": "sync", "since": 0}),
    ] {
        let mut frame = frame;
        frame["chat_id"] = json!(trip.id);
        phone.sends(frame).await;
        let refused = phone.hears_error("not_found", "No such chat").await;
        assert_eq!(refused["chat_id"], trip.id);
    }
    phone.still_works().await;
    assert_eq!(anna.reads_back(&trip).await, ["mine"]);
}
