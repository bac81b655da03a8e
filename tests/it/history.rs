//! Pages of what was said: the socket's and REST's are the same page.

use serde_json::{Value, json};

use crate::support::{Chat, Message, Person, Phone, Server, person::texts};

/// A chat with `count` messages, from "1" on.
async fn talkative(person: &Person, count: usize) -> (Chat, Vec<Message>) {
    let chat = person.creates_group("talk", []).await;
    let mut said = Vec::with_capacity(count);
    for number in 1..=count {
        said.push(person.says(&chat, &number.to_string()).await);
    }
    (chat, said)
}

async fn unlimited() -> Server {
    Server::start_with(|settings| settings.limits.messages_per_minute = 0).await
}

async fn asks(phone: &mut Phone, frame: Value) -> Value {
    phone.sends(frame).await;
    let mut answer = phone.hears("messages").await;
    answer["data"].take()
}

#[tokio::test]
async fn a_page_on_the_socket_is_rests_page_links_included() {
    let server = unlimited().await;
    let anna = server.user("anna").await;
    let (chat, said) = talkative(&anna, 12).await;
    let middle = said[6].id;
    let mut phone = anna.joins(&chat).await;
    let cases = [
        (
            json!({"page": 1, "page_size": 5}),
            "?page=1&page_size=5".to_owned(),
        ),
        (
            json!({"page": 2, "page_size": 5}),
            "?page=2&page_size=5".to_owned(),
        ),
        (
            json!({"page": 3, "page_size": 5}),
            "?page=3&page_size=5".to_owned(),
        ),
        (json!({}), String::new()),
        (
            json!({"before": middle, "page_size": 3}),
            format!("?before={middle}&page_size=3"),
        ),
        (
            json!({"after": middle, "page_size": 3}),
            format!("?after={middle}&page_size=3"),
        ),
    ];
    for (mut frame, query) in cases {
        frame["type"] = json!("get_messages");
        let on_the_socket = asks(&mut phone, frame.clone()).await;
        assert_eq!(on_the_socket, anna.page(&chat, &query).await, "{frame}");
    }
}

#[tokio::test]
async fn numbered_pages_count_and_link_newest_first() {
    let server = unlimited().await;
    let anna = server.user("anna").await;
    let (chat, _) = talkative(&anna, 7).await;
    let link = |query: &str| {
        json!(format!(
            "http://{}/api/chats/{chat}/messages/{query}",
            server.address()
        ))
    };
    let first = anna.page(&chat, "?page_size=3").await;
    assert_eq!(first["count"], 7);
    assert_eq!(texts(&first), ["7", "6", "5"]);
    assert_eq!(
        (&first["previous"], &first["next"]),
        (&Value::Null, &link("?page=2&page_size=3"))
    );
    let second = anna.page(&chat, "?page=2&page_size=3").await;
    assert_eq!(texts(&second), ["4", "3", "2"]);
    assert_eq!(
        (&second["previous"], &second["next"]),
        (&link("?page_size=3"), &link("?page=3&page_size=3"))
    );
    let last = anna.page(&chat, "?page=3&page_size=3").await;
    assert_eq!(
        (texts(&last), &last["next"]),
        (vec!["1".to_owned()], &Value::Null)
    );
    let target = format!("/api/chats/{chat}/messages/?page=4&page_size=3");
    assert_eq!(
        anna.get(&target).await.expect(404),
        json!({"detail": "Invalid page."})
    );
}

#[tokio::test]
async fn keyset_pages_walk_all_of_a_chat_both_ways_without_a_count() {
    let server = unlimited().await;
    let anna = server.user("anna").await;
    let (chat, said) = talkative(&anna, 7).await;
    let mut walked = Vec::new();
    let mut page = anna.page(&chat, "?before=&page_size=3").await;
    loop {
        assert_eq!(page.get("count"), None);
        walked.extend(texts(&page));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        let target = next
            .strip_prefix(&format!("http://{}", server.address()))
            .expect("our host");
        page = anna.get(target).await.expect(200);
    }
    assert_eq!(walked, ["7", "6", "5", "4", "3", "2", "1"]);
    // `after`: those that follow, the newest of them first.
    let after = anna
        .page(&chat, &format!("?after={}&page_size=3", said[1].id))
        .await;
    assert_eq!(texts(&after), ["5", "4", "3"]);
    let after = anna
        .page(&chat, &format!("?after={}&page_size=3", said[6].id))
        .await;
    assert_eq!(texts(&after), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_holds_fifty_and_never_more_than_a_hundred() {
    let server = unlimited().await;
    let anna = server.user("anna").await;
    let (chat, _) = talkative(&anna, 101).await;
    assert_eq!(texts(&anna.page(&chat, "").await).len(), 50);
    assert_eq!(texts(&anna.page(&chat, "?page_size=100").await).len(), 100);
    assert_eq!(texts(&anna.page(&chat, "?page_size=1000").await).len(), 100);
    assert_eq!(texts(&anna.page(&chat, "?page_size=0").await).len(), 50);
    let mut phone = anna.joins(&chat).await;
    let page = asks(&mut phone, json!({"type": "get_messages"})).await;
    assert_eq!((texts(&page).len(), &page["count"]), (50, &json!(101)));
    let page = asks(
        &mut phone,
        json!({"type": "get_messages", "page_size": 100}),
    )
    .await;
    assert_eq!(texts(&page).len(), 100);
}

#[tokio::test]
async fn a_place_in_another_chat_is_no_place() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let [here, there] = [
        anna.creates_group("here", []).await,
        anna.creates_group("there", []).await,
    ];
    anna.says(&here, "here").await;
    let elsewhere = anna.says(&there, "there").await;
    let mut phone = anna.joins(&here).await;
    for way in ["before", "after"] {
        phone
            .sends(json!({"type": "get_messages", way: elsewhere.id}))
            .await;
        assert_eq!(phone.hears("error").await["code"], "not_found", "{way}");
        let target = format!("/api/chats/{here}/messages/?{way}={}", elsewhere.id);
        anna.get(&target).await.expect(404);
    }
    anna.get(&format!("/api/chats/{here}/messages/{}/", elsewhere.id))
        .await
        .expect(404);
    phone.still_works().await;
}

#[tokio::test]
async fn links_keep_to_the_host_that_the_client_asked() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let (chat, _) = talkative(&anna, 3).await;
    let handshake = anna.handshake(&chat).header("Host", "chat.example.org");
    let mut phone = handshake.enter().await.expect("a member");
    let page = asks(&mut phone, json!({"type": "get_messages", "page_size": 2})).await;
    let next = format!("http://chat.example.org/api/chats/{chat}/messages/?page=2&page_size=2");
    assert_eq!(page["next"], next);
}
