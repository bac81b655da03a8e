//! Taking away what the service holds on oneself.

use serde_json::{Value, json};

use crate::support::{Person, Server};

const EXPORT: &str = "/api/users/me/export/";

async fn exported(person: &Person) -> Value {
    person.get(EXPORT).await.expect(200)
}

fn texts(export: &Value) -> Vec<&str> {
    let messages = export["messages"].as_array().expect("messages").iter();
    messages
        .map(|message| message["text"].as_str().expect("a text"))
        .collect()
}

#[tokio::test]
async fn an_export_holds_all_of_oneself_and_nothing_of_others() {
    let server = Server::start().await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    anna.patch("/api/users/me/", json!({"email": "anna@example.org"}))
        .await
        .expect(200);
    let trip = anna.creates_group("trip", [&boris]).await;
    let left = boris.creates_group("left", [&anna]).await;
    let first = anna.says(&trip, "Zürich – „дом“").await;
    boris.says(&trip, "not hers").await;
    let wrong = anna.says(&left, "deleted").await;
    anna.deletes(&left, &wrong).await;
    anna.says(&left, "said where she is no more").await;
    let mine = anna.says(&trip, "mine").await;
    anna.edits(&trip, &first, "Zürich").await;
    anna.put(&format!(
        "/api/chats/{trip}/messages/{}/reactions/%F0%9F%91%8D/",
        mine.id
    ))
    .await
    .expect(204);
    boris
        .put(&format!(
            "/api/chats/{trip}/messages/{}/reactions/%F0%9F%91%8E/",
            mine.id
        ))
        .await
        .expect(204);
    anna.leaves(&left).await;
    anna.blocks(&clara).await;
    boris.blocks(&anna).await;

    let reply = anna.get(EXPORT).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(
        reply.header("content-disposition"),
        Some("attachment; filename=\"tertulia-export.json\"")
    );
    let export = reply.expect(200);
    let keys: Vec<&String> = export.as_object().expect("an object").keys().collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
    assert_eq!(
        export["account"],
        anna.get("/api/users/me/").await.expect(200)
    );
    assert_eq!(export["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(export["blocks"], json!([clara.id]));
    let chats = export["chats"].as_array().expect("chats");
    assert_eq!(chats.len(), 1);
    assert_eq!(
        (&chats[0]["chat"], &chats[0]["name"], &chats[0]["role"]),
        (&json!(trip.id), &json!("trip"), &json!("owner"))
    );
    assert_eq!(
        texts(&export),
        ["Zürich", "said where she is no more", "mine"]
    );
    assert_eq!(
        export["reactions"],
        json!([{"message": mine.id, "emoji": "👍"}])
    );
    let kinds: Vec<&Value> = export["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|change| &change["kind"])
        .collect();
    assert_eq!(
        kinds,
        [
            "message_edited",
            "reaction_added",
            "message_deleted",
            "member_left"
        ]
    );
    let text = export.to_string();
    assert!(
        !text.contains("not hers") && !text.contains("password"),
        "{text}"
    );
}

#[tokio::test]
async fn a_long_export_comes_page_by_page_and_whole() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    let all: Vec<String> = (0..1201).map(|number| format!("line {number}")).collect();
    for some in all.chunks(200) {
        for text in some {
            phone.says(text).await;
        }
        for text in some {
            assert_eq!(phone.next_message().await.text, *text);
        }
    }
    let export = exported(&anna).await;
    assert_eq!(texts(&export), all);
}

#[tokio::test]
async fn five_exports_an_hour_are_enough_and_a_stranger_gets_none() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    for _ in 0..5 {
        exported(&anna).await;
    }
    let refused = anna.get(EXPORT).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    exported(&boris).await;
    assert_eq!(server.get(EXPORT).await.status, 401);
}

#[tokio::test]
async fn who_asks_for_an_exports_headers_alone_is_not_made_to_wait_for_all_of_it() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let reply = anna.request("HEAD", EXPORT).send(anna.to).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    // Its length would be known to whoever had gathered it.
    assert!(matches!(reply.header("content-length"), None | Some("0")));
}
