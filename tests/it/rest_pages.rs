//! Lists over REST: pages by number and by place, their links, and what happened since.

use serde_json::{Value, json};

use crate::support::{Chat, Person, Server};

/// A chat in which `count` things were said, `1` first.
async fn talkative(anna: &Person, count: usize) -> Chat {
    let chat = anna.creates_group("talk", []).await;
    for n in 1..=count {
        anna.says(&chat, &n.to_string()).await;
    }
    chat
}

fn texts(page: &Value) -> Vec<&str> {
    let results = page["results"].as_array().into_iter().flatten();
    results
        .filter_map(|message| message["text"].as_str())
        .collect()
}

/// The path and query of a link, which must lead to this server.
fn target(person: &Person, link: &Value) -> String {
    let here = format!("http://{}", person.to);
    link.as_str()
        .and_then(|link| link.strip_prefix(&here))
        .expect("a link to here")
        .to_owned()
}

async fn unlimited() -> Server {
    Server::start_with(|settings| settings.limits.messages_per_minute = 0).await
}

#[tokio::test]
async fn numbered_pages_are_counted_and_linked_in_both_directions() {
    let server = unlimited().await;
    let anna = server.user("anna").await;
    let chat = talkative(&anna, 5).await;
    let first = anna.page(&chat, "?page_size=2&x=y").await;
    assert_eq!(
        (texts(&first), &first["count"]),
        (vec!["5", "4"], &json!(5))
    );
    assert_eq!(first["previous"], Value::Null);
    let address = format!("/api/chats/{chat}/messages/");
    assert_eq!(
        target(&anna, &first["next"]),
        format!("{address}?page=2&page_size=2&x=y")
    );
    let second = anna.get(&target(&anna, &first["next"])).await.expect(200);
    assert_eq!(texts(&second), ["3", "2"]);
    assert_eq!(
        target(&anna, &second["previous"]),
        format!("{address}?page_size=2&x=y")
    );
    let last = anna.page(&chat, "?page_size=2&page=last").await;
    assert_eq!((texts(&last), &last["next"]), (vec!["1"], &Value::Null));
    for nowhere in ["4", "0", "abc"] {
        let reply = anna
            .get(&format!("{address}?page_size=2&page={nowhere}"))
            .await;
        assert_eq!(
            reply.expect(404),
            json!({"detail": "Invalid page."}),
            "{nowhere}"
        );
    }
    let silent = anna.creates_group("silent", []).await;
    let empty = json!({"count": 0, "next": null, "previous": null, "results": []});
    assert_eq!(anna.page(&silent, "").await, empty);
}

#[tokio::test]
async fn a_walk_by_place_sees_every_message_once_whoever_writes_meanwhile() {
    let server = unlimited().await;
    let anna = server.user("anna").await;
    let chat = talkative(&anna, 7).await;
    let mut page = anna.page(&chat, "?before=&page_size=3").await;
    assert_eq!(page.get("count"), None);
    assert_eq!(page["previous"], Value::Null);
    anna.says(&chat, "8").await;
    let mut seen: Vec<String> = Vec::new();
    loop {
        seen.extend(texts(&page).into_iter().map(str::to_owned));
        if page["next"] == Value::Null {
            break;
        }
        page = anna.get(&target(&anna, &page["next"])).await.expect(200);
    }
    assert_eq!(seen, ["7", "6", "5", "4", "3", "2", "1"]);
    let newer = anna
        .get(&target(&anna, &page["previous"]))
        .await
        .expect(200);
    assert_eq!(
        texts(&newer),
        ["4", "3", "2"],
        "what follows the oldest, the newest of them first"
    );
}

#[tokio::test]
async fn nothing_follows_the_newest() {
    let server = unlimited().await;
    let anna = server.user("anna").await;
    let chat = anna.creates_group("talk", []).await;
    let only = anna.says(&chat, "only").await;
    let page = anna.page(&chat, &format!("?after={}", only.id)).await;
    assert_eq!(page, json!({"next": null, "previous": null, "results": []}));
    let reply = anna
        .get(&format!("/api/chats/{chat}/messages/?before=abc"))
        .await;
    assert_eq!(
        reply.expect(400),
        json!({"before": ["A valid integer is required."]})
    );
    anna.get(&format!("/api/chats/{chat}/messages/?before=999"))
        .await
        .expect(404);
}

#[tokio::test]
async fn members_chats_and_people_come_in_pages_too() {
    let server = Server::start().await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    let trip = anna.creates_group("trip", [&boris, &clara]).await;
    anna.creates_group("work", []).await;
    for list in [
        format!("/api/chats/{trip}/members/"),
        "/api/chats/".into(),
        "/api/users/".into(),
    ] {
        let first = anna.get(&format!("{list}?page_size=1")).await.expect(200);
        assert_eq!(first["results"].as_array().map(Vec::len), Some(1), "{list}");
        let next = target(&anna, &first["next"]);
        assert_eq!(next, format!("{list}?page=2&page_size=1"));
        let second = anna.get(&next).await.expect(200);
        assert_ne!(second["results"], first["results"], "{list}");
        anna.get(&format!("{list}?page=99")).await.expect(404);
    }
}

