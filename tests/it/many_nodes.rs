//! What holds over all nodes, by what they hold in common: who is there, who is online, one connection per user and
//! chat, and the limits.

use std::sync::Arc;

use serde_json::Value;
use tertulia::{
    layer::MemoryLayer,
    lease::{MemoryTown, NODE_SILENT_AFTER},
    settings::{ConnectionRule, Settings},
};

use crate::support::{Chat, Person, Phone, Server, person::PASSWORD, until};

struct City {
    nodes: [Server; 2],
    town: MemoryTown,
}

/// Two nodes that share all that nodes can.
async fn city_where(change: impl Fn(&mut Settings)) -> City {
    let (layer, town) = (Arc::new(MemoryLayer::default()), MemoryTown::default());
    let nodes = Server::nodes(|_| (layer.clone(), Arc::new(town.node())), change).await;
    City { nodes, town }
}

async fn city() -> City {
    city_where(|_| {}).await
}

async fn joins(person: &Person, chat: &Chat) -> (Phone, Vec<String>) {
    let mut phone = person.joins(chat).await.hears_presence();
    let list = phone.hears("presence").await;
    (phone, names(&list))
}

fn names(list: &Value) -> Vec<String> {
    let users = list["users"].as_array().expect("users").iter();
    let mut names: Vec<String> = users
        .map(|user| user["username"].as_str().expect("a name").to_owned())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_list_names_who_is_there_by_any_node_and_each_comes_and_goes_once() {
    let City { nodes, .. } = city_where(|settings| {
        settings.connections.connections_per_chat = ConnectionRule::Many;
    })
    .await;
    let [here, there] = &nodes;
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let (mut annas, _) = joins(&anna, &trip).await;
    let (mut boriss, mut list) = joins(&boris.at(there.address()), &trip).await;
    if list == ["boris"] {
        // He came before that node knew of her.
        assert_eq!(boriss.hears("user_online").await["user_id"], anna.id);
        list.insert(0, "anna".to_owned());
    }
    assert_eq!(
        list,
        ["anna", "boris"],
        "who is there by the other node too"
    );
    assert_eq!(annas.hears("user_online").await["user_id"], boris.id);
    // Boris is at both nodes now; he goes from one and is still there.
    let (second, list) = joins(&boris, &trip).await;
    assert_eq!(list, ["anna", "boris"]);
    boriss.hangs_up().await;
    let (clara_sees, list) = joins(&anna.at(there.address()), &trip).await;
    assert_eq!(list, ["anna", "boris"]);
    annas.still_works().await;
    let heard: Vec<&Value> = annas.log().iter().map(|frame| &frame["type"]).collect();
    assert!(
        !heard.iter().any(|kind| *kind == "user_offline"),
        "{heard:?}"
    );
    second.hangs_up().await;
    assert_eq!(annas.hears("user_offline").await["user_id"], boris.id);
    drop(clara_sees);
}

#[tokio::test]
async fn a_user_is_online_by_any_node() {
    let City { nodes, .. } = city().await;
    let [here, there] = &nodes;
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let phone = boris.at(there.address()).joins(&trip).await;
    let is_online = || async {
        let page = anna.get(&format!("/api/users/{}/", boris.id)).await;
        page.expect(200)["is_online"] == true
    };
    until("boris to be online", || async {
        is_online().await.then_some(())
    })
    .await;
    let listed = anna.get("/api/users/?search=boris").await.expect(200);
    assert_eq!(listed["results"][0]["is_online"], true);
    phone.hangs_up().await;
    until("boris to be gone", || async {
        (!is_online().await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_newest_connection_takes_the_place_of_one_on_another_node() {
    let City { nodes, .. } = city().await;
    let [here, there] = &nodes;
    let anna = here.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut older = anna.joins(&notes).await;
    let mut newer = anna.at(there.address()).joins(&notes).await;
    assert_eq!(older.is_closed().await.code, 4009);
    newer.still_works().await;
    // Two tabs at two nodes that fight are parted after the third replacement.
    let mut third = anna.joins(&notes).await;
    assert_eq!(newer.is_closed().await.code, 4009);
    let mut fourth = anna.at(there.address()).joins(&notes).await;
    assert_eq!(third.is_closed().await.code, 4009);
    for node in [here, there] {
        let turned_away = anna.at(node.address()).tries_to_join(&notes).await;
        let close = turned_away.err().expect("the duel is over");
        assert_eq!(close.code, 4009);
    }
    fourth.still_works().await;
}

#[tokio::test]
async fn where_the_setting_says_so_whoever_is_connected_at_any_node_stays() {
    let City { nodes, .. } = city_where(|settings| {
        settings.connections.connections_per_chat = ConnectionRule::Reject;
    })
    .await;
    let [here, there] = &nodes;
    let anna = here.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut first = anna.joins(&notes).await;
    let refused = anna.at(there.address()).tries_to_join(&notes).await;
    assert_eq!(refused.err().expect("one is there").code, 4009);
    first.still_works().await;
    first.hangs_up().await;
    until("the place to be free", || async {
        let newcomer = anna.at(there.address()).tries_to_join(&notes).await;
        newcomer.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn sends_are_counted_over_all_nodes_and_a_node_counts_alone_while_it_cannot_ask() {
    let City { nodes, town } = city_where(|settings| {
        settings.limits.messages_per_minute = 4;
    })
    .await;
    let [here, there] = &nodes;
    let anna = here.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    let at_other = anna.at(there.address());
    let sends = async |who: &Person, text: &str| {
        let body = serde_json::json!({"text": text, "client_id": text});
        let target = format!("/api/chats/{trip}/messages/");
        who.post(&target, body).await.status
    };
    assert_eq!(sends(&anna, "one").await, 201);
    assert_eq!(sends(&at_other, "two").await, 201);
    // A repeat costs nothing, at whatever node.
    assert_eq!(sends(&at_other, "one").await, 200);
    assert_eq!(sends(&anna, "three").await, 201);
    assert_eq!(sends(&at_other, "four").await, 201);
    assert_eq!(sends(&anna, "five").await, 429);
    assert_eq!(sends(&at_other, "five").await, 429);
    assert_eq!(
        sends(&at_other, "three").await,
        200,
        "a repeat over the limit"
    );
    town.is_away(true);
    assert_eq!(sends(&anna, "six").await, 201);
    assert_eq!(sends(&anna, "seven").await, 201);
    assert_eq!(
        sends(&anna, "eight").await,
        429,
        "four were sent by this node"
    );
    town.is_away(false);
    until("the other node to count them again", || async {
        (sends(&at_other, "nine").await == 429).then_some(())
    })
    .await;
}

#[tokio::test]
async fn failed_sign_ins_are_counted_over_all_nodes() {
    let City { nodes, .. } = city_where(|settings| settings.limits.signin_failures = 3).await;
    let [here, there] = &nodes;
    let anna = here.user("anna").await;
    let body = serde_json::json!({"username": "anna", "password": "not hers"});
    for (node, status) in [
        (here, 401),
        (there, 401),
        (here, 401),
        (there, 429),
        (here, 429),
    ] {
        let person = anna.at(node.address());
        let reply = person.post("/api/token/", body.clone()).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
}

#[tokio::test]
async fn failed_sign_ins_are_still_counted_when_what_nodes_hold_in_common_is_lost() {
    let City { nodes, town } = city_where(|settings| settings.limits.signin_failures = 3).await;
    let [here, there] = &nodes;
    let anna = here.user("anna").await;
    let tries = async |node: &Server, password: &str| {
        let body = serde_json::json!({"username": "anna", "password": password});
        anna.at(node.address()).post("/api/token/", body).await
    };
    for node in [here, there, here] {
        assert_eq!(tries(node, "not hers").await.status, 401);
    }
    town.forgets_all();
    for node in [here, there] {
        until("the failures to be known again", || async {
            (tries(node, PASSWORD).await.status == 429).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_node_in_trouble_forgets_is_told_anew() {
    let City { nodes, town } = city().await;
    let [here, there] = &nodes;
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let (mut annas, _) = joins(&anna, &trip).await;
    let (_boriss, _) = joins(&boris.at(there.address()), &trip).await;
    annas.hears("user_online").await;
    town.forgets_all();
    // Nobody is said to have gone: a new look from the other node finds both.
    let at_other = anna.at(there.address());
    until("all to be known again", || async {
        let page = anna.get(&format!("/api/users/{}/", boris.id)).await;
        (page.expect(200)["is_online"] == true).then_some(())
    })
    .await;
    let (_second, list) = joins(&at_other, &trip).await;
    assert_eq!(list, ["anna", "boris"]);
    assert!(NODE_SILENT_AFTER.as_secs() <= 15);
}
