//! What must be the same on every database; and databases on servers, which come and go.

use std::time::{Duration, Instant};

use entity::reaction;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, EntityTrait, Statement,
};
use serde_json::{Value, json};
use test_database::Kind;

use crate::support::{
    Caller, Heard, Person, Phone, Server, look_around, person::PASSWORD, person::texts, until,
};

/// Nobody waits longer for an answer.
const IN_TIME: Duration = Duration::from_secs(10);

#[tokio::test]
async fn what_differs_in_case_accent_blank_or_emoji_differs_on_every_database() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let anna = server.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    let mut ids = Vec::new();
    for client_id in ["k", "K", "ķ", "k\u{327}", "😀", "😁", "ß", "ss"] {
        let message = json!({"text": client_id, "client_id": client_id});
        let sent = anna.tries_to_say(&trip, message.clone()).await;
        let first = sent.expect(201)["id"].clone();
        let again = anna.tries_to_say(&trip, message).await.expect(200);
        assert_eq!(again["id"], first, "{client_id:?}");
        ids.push(first);
    }
    let mut different = ids.clone();
    different.dedup();
    assert_eq!(different.len(), ids.len());
    let said = texts(&anna.page(&trip, "").await);
    assert_eq!(said.first().map(String::as_str), Some("ss"));

    let emoji = ["❤", "❤\u{fe0f}", "👍", "👍🏽", "😀", "😁"];
    for emoji in emoji.iter().chain(&emoji) {
        let encoded: String = emoji.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let target = format!("/api/chats/{trip}/messages/{}/reactions/{encoded}/", ids[0]);
        let reply = anna.put(&target).await;
        assert!((200..300).contains(&reply.status), "{}", reply.text());
    }
    let database = look_around::open(server.database()).await;
    let mut kept: Vec<String> = reaction::Entity::find()
        .all(&database)
        .await
        .expect("the reactions")
        .into_iter()
        .map(|row| row.emoji)
        .collect();
    kept.sort();
    let mut wanted = emoji.map(str::to_owned);
    wanted.sort();
    assert_eq!(kept, wanted);
}

#[tokio::test]
async fn rooms_and_names_that_differ_only_in_case_are_the_same_and_others_are_not() {
    let server = Server::start().await;
    let anna = server.user("Anna").await;
    for name in ["cafe", "CAFE", "café", "cafe\u{301}", "😀", "😁"] {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let target = format!("/ws/room/{encoded}/");
        let phone = anna.handshake_at(&target).open().await;
        let mut phone = phone.expect("a socket");
        let first = phone.next_frame().await;
        assert_eq!(first["type"], "room_users_list", "{name}");
    }
    let listed = anna.get("/api/chats/?kind=room").await.expect(200);
    assert_eq!(listed["count"], 4, "{listed}");

    let mut registers = Vec::new();
    for name in ["anna", "ANNA", "ánna", "Änna"] {
        let account = json!({"username": name, "password": PASSWORD});
        let request = crate::support::Request::new("POST", "/api/users/").json(&account);
        registers.push(request.send(server.address()).await.status);
    }
    assert_eq!(registers, [400, 400, 201, 201]);
    // Whose name is written otherwise isn't found by it.
    let pair = json!({"username": "anna", "password": PASSWORD});
    let request = crate::support::Request::new("POST", "/api/token/").json(&pair);
    assert_eq!(request.send(server.address()).await.status, 401);
}

#[tokio::test]
async fn two_nodes_that_hear_nothing_of_each_other_tell_the_same_in_one_order() {
    let one = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let other = one.beside_with(|_| {}).await;
    let [anna, boris] = one.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let boris_there = boris.at(other.address());
    let (mut here, mut there) = (anna.joins(&trip).await, boris_there.joins(&trip).await);
    let says = async |who: &Person| {
        for number in 0..20 {
            who.says(&trip, &format!("{} {number}", who.name)).await;
        }
    };
    tokio::join!(says(&anna), says(&boris_there));
    let heard = tokio::join!(hears(&mut here, 40), hears(&mut there, 40));
    assert_eq!(heard.0, heard.1);
    let mut page = texts(&anna.page(&trip, "?page_size=100").await);
    page.reverse();
    assert_eq!(heard.0, page);
}

async fn hears(phone: &mut Phone, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        texts.push(phone.next_message().await.text);
    }
    texts
}

