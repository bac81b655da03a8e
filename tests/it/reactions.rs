//! Emoji on messages.

use serde_json::json;

use crate::support::{Chat, Message, Person, Server};

/// `emoji` as it stands in a path.
fn target(chat: &Chat, message: &Message, emoji: &str) -> String {
    let encoded: String = emoji.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!(
        "/api/chats/{chat}/messages/{}/reactions/{encoded}/",
        message.id
    )
}

async fn reacts(person: &Person, chat: &Chat, message: &Message, emoji: &str) {
    let reply = person.put(&target(chat, message, emoji)).await;
    assert!(
        (200..300).contains(&reply.status),
        "{}: {}",
        reply.status,
        reply.text()
    );
}

#[tokio::test]
async fn a_reaction_is_told_to_all_and_taken_back_once() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let said = anna.says(&trip, "We are there!").await;
    let mut phone = anna.joins(&trip).await;
    reacts(&boris, &trip, &said, "🎉").await;
    let told = json!({
        "type": "reaction_added", "seq": 2, "message_id": said.id,
        "user_id": boris.id, "username": "boris", "emoji": "🎉",
    });
    assert_eq!(phone.next_frame().await, told);
    reacts(&boris, &trip, &said, "🎉").await; // again: nothing changes, nothing is told
    let reply = boris.delete(&target(&trip, &said, "🎉")).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    let told = phone.hears("reaction_removed").await;
    assert_eq!(
        (&told["seq"], &told["emoji"], &told["user_id"]),
        (&json!(3), &json!("🎉"), &json!(boris.id))
    );
}

#[tokio::test]
async fn whoever_was_away_hears_of_reactions_at_their_numbers() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let said = anna.says(&trip, "We are there!").await;
    reacts(&anna, &trip, &said, "👍").await;
    reacts(&boris, &trip, &said, "🎉").await;
    let mut phone = boris.joins_since(&trip, 1).await;
    assert_eq!(phone.hears("reaction_added").await["emoji"], "👍");
    assert_eq!(phone.hears("reaction_added").await["emoji"], "🎉");
    assert_eq!(phone.hears("synced").await["seq"], 3);
}

#[tokio::test]
async fn nobody_reacts_to_what_they_can_not_see() {
    let server = Server::start().await;
    let [anna, stranger] = server.users(["anna", "stranger"]).await;
    let [here, there] = [
        anna.creates_group("here", []).await,
        anna.creates_group("there", []).await,
    ];
    let said = anna.says(&here, "We are there!").await;
    stranger.put(&target(&here, &said, "🎉")).await.expect(404);
    anna.put(&target(&there, &said, "🎉")).await.expect(404);
    assert_eq!(anna.sees(&here).await["last_seq"], 1);
}
