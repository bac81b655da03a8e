//! Rooms by their names: who comes in, in what order they are told, and what a room's frames say.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Ws;

use crate::support::{Chat, Close, Person, Phone, Server, look_around};

/// A socket at this address, nothing heard yet.
async fn opens(person: &Person, target: &str) -> Phone {
    let mut phone = person.handshake_at(target).open().await.expect("a socket");
    phone.name = format!("{} at {target}", person.name);
    phone
}

/// A socket in a room, everything heard until its own user's coming.
async fn comes_to(person: &Person, target: &str) -> (Phone, Vec<Value>) {
    let mut phone = opens(person, target).await;
    let mut told = Vec::new();
    let id = json!(person.id.to_string());
    loop {
        let frame = phone.next_frame().await;
        let is_last = frame["type"] == "user_join" && frame["user_id"] == id;
        told.push(frame);
        if is_last {
            return (phone, told);
        }
    }
}

async fn is_refused(person: &Person, target: &str) -> Close {
    opens(person, target).await.is_closed().await
}

/// The room's number, as a member sees it over REST.
async fn room(person: &Person, name: &str) -> Chat {
    let rooms = person.get("/api/chats/?kind=room").await.expect(200);
    let rooms = rooms["results"].as_array().expect("results");
    let room = rooms.iter().find(|room| room["name"] == name);
    let id = room.and_then(|room| room["id"].as_i64());
    Chat {
        id: id.unwrap_or_else(|| panic!("{} is in no room {name}", person.name)),
    }
}

async fn says(phone: &mut Phone, text: &str) {
    phone.sends(json!({"message": text})).await;
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames
        .iter()
        .map(|frame| frame["type"].as_str().expect("a type"))
        .collect()
}

fn texts(frames: &[Value]) -> Vec<&str> {
    let said = frames
        .iter()
        .filter(|frame| frame["type"] == "chat_message");
    said.map(|frame| frame["message"].as_str().expect("a message"))
        .collect()
}

#[tokio::test]
async fn a_newcomer_is_told_who_is_there_then_what_was_said_then_that_they_came() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (mut annas, told) = comes_to(&anna, "/ws/chat/general/").await;
    assert_eq!(kinds(&told), ["room_users_list", "user_join"]);
    says(&mut annas, "one").await;
    says(&mut annas, "two").await;
    let one = annas.hears("chat_message").await;
    annas.hears("chat_message").await;

    let (mut boriss, told) = comes_to(&boris, "/ws/chat/general/").await;
    let list = json!({"type": "room_users_list", "users": [
        {"id": anna.id.to_string(), "username": "anna"},
        {"id": boris.id.to_string(), "username": "boris"},
    ]});
    assert_eq!(told[0], list);
    assert_eq!(told[1], one, "a history shows what was told live");
    assert_eq!(texts(&told), ["one", "two"]);
    let join = json!({"type": "user_join", "user_id": boris.id.to_string(), "username": "boris"});
    assert_eq!(annas.next_frame().await, join);
    boriss.sends(json!({"message": "three"})).await;
    assert_eq!(annas.hears("chat_message").await["message"], "three");
    boriss.closes().await;
    let leave = json!({"type": "user_leave", "user_id": boris.id.to_string(), "username": "boris"});
    assert_eq!(annas.next_frame().await, leave);
}

#[tokio::test]
async fn who_comes_first_makes_the_room_and_who_comes_is_a_member() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (_annas, _) = comes_to(&anna, "/ws/room/Общая%20комната/").await;
    let (_boriss, _) = comes_to(&boris, "/ws/chat/ОБЩАЯ%20комната").await;
    let general = room(&boris, "Общая комната").await;
    let members = anna.get(&format!("/api/chats/{general}/members/")).await;
    let members = members.expect(200);
    let role = |at: usize| members["results"][at]["role"].clone();
    assert_eq!(
        (&members["count"], role(0), role(1)),
        (&json!(2), json!("owner"), json!("member"))
    );
    let rooms = boris.get("/api/chats/?kind=room").await.expect(200);
    assert_eq!(rooms["count"], 1, "names that differ in case are one room");
}

