//! Making, finding, changing and deleting chats, as the sockets see it.

use serde_json::{Value, json};

use crate::support::{Person, Server};

#[tokio::test]
async fn two_people_have_one_personal_chat_whoever_opens_it() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let open = |who: Person, with: i64| async move {
        who.post(
            "/api/chats/",
            json!({"kind": "personal", "members": [with]}),
        )
        .await
    };
    // All at once: one is made, the others find it.
    let opened = futures_util::future::join_all([
        open(anna.clone(), boris.id),
        open(boris.clone(), anna.id),
        open(anna.clone(), boris.id),
        open(boris.clone(), anna.id),
    ])
    .await;
    let made = opened.iter().filter(|reply| reply.status == 201).count();
    let found = opened.iter().filter(|reply| reply.status == 200).count();
    assert_eq!((made, found), (1, 3));
    let ids: Vec<i64> = opened
        .iter()
        .filter_map(|reply| reply.json()["id"].as_i64())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(
        anna.get("/api/chats/?kind=personal").await.expect(200)["count"],
        1
    );
}

#[tokio::test]
async fn a_personal_chat_needs_exactly_one_other() {
    let server = Server::start().await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    for members in [
        json!([]),
        json!([anna.id]),
        json!([boris.id, clara.id]),
        json!([99_999]),
    ] {
        let reply = anna
            .post(
                "/api/chats/",
                json!({"kind": "personal", "members": members}),
            )
            .await;
        assert_eq!(reply.status, 400, "{members}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_personal_chat_that_anna_deletes_is_hidden_from_her_alone_until_the_next_message() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let talk = anna.opens_personal_chat(&boris).await;
    anna.says(&talk, "old").await;
    boris.says(&talk, "older news").await;
    anna.deletes_chat(&talk).await;
    assert_eq!(anna.get("/api/chats/").await.expect(200)["count"], 0);
    assert_eq!(boris.get("/api/chats/").await.expect(200)["count"], 1);
    assert_eq!(boris.reads_back(&talk).await, ["older news", "old"]);

    boris.says(&talk, "new").await;
    assert_eq!(anna.get("/api/chats/").await.expect(200)["count"], 1);
    assert_eq!(anna.reads_back(&talk).await, ["new"]);
    assert_eq!(anna.page(&talk, "").await["count"], 1);
    assert_eq!(boris.reads_back(&talk).await, ["new", "older news", "old"]);
    // What was hidden isn't replayed either.
    let events = anna
        .get(&format!("/api/chats/{talk}/events/?since=0"))
        .await
        .expect(200);
    assert!(!events.to_string().contains("old"), "{events}");
    let again = anna
        .post(
            "/api/chats/",
            json!({"kind": "personal", "members": [boris.id]}),
        )
        .await;
    assert_eq!(again.expect(200)["id"], talk.id);
}

#[tokio::test]
async fn a_deleted_group_closes_its_sockets_and_is_gone() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    anna.says(&trip, "hello").await;
    let mut phones = [anna.joins(&trip).await, boris.joins(&trip).await];
    anna.deletes_chat(&trip).await;
    for phone in &mut phones {
        let told = phone.hears("chat_deleted").await;
        assert_eq!(
            (&told["seq"], &told["data"]["id"]),
            (&json!(2), &json!(trip.id))
        );
        assert_eq!(phone.is_closed().await.code, 4010);
    }
    for person in [&anna, &boris] {
        person.get(&format!("/api/chats/{trip}/")).await.expect(404);
        person
            .tries_to_say(&trip, json!({"text": "anybody?"}))
            .await
            .expect(404);
        let code = person
            .tries_to_join(&trip)
            .await
            .err()
            .map(|close| close.code);
        assert!(matches!(code, Some(4004 | 4010)), "{code:?}");
    }
}

#[tokio::test]
async fn a_new_name_is_told_to_all_with_what_is_the_same_for_every_member() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut phone = boris.joins(&trip).await;
    anna.renames(&trip, "journey").await;
    let told = phone.hears("chat_updated").await;
    let created_at = anna.sees(&trip).await["created_at"].clone();
    let data = json!({
        "id": trip.id, "kind": "group", "name": "journey", "is_private": told["data"]["is_private"],
        "created_by": anna.id, "created_at": created_at,
    });
    assert_eq!(
        told,
        json!({"type": "chat_updated", "seq": 1, "data": data})
    );
    assert_eq!(boris.sees(&trip).await["name"], "journey");
}

#[tokio::test]
async fn a_rooms_name_is_unique_and_free_again_after_its_deletion() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let room = |name: &str| json!({"kind": "room", "name": name});
    let first = anna.creates(room("Kitchen")).await;
    for name in ["Kitchen", "kitchen", "KITCHEN", "Ｋitchen"] {
        let reply = boris.post("/api/chats/", room(name)).await;
        assert_eq!(reply.status, 400, "{name}: {}", reply.text());
    }
    anna.deletes_chat(&first).await;
    let second = boris.creates(room("kitchen")).await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn chats_are_listed_last_active_first() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let first = anna.creates_group("first", []).await;
    let second = anna.creates_group("second", []).await;
    anna.says(&first, "I am awake").await;
    let list = anna.get("/api/chats/").await.expect(200);
    let ids: Vec<i64> = list["results"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|chat| chat["id"].as_i64())
        .collect();
    assert_eq!(ids, [first.id, second.id]);
    assert_eq!(list["results"][0]["last_message"]["text"], "I am awake");
}