/// Waits for a frame in which something stands, whatever comes before it.
async fn hears_of(phone: &mut Phone, words: &str) -> Value {
    loop {
        match phone.next().await {
            Heard::Frame(frame) if frame.to_string().contains(words) => return frame,
            Heard::Frame(_) => {}
            Heard::Closed(close) => panic!("{}: {close:?} before {words:?}", phone.name),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_no_connection_is_to_be_had_every_dialect_says_so_in_time_and_goes_on_after_it() {
    if test_database::kind() == Kind::Sqlite {
        return; // that it takes nothing is told in `away`
    }
    let server = Server::behind_proxy().await;
    let proxy = server.proxy();
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let (mut chat, mut boriss) = (anna.joins(&trip).await, boris.joins(&trip).await);
    let mut chats = anna.follows().await;
    let opens = async |target: &str| {
        let phone = anna.handshake_at(target).open().await;
        phone.expect("a socket")
    };
    let (mut room, mut lobby, mut support) = (
        opens("/ws/room/general/").await,
        opens("/ws/lobby/").await,
        opens("/ws/support/").await,
    );
    let mut rpc = Caller::is(&server, &boris).await;
    let in_lobby =
        |text: &str| json!({"type": "message", "username": "anna", "room": "r", "message": text});
    let to_support = |text: &str| json!({"method": "message.send", "params": [text], "id": text});
    room.sends(json!({"message": "before"})).await;
    hears_of(&mut room, "before").await;
    lobby.sends(in_lobby("before")).await;
    hears_of(&mut lobby, "before").await;
    support
        .sends(json!({"method": "message.auth", "params": [], "id": 1}))
        .await;
    support.sends(to_support("before")).await;
    hears_of(&mut support, "before").await;

    proxy.refuses();
    let began = Instant::now();
    let over_rest = json!({"text": "over REST", "client_id": "c-2"});
    let by_rpc = json!({"chat_id": trip.id, "content": "by rpc", "content_type": "text"});
    chat.says_as("c-1", "in the chat").await;
    chats
        .sends(json!({"chat_id": trip.id, "text": "in all chats", "client_id": "c-3"}))
        .await;
    room.sends(json!({"message": "in the room"})).await;
    lobby.sends(in_lobby("in the lobby")).await;
    support.sends(to_support("to support")).await;
    boriss.types(true).await;
    chat.hears("typing").await; // what needs no database goes on
    let refused = tokio::join!(
        chat.hears_at_last("error"),
        hears_of(&mut chats, "unavailable"),
        hears_of(&mut room, "Service temporarily unavailable"),
        hears_of(&mut lobby, "Сервис временно недоступен"),
        hears_of(&mut support, "Internal error."),
        rpc.is_refused("sendMessage", by_rpc.clone(), "500"),
        anna.tries_to_say(&trip, over_rest.clone()),
        boris.tries_to_join(&trip),
        server.get("/readyz"),
    );
    assert!(began.elapsed() < IN_TIME, "after {:?}", began.elapsed());
    assert_eq!(refused.0["code"], "unavailable");
    assert_eq!(refused.0["client_id"], "c-1");
    assert_eq!(refused.4["id"], "to support");
    refused.6.expect(503);
    assert!(refused.6.header("retry-after").is_some());
    assert_eq!(refused.7.err().map(|close| close.code), Some(1013));
    refused.8.expect(503);

    proxy.admits();
    until("sends to be taken again", || async {
        let status = anna.tries_to_say(&trip, over_rest.clone()).await.status;
        matches!(status, 200 | 201).then_some(())
    })
    .await;
    server.get("/readyz").await.expect(200);
    chat.says_as("c-1", "in the chat").await;
    hears_of(&mut chat, "in the chat").await;
    hears_of(&mut chats, "over REST").await;
    room.sends(json!({"message": "after"})).await;
    hears_of(&mut room, "after").await;
    lobby.sends(in_lobby("after")).await;
    hears_of(&mut lobby, "after").await;
    support.sends(to_support("after")).await;
    hears_of(&mut support, "after").await;
    rpc.gets("sendMessage", by_rpc).await;
    boris.joins(&trip).await;
}

async fn one_connection(server: &Server) -> DatabaseConnection {
    let mut options = ConnectOptions::new(server.database());
    options.max_connections(1);
    let database = Database::connect(options).await;
    database.expect("one connection")
}

/// Ends all connections to a database but this one, as a server does that restarts.
async fn ends_connections(database: &DatabaseConnection) {
    let backend = database.get_database_backend();
    let sql = match test_database::kind() {
        Kind::Sqlite => return,
        Kind::Postgres => {
            "SELECT pg_terminate_backend(pid)::text AS told FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()"
        }
        Kind::MySql => {
            "SELECT concat('KILL ', id) AS told FROM information_schema.processlist \
             WHERE db = database() AND id <> connection_id()"
        }
    };
    let asked = Statement::from_string(backend, sql);
    let rows = database.query_all_raw(asked).await.expect("connections");
    if test_database::kind() == Kind::MySql {
        for row in rows {
            let kill: String = row.try_get("", "told").expect("a statement");
            // It may have ended by itself.
            let _ended = database.execute_unprepared(&kill).await;
        }
    }
}

#[tokio::test]
async fn connections_that_the_server_ends_are_made_anew_and_no_sender_notices() {
    if test_database::kind() == Kind::Sqlite {
        return; // it has no server
    }
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let anna = server.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    let mut phone = anna.joins(&trip).await;
    let database = one_connection(&server).await;
    for round in 0..5 {
        ends_connections(&database).await;
        let text = format!("round {round}");
        phone.says(&text).await;
        assert_eq!(phone.next_message().await.text, text);
    }
}

#[tokio::test]
async fn a_server_that_only_reads_is_a_database_away_and_one_that_writes_again_is_none() {
    if test_database::kind() != Kind::Postgres {
        return; // elsewhere this can't be had for one database alone
    }
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    let mut phone = anna.joins(&trip).await;
    let database = one_connection(&server).await; // it began as one that writes
    let only_reads = async |only_reads: bool| {
        let sql = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {only_reads}', \
             current_database()); END $$"
        );
        database.execute_unprepared(&sql).await.expect("a setting");
        ends_connections(&database).await;
    };
    only_reads(true).await;
    let began = Instant::now();
    phone.says_as("c-1", "on a standby").await;
    let error = phone.hears("error").await;
    assert_eq!(error["code"], "unavailable");
    assert!(began.elapsed() < IN_TIME, "after {:?}", began.elapsed());
    only_reads(false).await;
    until("sends to be taken again", || async {
        let message = json!({"text": "on a standby", "client_id": "c-1"});
        let status = anna.tries_to_say(&trip, message).await.status;
        matches!(status, 200 | 201).then_some(())
    })
    .await;
    assert_eq!(phone.next_message().await.text, "on a standby");
}