#[tokio::test]
async fn all_dialects_of_a_room_see_the_same() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (mut annas, _) = comes_to(&anna, "/ws/room/general/").await;
    let (boriss, _) = comes_to(&boris, "/ws/room/general/").await;
    annas.hears("user_join").await;
    let general = room(&anna, "general").await;
    let mut chats = boris.joins(&general).await;
    boriss.closes().await;
    // He is still there, by his other socket: what comes next is what he says there.
    chats.says("by number").await;
    let said = chats.next_message().await;
    let heard = annas.hears("chat_message").await;
    assert_eq!(
        (&heard["message_id"], &heard["seq"], &heard["sender_id"]),
        (
            &json!(said.id),
            &json!(said.seq),
            &json!(boris.id.to_string())
        )
    );
    assert_eq!(heard["timestamp"], said.shown["timestamp"]);
    says(&mut annas, "by name").await;
    assert_eq!(chats.next_message().await.text, "by name");
    annas.hears("chat_message").await;
    chats.hangs_up().await;
    annas.hears("user_leave").await;
}

#[tokio::test]
async fn frames_of_the_next_generation_are_understood_and_told() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (mut annas, _) = comes_to(&anna, "/ws/room/general/").await;
    let (mut boriss, _) = comes_to(&boris, "/ws/room/general/").await;
    annas.hears("user_join").await;
    annas
        .sends(json!({"type": "typing", "is_typing": true}))
        .await;
    annas
        .sends(json!({"type": "message", "content": "Hello"}))
        .await;
    let typing = json!({
        "type": "typing_indicator", "user": "anna", "user_id": anna.id.to_string(),
        "room": "general", "is_typing": true,
    });
    assert_eq!(boriss.next_frame().await, typing);
    let said = boriss.hears("chat_message").await;
    // To others only.
    assert_eq!(annas.next_frame().await, said);

    let general = room(&anna, "general").await;
    let target = format!("/api/chats/{general}/messages/{}/", said["message_id"]);
    anna.patch(&target, json!({"text": "Hello all"}))
        .await
        .expect(200);
    let edited = boriss.hears("message_edited").await;
    assert!(edited["edited_at"].is_string());
    let shown = json!({
        "type": "message_edited", "message_id": said["message_id"], "new_content": "Hello all",
        "edited_at": edited["edited_at"], "sender_id": anna.id.to_string(),
        "sender_username": "anna", "seq": edited["seq"],
    });
    assert_eq!(edited, shown);
    anna.delete(&target).await.expect(204);
    let deleted = boriss.hears("message_deleted").await;
    assert_eq!(deleted["message_id"], said["message_id"]);

    let (_again, told) = comes_to(&boris, "/ws/room/general/").await;
    let in_history = &told[1];
    assert_eq!(
        (&in_history["message"], &in_history["is_deleted"]),
        (&json!(""), &json!(true))
    );
}

#[tokio::test]
async fn a_history_is_as_long_as_the_client_asks_for() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let anna = server.user("anna").await;
    let (mut annas, _) = comes_to(&anna, "/ws/room/general/").await;
    for number in 1..=60 {
        says(&mut annas, &number.to_string()).await;
        annas.hears("chat_message").await;
    }
    for (query, count) in [
        ("", 50),
        ("?history=2", 2),
        ("?history=0", 0),
        ("?history=500", 60),
        ("?history=9999", 60),
        ("?history=many", 50),
    ] {
        let (_phone, told) = comes_to(&anna, &format!("/ws/room/general/{query}")).await;
        let texts = texts(&told);
        let wanted: Vec<String> = (61 - count..=60).map(|n: i32| n.to_string()).collect();
        assert_eq!(texts, wanted, "{query:?}");
    }
}

#[tokio::test]
async fn who_comes_back_is_told_what_they_missed_and_no_more() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (mut annas, _) = comes_to(&anna, "/ws/room/general/").await;
    let (boriss, _) = comes_to(&boris, "/ws/room/general/").await;
    says(&mut annas, "one").await;
    let seq = annas.hears_at_last("chat_message").await["seq"].clone();
    boriss.closes().await;
    says(&mut annas, "two").await;
    says(&mut annas, "three").await;
    annas.hears_at_last("chat_message").await;
    annas.hears("chat_message").await;
    let (_boriss, told) = comes_to(&boris, &format!("/ws/room/general/?since={seq}")).await;
    assert_eq!(
        kinds(&told),
        [
            "room_users_list",
            "chat_message",
            "chat_message",
            "user_join"
        ]
    );
    assert_eq!(texts(&told), ["two", "three"]);
    // What can't be resumed begins anew.
    for since in ["9999", "-1", "x"] {
        let target = format!("/ws/room/general/?history=1&since={since}");
        let (_phone, told) = comes_to(&boris, &target).await;
        assert_eq!(texts(&told), ["three"], "{since}");
    }
}