#[tokio::test]
async fn whoever_polls_hears_all_that_happened_each_once() {
    let server = unlimited().await;
    let anna = server.user("anna").await;
    let chat = talkative(&anna, 150).await;
    let address = format!("/api/chats/{chat}/events/");
    let first = anna.get(&address).await.expect(200);
    assert_eq!(
        (&first["seq"], &first["has_more"]),
        (&json!(100), &json!(true))
    );
    let rest = anna.get(&format!("{address}?since=100")).await.expect(200);
    assert_eq!(
        (&rest["seq"], &rest["has_more"]),
        (&json!(150), &json!(false))
    );
    let events = [&first["results"], &rest["results"]];
    let events = events
        .iter()
        .flat_map(|events| events.as_array().into_iter().flatten());
    let numbers: Vec<i64> = events.filter_map(|event| event["seq"].as_i64()).collect();
    assert_eq!(numbers, (1..=150).collect::<Vec<_>>());
    let none = anna.get(&format!("{address}?since=150")).await.expect(200);
    assert_eq!(none, json!({"results": [], "seq": 150, "has_more": false}));
    let beyond = anna.get(&format!("{address}?since=9999")).await.expect(200);
    assert_eq!(
        (&beyond["results"], &beyond["reset"]),
        (&json!([]), &json!(true))
    );
    anna.get(&format!("{address}?since=-1")).await.expect(400);
    anna.get(&format!("{address}?since=x")).await.expect(400);
}

#[tokio::test]
async fn a_reaction_is_put_once_and_taken_back() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let said = anna.says(&trip, "tea?").await;
    let mut phone = anna.joins(&trip).await;
    let target = format!(
        "/api/chats/{trip}/messages/{}/reactions/%F0%9F%91%8D/",
        said.id
    );
    boris.put(&target).await.expect(204);
    boris.put(&target).await.expect(204);
    let told = phone.hears("reaction_added").await;
    assert_eq!(
        (&told["emoji"], &told["user_id"]),
        (&json!("👍"), &json!(boris.id))
    );
    boris.delete(&target).await.expect(204);
    let told = phone.hears("reaction_removed").await;
    assert_eq!(told["seq"], 3, "the second put made no change");
    boris
        .put(&format!(
            "/api/chats/{trip}/messages/{}/reactions/x/",
            said.id
        ))
        .await
        .expect(400);
    boris
        .put(&format!(
            "/api/chats/{trip}/messages/999/reactions/%F0%9F%91%8D/"
        ))
        .await
        .expect(404);
}

#[tokio::test]
async fn a_message_sent_twice_with_one_client_id_is_one_message() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let chat = anna.creates_group("talk", []).await;
    let body = json!({"text": " hello ", "client_id": "b7a1-42"});
    let first = anna.tries_to_say(&chat, body.clone()).await;
    let message = first.expect(201);
    assert_eq!(message["text"], "hello");
    let address = format!("/api/chats/{chat}/messages/{}/", message["id"]);
    assert_eq!(first.header("location"), Some(address.as_str()));
    assert_eq!(anna.tries_to_say(&chat, body).await.expect(200), message);
    assert_eq!(anna.page(&chat, "").await["count"], 1);
    let found = anna.get(&address).await.expect(200);
    assert!(
        found["read_by"].is_array() && found["text"] == "hello",
        "{found}"
    );
    for (text, told) in [
        (json!(""), "This field may not be blank."),
        (
            json!("x".repeat(1001)),
            "Ensure this field has no more than 1000 characters.",
        ),
        (json!("a\u{0}b"), "Null characters are not allowed."),
        (json!(["a"]), "Not a valid string."),
    ] {
        let reply = anna.tries_to_say(&chat, json!({"text": text})).await;
        assert_eq!(reply.expect(400), json!({"text": [told]}));
    }
    anna.tries_to_say(&chat, json!({"text": "ю".repeat(1000)}))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_null_character_in_an_address_is_a_fault_of_the_request() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    for list in ["users", "chats"] {
        let reply = anna.get(&format!("/api/{list}/?search=a%00")).await;
        let told = json!({"search": ["Null characters are not allowed."]});
        assert_eq!(reply.expect(400), told, "{list}");
    }
    let reply = anna.get("/api/search/?q=a%00").await;
    let told = json!({"q": ["Null characters are not allowed."]});
    assert_eq!(reply.expect(400), told);
    anna.delete("/api/sessions/%00/").await.expect(404);
}
