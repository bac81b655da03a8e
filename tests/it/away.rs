//! The database takes nothing for a while: nobody is kept waiting, nothing is promised, and all goes on by itself.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Caller, Server, look_around, person::texts, until};

/// Nobody waits longer for an answer.
const IN_TIME: Duration = Duration::from_secs(10);

#[tokio::test]
async fn sends_are_refused_in_time_and_can_be_sent_again_without_being_doubled() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    let mut rpc = Caller::is(&server, &boris).await;

    let database = look_around::open(server.database()).await;
    let held = look_around::holds(&database).await;
    let began = Instant::now();
    annas.says_as("c-1", "on the socket").await;
    let over_rest = json!({"text": "over REST", "client_id": "c-2"});
    let refused = anna.tries_to_say(&trip, over_rest.clone());
    let by_rpc = json!({
        "chat_id": trip.id, "content": "by rpc", "content_type": "text", "client_id": "c-3",
    });
    let by_rpc_refused = rpc.is_refused("sendMessage", by_rpc.clone(), "500");
    let (refused, by_rpc_refused, error) = tokio::join!(refused, by_rpc_refused, async {
        // Sockets stay, and what needs no database goes on.
        boriss.types(true).await;
        annas.hears("typing").await;
        annas.hears_at_last("error").await
    });
    assert!(began.elapsed() < IN_TIME, "after {:?}", began.elapsed());
    assert_eq!(error["code"], "unavailable");
    assert_eq!(error["message"], "Service temporarily unavailable");
    assert_eq!(error["client_id"], "c-1");
    assert_eq!(by_rpc_refused["message_id"], serde_json::Value::Null);
    refused.expect(503);
    assert!(refused.header("retry-after").is_some());
    held.rollback().await.expect("the database back");

    until("sends to be taken again", || async {
        let status = anna.tries_to_say(&trip, over_rest.clone()).await.status;
        matches!(status, 200 | 201).then_some(())
    })
    .await;
    rpc.gets("sendMessage", by_rpc).await;
    annas.says_as("c-1", "on the socket").await;
    while !matches!(
        annas.hears_at_last("message").await["client_id"].as_str(),
        Some("c-1")
    ) {}
    let mut told = texts(&boris.page(&trip, "").await);
    told.sort();
    assert_eq!(told, ["by rpc", "on the socket", "over REST"]);
}