#[tokio::test]
async fn who_is_more_than_a_thousand_behind_gets_the_history_as_at_first() {
    let server = Server::start_with(|settings| {
        settings.limits.messages_per_minute = 0;
    })
    .await;
    let anna = server.user("anna").await;
    let (mut annas, _) = comes_to(&anna, "/ws/room/general/").await;
    for number in 1..=1001 {
        says(&mut annas, &number.to_string()).await;
        annas.hears("chat_message").await;
    }
    let (_phone, told) = comes_to(&anna, "/ws/room/general/?since=0").await;
    assert_eq!(texts(&told).len(), 50);
    let (_phone, told) = comes_to(&anna, "/ws/room/general/?since=1").await;
    assert_eq!(texts(&told).len(), 1000);
}

#[tokio::test]
async fn a_second_tab_is_silent_and_hears_its_own_coming() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (mut annas, _) = comes_to(&anna, "/ws/room/general/").await;
    let (boriss, _) = comes_to(&boris, "/ws/room/general/").await;
    annas.hears("user_join").await;
    let (second, told) = comes_to(&boris, "/ws/room/general/").await;
    assert_eq!(kinds(&told), ["room_users_list", "user_join"]);
    boriss.closes().await;
    says(&mut annas, "marker").await;
    annas.hears("chat_message").await;
    second.closes().await;
    annas.hears("user_leave").await;
}

#[tokio::test]
async fn in_a_crowd_only_the_number_is_told_and_newcomers_still_hear_their_own_coming() {
    let server = Server::start_with(|settings| settings.connections.presence_limit = 1).await;
    let [anna, boris, elon] = server.users(["anna", "boris", "elon"]).await;
    let (annas, _) = comes_to(&anna, "/ws/room/general/").await;
    let mut annas = annas.hears_presence();
    let (_boriss, told) = comes_to(&boris, "/ws/room/general/").await;
    let list = json!({
        "type": "room_users_list", "users": [{"id": boris.id.to_string(), "username": "boris"}],
        "count": 2,
    });
    assert_eq!((&told[0], kinds(&told).len()), (&list, 2));
    let counted = json!({"type": "presence", "count": 2});
    assert_eq!(annas.next_frame().await, counted);
    let mut lobby = opens(&elon, "/ws/lobby/").await;
    let frame = json!({"type": "message", "username": "elon", "room": "general", "message": "Hi"});
    lobby.sends(frame).await;
    assert_eq!(annas.hears("chat_message").await["message"], "Hi");
    assert_eq!(
        lobby.next_frame().await["message"],
        "Hi",
        "a lobby has no frame for numbers"
    );
}

#[tokio::test]
async fn a_crowd_that_comes_at_once_costs_each_a_few_frames() {
    const PEOPLE: usize = 80;
    const NAMED: usize = 10;
    let server = Server::start_with(|settings| {
        settings.connections.presence_limit = NAMED;
    })
    .await;
    let mut people = Vec::with_capacity(PEOPLE);
    for number in 0..PEOPLE {
        people.push(server.user(&format!("p{number}")).await);
    }
    let members: Vec<i64> = people.iter().map(|person| person.id).collect();
    let new = json!({"kind": "room", "name": "square", "members": members[1..]});
    let square = people[0].creates(new).await;
    let coming = people
        .iter()
        .map(|person| comes_to(person, "/ws/room/square/"));
    let crowd = futures_util::future::join_all(coming).await;
    people[0].says(&square, "marker").await;
    let mut frames = 0;
    for (phone, told) in crowd {
        let mut phone = phone.hears_presence();
        frames += told.len() + 1;
        while phone.next_frame().await["message"] != "marker" {
            frames += 1;
        }
    }
    println!("{PEOPLE} came at once: {frames} frames");
    assert!(frames < PEOPLE * (NAMED + 5), "{frames} frames");
}