#[tokio::test]
async fn a_customer_has_one_support_chat_that_every_operator_answers() {
    let server = Server::start().await;
    let customer = server.user("customer").await;
    let operator = server.operator("operator").await;
    let help = customer.creates(json!({"kind": "support"})).await;
    let again = customer
        .post("/api/chats/", json!({"kind": "support"}))
        .await
        .expect(200);
    assert_eq!(again["id"], help.id);
    let mut phone = customer.joins(&help).await;
    let mut desk = operator.joins(&help).await;
    phone.says("It is broken").await;
    assert_eq!(desk.next_message().await.text, "It is broken");
    phone.next_message().await;
    desk.says("Have you tried turning it off?").await;
    assert_eq!(
        phone.next_message().await.shown["sender"]["id"],
        operator.id
    );
    let members = customer
        .get(&format!("/api/chats/{help}/members/"))
        .await
        .expect(200);
    let ids: Vec<i64> = members["results"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|member| member["user"]["id"].as_i64().or(member["id"].as_i64()))
        .collect();
    assert!(
        !ids.contains(&operator.id),
        "operators aren't listed: {members}"
    );
}

#[tokio::test]
async fn whoever_is_blocked_can_not_write_open_a_chat_or_add() {
    let server = Server::start().await;
    let [anna, pest, other] = server.users(["anna", "pest", "other"]).await;
    let talk = anna.opens_personal_chat(&pest).await;
    pest.says(&talk, "hello").await;
    let mut annas = anna.joins(&talk).await;
    let mut pests = pest.joins(&talk).await;
    anna.blocks(&pest).await;
    pests.says("are you there?").await;
    assert_eq!(pests.hears("error").await["code"], "forbidden");
    pests.still_works().await;
    pest.tries_to_say(&talk, json!({"text": "hello?"}))
        .await
        .expect(403);
    let group = json!({"kind": "group", "name": "pests", "members": [anna.id]});
    let reply = pest.post("/api/chats/", group).await;
    assert!(
        matches!(reply.status, 400 | 403),
        "{}: {}",
        reply.status,
        reply.text()
    );
    let pests_group = pest.creates_group("pests", []).await;
    let reply = pest.tries_to_add(&pests_group, &anna).await;
    assert!(
        matches!(reply.status, 400 | 403),
        "{}: {}",
        reply.status,
        reply.text()
    );
    // Nothing came through; the others may still write.
    let fresh = other.opens_personal_chat(&anna).await;
    other.says(&fresh, "hello").await;
    anna.unblocks(&pest).await;
    pest.says(&talk, "thank you").await;
    assert_eq!(annas.next_message().await.text, "thank you");
}

#[tokio::test]
async fn whoever_is_blocked_can_not_open_the_first_chat_either() {
    let server = Server::start().await;
    let [anna, pest] = server.users(["anna", "pest"]).await;
    anna.blocks(&pest).await;
    let reply = pest
        .post(
            "/api/chats/",
            json!({"kind": "personal", "members": [anna.id]}),
        )
        .await;
    assert!(
        matches!(reply.status, 400 | 403),
        "{}: {}",
        reply.status,
        reply.text()
    );
    assert_eq!(anna.get("/api/chats/").await.expect(200)["count"], 0);
}

#[tokio::test]
async fn a_deleted_account_leaves_its_chats_but_its_words_stay() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    boris.says(&trip, "I was here").await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    let gone = boris.delete("/api/users/me/").await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    let code = boriss.is_closed_at_last().await.code;
    assert!(matches!(code, 4001 | 4003), "{code}");
    assert_eq!(annas.hears("member_left").await["user"]["id"], boris.id);
    let page = anna.page(&trip, "").await;
    assert_eq!(page["results"][0]["text"], "I was here");
    let sender = &page["results"][0]["sender"];
    assert_eq!(sender["username"], format!("deleted-{}", boris.id));
    assert_eq!(
        (&sender["first_name"], &sender["last_name"]),
        (&json!(""), &json!(""))
    );
    boris.get("/api/users/me/").await.expect(401);
}

#[tokio::test]
async fn a_chat_is_found_by_its_name_and_by_whom_it_is_with_whatever_the_case() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let with = anna.opens_personal_chat(&boris).await;
    let trip = anna.creates_group("Поездка 100%", [&boris]).await;
    let hill = anna.creates_group("The Hill", []).await;
    for (search, expected) in [
        ("ПОЕЗД", vec![trip.id]),
        ("поезд", vec![trip.id]),
        ("0%25", vec![trip.id]),
        ("e_h", vec![]),
        ("E H", vec![hill.id]),
        ("BOR", vec![with.id]),
        ("anna", vec![]),
        ("", vec![hill.id, trip.id, with.id]),
    ] {
        let search = search.replace(' ', "%20");
        let found = anna.get(&format!("/api/chats/?search={search}")).await;
        let found = found.expect(200);
        let chats = found["results"].as_array().expect("chats").iter();
        let ids: Vec<&Value> = chats.map(|chat| &chat["id"]).collect();
        assert_eq!(ids, expected, "{search}");
    }
}
