//! How far somebody has read: told to all, never back, merged.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn what_anna_has_read_is_told_to_boris_and_answered_to_her() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    boris.says(&trip, "one").await;
    let newest = boris.says(&trip, "two").await;
    let mut boriss = boris.joins(&trip).await;
    let mut annas = anna.joins(&trip).await;
    assert_eq!(annas.hello["unread_count"], 2);
    assert_eq!(
        boriss.hello["unread_count"], 0,
        "one's own messages aren't unread"
    );

    annas.reads().await;
    let told = json!({
        "type": "messages_read", "user_id": anna.id, "username": "anna",
        "last_read_message_id": newest.id, "last_read_seq": newest.seq,
    });
    assert_eq!(annas.next_frame().await, told);
    assert_eq!(boriss.next_frame().await, told);
    assert_eq!(anna.sees(&trip).await["unread_count"], 0);
}

#[tokio::test]
async fn a_mark_that_does_not_move_is_answered_on_its_own_connection_only() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let newest = boris.says(&trip, "one").await;
    let mut boriss = boris.joins(&trip).await;
    anna.reads(&trip).await;
    boriss.hears("messages_read").await;
    let mut annas = anna.joins(&trip).await;
    annas.reads().await;
    let answer = annas.hears("messages_read").await;
    assert_eq!(
        (&answer["user_id"], &answer["last_read_seq"]),
        (&json!(anna.id), &json!(newest.seq))
    );
    boris.says(&trip, "marker").await;
    assert_eq!(boriss.next_message().await.text, "marker");
}

#[tokio::test]
async fn reading_up_to_a_message_never_goes_back() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let first = boris.says(&trip, "one").await;
    let second = boris.says(&trip, "two").await;
    boris.says(&trip, "three").await;
    let mut annas = anna.joins(&trip).await;
    for (up_to, stands) in [(&second, &second), (&first, &second)] {
        annas
            .sends(json!({"type": "read_messages", "up_to": up_to.id}))
            .await;
        let answer = annas.hears("messages_read").await;
        assert_eq!(answer["last_read_seq"], stands.seq);
        assert_eq!(answer["last_read_message_id"], stands.id);
    }
    assert_eq!(anna.sees(&trip).await["unread_count"], 1);
}

#[tokio::test]
async fn a_mark_over_rest_is_committed_when_it_is_answered_and_told_to_the_sockets() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let first = boris.says(&trip, "one").await;
    boris.says(&trip, "two").await;
    let mut boriss = boris.joins(&trip).await;
    let target = format!("/api/chats/{trip}/read/");
    let mark = anna
        .post(&target, json!({"up_to": first.id}))
        .await
        .expect(200);
    assert_eq!(mark, json!({"last_read_seq": first.seq, "unread_count": 1}));
    assert_eq!(
        boriss.hears("messages_read").await["last_read_message_id"],
        first.id
    );
    let found = boris
        .get(&format!("/api/chats/{trip}/messages/{}/", first.id))
        .await
        .expect(200);
    let reader = json!({"user_id": anna.id, "last_read_seq": first.seq});
    let readers = found["read_by"].as_array().expect("who has read it");
    assert!(readers.contains(&reader), "{readers:?}");
}

#[tokio::test]
async fn marks_in_quick_succession_are_merged_and_the_last_one_is_told() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut said = Vec::new();
    for number in 0..10 {
        said.push(boris.says(&trip, &number.to_string()).await);
    }
    let mut boriss = boris.joins(&trip).await;
    let mut annas = anna.joins(&trip).await;
    for message in &said {
        annas
            .sends(json!({"type": "read_messages", "up_to": message.id}))
            .await;
    }
    let last = said.last().expect("ten messages").seq;
    let mut told = Vec::new();
    while told.last() != Some(&last) {
        told.push(
            boriss.hears("messages_read").await["last_read_seq"]
                .as_i64()
                .expect("a number"),
        );
    }
    assert!(told.is_sorted(), "{told:?}");
    assert!(told.len() < said.len(), "at most one a second: {told:?}");
}

#[tokio::test]
async fn a_deleted_message_is_unread_by_nobody() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let slip = boris.says(&trip, "a slip").await;
    boris.says(&trip, "a message").await;
    assert_eq!(anna.sees(&trip).await["unread_count"], 2);
    boris.deletes(&trip, &slip).await;
    assert_eq!(anna.sees(&trip).await["unread_count"], 1);
    let phone = anna.joins(&trip).await;
    assert_eq!(phone.hello["unread_count"], 1);
}

#[tokio::test]
async fn a_mark_up_to_a_message_of_another_chat_is_not_found() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let other = anna.creates_group("other", [&boris]).await;
    boris.says(&trip, "here").await;
    let elsewhere = boris.says(&other, "elsewhere").await;
    let mut annas = anna.joins(&trip).await;
    annas
        .sends(json!({"type": "read_messages", "up_to": elsewhere.id}))
        .await;
    assert_eq!(annas.hears("error").await["code"], "not_found");
    annas.still_works().await;
    let target = format!("/api/chats/{trip}/read/");
    anna.post(&target, json!({"up_to": elsewhere.id}))
        .await
        .expect(404);
    assert_eq!(anna.sees(&trip).await["unread_count"], 1);
}

#[tokio::test]
async fn what_is_unread_is_counted_to_a_thousand_and_no_further() {
    let server = Server::start_with(|settings| {
        settings.limits.messages_per_minute = 0;
        settings.limits.frames_per_second = 0;
    })
    .await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    for number in 1..=1002 {
        annas.says(&number.to_string()).await;
    }
    while annas.next_message().await.text != "1002" {}
    assert_eq!(boris.sees(&trip).await["unread_count"], 1000);
    let mut phone = boris.joins(&trip).await;
    let page = boris.page(&trip, "?page=1&page_size=1").await;
    assert_eq!(page["count"], 1002);
    let third_last = page["results"][0]["id"].as_i64().map(|last| last - 3);
    phone
        .sends(json!({"type": "read_messages", "up_to": third_last}))
        .await;
    phone.hears_at_last("messages_read").await;
    crate::support::until("what is left", || async {
        (boris.sees(&trip).await["unread_count"] == 3).then_some(())
    })
    .await;
}