#[tokio::test]
async fn a_room_that_is_not_open_to_somebody_is_not_found() {
    let server = Server::start().await;
    let [anna, boris, vera] = server.users(["anna", "boris", "vera"]).await;
    let (_annas, _) = comes_to(&anna, "/ws/room/general/").await;
    let (mut boriss, _) = comes_to(&boris, "/ws/room/general/").await;
    let general = room(&anna, "general").await;

    anna.removes(&general, &boris).await;
    assert_eq!(boriss.is_closed_at_last().await.code, 4003);
    let close = is_refused(&boris, "/ws/room/general/").await;
    assert_eq!((close.code, &*close.reason), (4000, "No such room"));
    // Barred until somebody adds him again.
    anna.adds(&general, &boris).await;
    let (_boriss, _) = comes_to(&boris, "/ws/room/general/").await;

    anna.patch(
        &format!("/api/chats/{general}/"),
        json!({"is_private": true}),
    )
    .await
    .expect(200);
    assert_eq!(is_refused(&vera, "/ws/room/general/").await.code, 4000);
    anna.adds(&general, &vera).await;
    let (_veras, _) = comes_to(&vera, "/ws/room/general/").await;
}

#[tokio::test]
async fn names_that_can_be_none_and_those_who_are_nobody_are_turned_away() {
    let server = Server::start_with(|settings| settings.limits.rooms_per_hour = 2).await;
    let anna = server.user("anna").await;
    let too_long = "x".repeat(101);
    for name in ["%20", "a%2Fb", "a%0Ab", "a%00b", &too_long] {
        let close = is_refused(&anna, &format!("/ws/room/{name}/")).await;
        assert_eq!(close.code, 4000, "{name:?}");
    }
    // All digits are a chat's number under /ws/chat/, and a room's name under /ws/room/.
    assert_eq!(is_refused(&anna, "/ws/chat/1234/").await.code, 4004);
    assert_eq!(is_refused(&anna, "/ws/chat/%31%32/").await.code, 4000);
    let (_phone, _) = comes_to(&anna, "/ws/room/1234/").await;
    let longest = "я".repeat(100);
    let (_phone, _) = comes_to(&anna, &format!("/ws/room/{longest}/")).await;
    assert_eq!(is_refused(&anna, "/ws/room/third/").await.code, 4000);
    let nobody = server.handshake("/ws/room/general/").open().await;
    assert_eq!(nobody.expect("a socket").is_closed().await.code, 4001);
    let forged = server.handshake("/ws/chat/general/?token=x").open().await;
    assert_eq!(forged.expect("a socket").is_closed().await.code, 4001);
}

#[tokio::test]
async fn a_deleted_rooms_sockets_end_and_its_name_is_free() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (_annas, _) = comes_to(&anna, "/ws/room/general/").await;
    let (mut boriss, _) = comes_to(&boris, "/ws/room/general/").await;
    anna.deletes_chat(&room(&anna, "general").await).await;
    assert_eq!(boriss.is_closed_at_last().await.code, 4010);
    let (_boriss, told) = comes_to(&boris, "/ws/room/general/").await;
    assert_eq!(kinds(&told), ["room_users_list", "user_join"]);
    room(&boris, "general").await;
}

