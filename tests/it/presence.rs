//! Who is in a chat: told to each newcomer as a list, then to all by who comes and goes, per user.

use serde_json::{Value, json};
use tertulia::settings::ConnectionRule;

use crate::support::{Chat, Person, Phone, Server, until};

async fn joins(person: &Person, chat: &Chat) -> (Phone, Value) {
    let mut phone = person.joins(chat).await.hears_presence();
    let list = phone.hears("presence").await;
    (phone, list)
}

fn names(list: &Value) -> Vec<&str> {
    let users = list["users"].as_array().expect("users");
    let mut names: Vec<&str> = users
        .iter()
        .map(|user| user["username"].as_str().expect("a name"))
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_newcomer_is_given_the_list_and_the_others_are_told_of_the_newcomer() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let (mut annas, list) = joins(&anna, &trip).await;
    let alone = json!({"type": "presence", "users": [{"id": anna.id, "username": "anna"}]});
    assert_eq!(list, alone);
    let (boriss, list) = joins(&boris, &trip).await;
    assert_eq!(names(&list), ["anna", "boris"]);
    let online = json!({
        "type": "user_online", "user_id": boris.id, "username": "boris", "last_seen": null,
    });
    assert_eq!(annas.next_frame().await, online);
    boriss.hangs_up().await;
    let offline = annas.hears("user_offline").await;
    assert_eq!(
        (&offline["user_id"], &offline["username"]),
        (&json!(boris.id), &json!("boris"))
    );
    assert!(offline["last_seen"].is_string(), "{offline}");
    annas.still_works().await;
}

#[tokio::test]
async fn a_second_phone_is_silent_and_so_is_its_end() {
    let rule = |settings: &mut tertulia::settings::Settings| {
        settings.connections.connections_per_chat = ConnectionRule::Many;
    };
    let server = Server::start_with(rule).await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let (mut annas, _) = joins(&anna, &trip).await;
    let (first, _) = joins(&boris, &trip).await;
    annas.hears("user_online").await;
    let (mut second, list) = joins(&boris, &trip).await;
    assert_eq!(names(&list), ["anna", "boris"]);
    first.loses_network().await;
    second.says("still here").await;
    assert_eq!(annas.next_message().await.text, "still here");
    second.hears("message").await;
    second.loses_network().await;
    annas.hears("user_offline").await;
}

#[tokio::test]
async fn a_connection_that_takes_anothers_place_is_not_told_as_a_coming_or_a_going() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let (mut annas, _) = joins(&anna, &trip).await;
    let (mut older, _) = joins(&boris, &trip).await;
    annas.hears("user_online").await;
    let (mut newer, _) = joins(&boris, &trip).await;
    assert_eq!(older.is_closed().await.code, 4009);
    newer.says("the same one").await;
    annas.hears("message").await;
}

#[tokio::test]
async fn more_users_than_a_list_names_are_counted() {
    let limit =
        |settings: &mut tertulia::settings::Settings| settings.connections.presence_limit = 2;
    let server = Server::start_with(limit).await;
    let [anna, boris, vera] = server.users(["anna", "boris", "vera"]).await;
    let trip = anna.creates_group("trip", [&boris, &vera]).await;
    let (mut annas, _) = joins(&anna, &trip).await;
    let (_boriss, list) = joins(&boris, &trip).await;
    assert_eq!(list.get("count"), None, "{list}");
    annas.hears("user_online").await;
    let (veras, list) = joins(&vera, &trip).await;
    assert_eq!((names(&list).len(), &list["count"]), (2, &json!(3)));
    assert_eq!(
        annas.next_frame().await,
        json!({"type": "presence", "count": 3})
    );
    // Where all can be named again, they are.
    veras.hangs_up().await;
    let list = annas.hears("presence").await;
    assert_eq!(names(&list), ["anna", "boris"]);
    assert_eq!(list.get("count"), None, "{list}");
}

#[tokio::test]
async fn who_catches_up_is_given_the_list_at_its_end() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    boris.says(&trip, "one").await;
    annas.hears("message").await;
    let seq = annas.hangs_up().await;
    boris.says(&trip, "two").await;
    let mut annas = anna.joins_since(&trip, seq).await.hears_presence();
    annas.hears("message").await;
    annas.hears("synced").await;
    assert_eq!(names(&annas.hears("presence").await), ["anna"]);
    annas.syncs(seq).await;
    annas.hears("message").await;
    annas.hears("synced").await;
    assert_eq!(names(&annas.hears("presence").await), ["anna"]);
}

#[tokio::test]
async fn who_is_removed_is_gone_and_one_room_knows_nothing_of_another() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let other = anna.creates_group("other", [&boris]).await;
    let (mut annas, _) = joins(&anna, &trip).await;
    let (mut boriss, _) = joins(&boris, &trip).await;
    annas.hears("user_online").await;
    let (_elsewhere, list) = joins(&boris, &other).await;
    assert_eq!(names(&list), ["boris"]);
    anna.removes(&trip, &boris).await;
    assert_eq!(boriss.is_closed_at_last().await.code, 4003);
    annas.hears("member_left").await;
    annas.hears("user_offline").await;
    let page = anna.get(&format!("/api/users/{}/", boris.id)).await;
    let page = page.expect(200);
    assert_eq!(
        (&page["is_online"], &page["last_seen"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn whoever_has_any_socket_open_is_online_and_was_seen_when_the_last_one_closed() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    anna.creates_group("trip", [&boris]).await;
    let seen = || async {
        let page = anna.get(&format!("/api/users/{}/", boris.id)).await;
        let page = page.expect(200);
        (page["is_online"] == true, page["last_seen"].clone())
    };
    assert_eq!(seen().await, (false, Value::Null));
    let lobby = boris.handshake_at("/ws/lobby/").open().await;
    let mut lobby = lobby.expect("a socket");
    // He is known by the time that he is answered.
    lobby.sends_text("{}").await;
    lobby.hears("error").await;
    assert_eq!(seen().await, (true, Value::Null));
    lobby.closes().await;
    let last_seen = until("boris to be gone", || async {
        let (is_online, last_seen) = seen().await;
        (!is_online).then_some(last_seen)
    })
    .await;
    assert!(last_seen.is_string(), "{last_seen}");
}

#[tokio::test]
async fn comings_and_goings_are_told_on_every_node() {
    let layer = std::sync::Arc::new(tertulia::layer::MemoryLayer::default());
    let [here, there] = Server::two_nodes(layer).await;
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let (mut annas, _) = joins(&anna, &trip).await;
    let boris = boris.at(there.address());
    let (boriss, _) = joins(&boris, &trip).await;
    let told = annas.hears("user_online").await;
    assert_eq!(told["user_id"], boris.id);
    boriss.hangs_up().await;
    annas.hears("user_offline").await;
}