#[tokio::test]
async fn every_wrong_frame_is_told_so_and_harms_nothing() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let missing = "Message content is missing";
    let not_json = "Invalid JSON format received";
    let too_long = json!({"message": "x".repeat(1001)}).to_string();
    let cases = [
        ("hello", not_json),
        ("{", not_json),
        ("null", not_json),
        ("[]", not_json),
        ("7", not_json),
        ("\"message\"", not_json),
        (r#"{"message": "\ud800"}"#, not_json),
        ("{}", missing),
        (r#"{"message": ""}"#, missing),
        (r#"{"message": " \n "}"#, missing),
        (r#"{"message": null}"#, missing),
        (r#"{"message": 7}"#, missing),
        (r#"{"message": true}"#, missing),
        (r#"{"message": ["a"]}"#, missing),
        (r#"{"message": {"a": 1}}"#, missing),
        (r#"{"type": "message"}"#, missing),
        (r#"{"type": "message", "content": 7}"#, missing),
        (r#"{"type": "join", "room": "other"}"#, missing),
        (r#"{"type": 7}"#, missing),
        (
            r#"{"type": "typing", "is_typing": 7}"#,
            "is_typing must be true or false",
        ),
        (
            r#"{"message": "a\u0000b"}"#,
            "Null characters are not allowed.",
        ),
        (
            &too_long,
            "Message text cannot be longer than 1000 characters",
        ),
    ];
    // 20 errors in 10 s end a connection, as everywhere.
    for cases in cases.chunks(15) {
        let (mut phone, _) = comes_to(&anna, "/ws/room/general/").await;
        for (frame, text) in cases {
            phone.sends_text(frame).await;
            assert_eq!(phone.next_frame().await, json!({"error": text}), "{frame}");
        }
        says(&mut phone, "fine").await;
        assert_eq!(phone.hears("chat_message").await["message"], "fine");
    }
}

#[tokio::test]
async fn too_much_too_fast_binary_and_oversized_frames_are_refused() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 3).await;
    let anna = server.user("anna").await;
    let (mut phone, _) = comes_to(&anna, "/ws/room/general/").await;
    for text in ["1", "2", "3"] {
        says(&mut phone, text).await;
        phone.hears("chat_message").await;
    }
    says(&mut phone, "4").await;
    let error = json!({"error": "Too many messages: at most 3 per minute"});
    assert_eq!(phone.next_frame().await, error);
    for _ in 0..100 {
        phone
            .sends(json!({"type": "typing", "is_typing": true}))
            .await;
    }
    assert_eq!(
        phone.next_frame().await,
        json!({"error": "Too many requests"})
    );
    assert_eq!(phone.is_closed_at_last().await.code, 4029);

    let (mut phone, _) = comes_to(&anna, "/ws/room/general/").await;
    phone.sends_raw(Ws::binary(b"{}".to_vec())).await;
    assert_eq!(phone.is_closed_at_last().await.code, 1003);
    let (mut phone, _) = comes_to(&anna, "/ws/room/general/").await;
    phone.sends_text(&" ".repeat(64 * 1024 + 1)).await;
    assert_eq!(phone.is_closed_at_last().await.code, 1009);
}

#[tokio::test]
async fn nobody_speaks_types_or_joins_as_another() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (mut annas, _) = comes_to(&anna, "/ws/room/general/").await;
    let (mut boriss, told) = comes_to(&boris, "/ws/room/general/?user_id=1&username=anna").await;
    assert_eq!(told.last().expect("frames")["username"], "boris");
    annas.hears("user_join").await;
    boriss
        .sends(json!({
            "message": "I am anna", "sender_id": anna.id.to_string(), "sender_username": "anna",
            "user_id": anna.id, "username": "anna", "room": "other",
        }))
        .await;
    let heard = annas.hears("chat_message").await;
    assert_eq!(
        (&heard["sender_username"], &heard["sender_id"]),
        (&json!("boris"), &json!(boris.id.to_string()))
    );
    boriss
        .sends(json!({"type": "typing", "is_typing": true, "user": "anna", "user_id": anna.id}))
        .await;
    assert_eq!(annas.hears("typing_indicator").await["user"], "boris");
}

#[tokio::test]
async fn while_the_database_takes_nothing_a_send_is_refused_and_the_socket_stays() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let (mut phone, _) = comes_to(&anna, "/ws/room/general/").await;
    let database = look_around::open(server.database()).await;
    let held = look_around::holds(&database).await;
    says(&mut phone, "meanwhile").await;
    let refused = json!({"error": "Service temporarily unavailable"});
    assert_eq!(phone.next_frame().await, refused);
    held.rollback().await.expect("the database back");
    says(&mut phone, "after").await;
    // What was refused may have been committed all the same.
    while phone.hears("chat_message").await["message"] != "after" {}
}

#[tokio::test]
async fn whoever_takes_another_name_speaks_and_types_under_it_on_a_socket_that_was_open_before() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (mut annas, _) = comes_to(&anna, "/ws/room/general/").await;
    let (mut boriss, _) = comes_to(&boris, "/ws/room/general/").await;
    annas.hears("user_join").await;
    boris
        .patch("/api/users/me/", json!({"username": "bob"}))
        .await
        .expect(200);
    says(&mut boriss, "call me Bob").await;
    let heard = annas.hears("chat_message").await;
    assert_eq!(
        (&heard["sender_username"], &heard["sender_id"]),
        (&json!("bob"), &json!(boris.id.to_string()))
    );
    boriss
        .sends(json!({"type": "typing", "is_typing": true}))
        .await;
    assert_eq!(annas.hears("typing_indicator").await["user"], "bob");
}
