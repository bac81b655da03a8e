//! The rpc dialect: sign-ins by frame, chats, messages, groups, over one socket.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Caller, Handshake, Server, person::PASSWORD};

async fn two_who_talk() -> (Server, Caller, Caller, i64) {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let mut of_anna = Caller::is(&server, &anna).await;
    let of_boris = Caller::is(&server, &boris).await;
    let with = json!({"contact_value": "boris", "contact_mode": "username"});
    let made = of_anna.gets("createChat", with).await;
    let chat = made["chat_id"].as_i64().expect("a chat's id");
    (server, of_anna, of_boris, chat)
}

fn texts(answer: &Value) -> Vec<&str> {
    let messages = answer["messages"].as_array().expect("messages");
    let texts = messages.iter().map(|message| message["content"].as_str());
    texts.map(|text| text.expect("a text")).collect()
}

fn is_stamp(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").is_ok() && text.len() == 19
}

#[tokio::test]
async fn a_newcomer_registers_writes_to_a_friend_and_reads_the_answer() {
    let server = Server::start().await;
    let boris = server.user("boris").await;
    let mut anna = Caller::connects(&server).await;
    let fields = json!({"username": "anna", "password": PASSWORD, "email": "anna@example.org"});
    let registered = anna.asks_anonymously("register", fields).await;
    assert_eq!(registered["status"], "200");
    assert!(is_stamp(&registered["timestamp"]), "{registered}");
    anna.token = registered["token"].as_str().expect("a token").to_owned();

    let with = json!({"contact_value": boris.id.to_string(), "contact_mode": "id"});
    let made = anna.gets("createPersonalChat", with.clone()).await;
    assert_eq!(made["mode"], "createPersonalChat");
    let again = anna.gets("createChat", with).await;
    assert_eq!(made["chat_id"], again["chat_id"]);
    let chat = made["chat_id"].as_i64().expect("a chat");
    let first = anna.says(chat, "Hello, \"Boris\"!").await;

    let mut boris = Caller::is(&server, &boris).await;
    let listed = boris.gets("getChats", json!({})).await;
    let row = &listed["chats"][0];
    assert!(is_stamp(&row["last_message_time"]), "{row}");
    assert_eq!(
        (&row["chat_id"], &row["chat_name"], &row["chat_type"]),
        (&json!(chat), &json!("anna"), &json!("personal"))
    );
    assert!(row["chat_members"].is_i64(), "{row}");
    assert_eq!(
        (&row["last_message_text"], &row["last_message_sender"]),
        (&json!("Hello, \"Boris\"!"), &json!("anna"))
    );
    let second = boris.says(chat, "Привет").await;

    let read = anna.gets("getMessages", json!({"chat_id": chat})).await;
    assert_eq!(read["messages"], read["chats"]);
    assert_eq!(texts(&read), ["Hello, \"Boris\"!", "Привет"]);
    let message = &read["messages"][1];
    assert_eq!(
        (
            &message["from_name"],
            &message["content_type"],
            &message["message_id"]
        ),
        (&json!("boris"), &json!("text"), &json!(second))
    );
    assert!(is_stamp(&message["content_time"]) && message["from_id"].is_i64());
    assert!(first < second);
}

#[tokio::test]
async fn whoever_polls_gets_what_follows_the_id_that_they_name() {
    let (server, mut anna, mut boris, chat) = two_who_talk().await;
    let other = {
        let carla = server.user("carla").await;
        let with = json!({"contact_value": carla.id, "contact_mode": "id"});
        let made = anna.gets("createChat", with).await;
        made["chat_id"].as_i64().expect("a chat")
    };
    let mut ids = Vec::new();
    for number in 0..30 {
        // Ids of other chats, and numbers that are no messages, lie between.
        anna.says(other, "elsewhere").await;
        ids.push(anna.says(chat, &number.to_string()).await);
        if number % 7 == 3 {
            let edit = json!({"chat_id": chat, "message_id": ids[number], "content": "edited"});
            anna.gets("editMessage", edit).await;
        }
    }
    for asked in 0..=ids[29] + 1 {
        let wanted: Vec<i64> = ids.iter().copied().filter(|id| *id >= asked).collect();
        let fields = json!({"chat_id": chat.to_string(), "min_message_id": asked});
        let mut asking = boris.asks("getMessages", fields.clone()).await;
        while asking["status"] == "429" {
            tokio::time::sleep(Duration::from_millis(200)).await;
            asking = boris.asks("getMessages", fields.clone()).await;
        }
        let got = asking["messages"].as_array().expect("messages").iter();
        let got: Vec<i64> = got.map(|it| it["message_id"].as_i64().unwrap()).collect();
        assert_eq!(got, wanted, "from {asked}");
    }
}

#[tokio::test]
async fn what_was_deleted_is_left_out_and_what_was_edited_has_its_new_text() {
    let (_server, mut anna, mut boris, chat) = two_who_talk().await;
    let first = anna.says(chat, "Превет").await;
    let second = anna.says(chat, "oops").await;
    let edit = json!({"chat_id": chat, "message_id": first, "content": "Привет"});
    anna.gets("editMessage", edit.clone()).await;
    boris.is_refused("editMessage", edit, "423").await;
    let delete = json!({"chat_id": chat, "message_id": second});
    boris
        .is_refused("deleteMessage", delete.clone(), "423")
        .await;
    anna.gets("deleteMessage", delete.clone()).await;
    anna.is_refused("deleteMessage", delete, "422").await;
    let read = boris.gets("getMessages", json!({"chat_id": chat})).await;
    assert_eq!(texts(&read), ["Привет"]);
    boris.gets("readMessages", json!({"chat_id": chat})).await;
    boris
        .gets(
            "readMessages",
            json!({"chat_id": chat, "message_id": first}),
        )
        .await;
}

#[tokio::test]
async fn a_group_is_made_renamed_filled_emptied_and_deleted() {
    let server = Server::start().await;
    let [anna, boris, carla] = server.users(["anna", "boris", "carla"]).await;
    let (anna_id, boris_id, carla_id) = (anna.id, boris.id, carla.id);
    let mut anna = Caller::is(&server, &anna).await;
    let mut boris = Caller::is(&server, &boris).await;
    let mut carla = Caller::is(&server, &carla).await;
    let made = anna
        .gets(
            "createGroup",
            json!({"name": "trip", "members": [boris_id]}),
        )
        .await;
    let chat = made["chat_id"].as_i64().expect("a chat");
    let sends = json!({"chat_id": chat, "content": "Where to?", "content_type": "text"});
    boris.gets("sendGroupMessage", sends.clone()).await;
    let stranger = carla.is_refused("sendGroupMessage", sends, "423").await;
    assert_eq!(stranger["message_id"], Value::Null);

    let edit = json!({"chat_id": chat, "name": "journey", "add": [carla_id.to_string()]});
    boris.is_refused("editGroup", edit.clone(), "423").await;
    anna.gets("editGroup", edit).await;
    let listed = carla.gets("getChats", json!({})).await;
    let row = &listed["chats"][0];
    let members = format!("{anna_id},{boris_id},{carla_id}");
    assert_eq!(
        (&row["chat_name"], &row["chat_type"], &row["chat_members"]),
        (&json!("journey"), &json!("group"), &json!(members))
    );

    let remove = json!({"chat_id": chat, "remove": boris_id});
    anna.gets("editGroup", remove).await;
    let gone = boris
        .is_refused("getMessages", json!({"chat_id": chat}), "423")
        .await;
    assert_eq!(
        (&gone["messages"], &gone["chats"]),
        (&json!([]), &json!([]))
    );
    let nothing = anna
        .is_refused("editGroup", json!({"chat_id": chat}), "422")
        .await;
    assert_eq!(
        nothing["error_msg"],
        "field(s) name, add, remove not provided"
    );

    carla
        .is_refused("deleteGroup", json!({"chat_id": chat}), "423")
        .await;
    anna.gets("deleteGroup", json!({"chat_id": chat})).await;
    let listed = carla.gets("getChats", json!({})).await;
    assert_eq!(listed["chats"], json!([]));
}

#[tokio::test]
async fn a_personal_chat_is_hidden_from_whoever_deletes_it_until_somebody_speaks() {
    let (_server, mut anna, mut boris, chat) = two_who_talk().await;
    anna.says(chat, "old").await;
    anna.is_refused("deleteGroup", json!({"chat_id": chat}), "423")
        .await;
    anna.gets("deleteChat", json!({"chat_id": chat})).await;
    assert_eq!(anna.gets("getChats", json!({})).await["chats"], json!([]));
    let read = boris.gets("getMessages", json!({"chat_id": chat})).await;
    assert_eq!(texts(&read), ["old"]);
    boris.says(chat, "new").await;
    let read = anna.gets("getMessages", json!({"chat_id": chat})).await;
    assert_eq!(texts(&read), ["new"]);
    let all = anna
        .gets("getMessages", json!({"chat_id": chat, "min_message_id": 0}))
        .await;
    assert_eq!(texts(&all), ["new"]);
}

#[tokio::test]
async fn there_is_nobody_to_talk_to_but_others_who_exist() {
    let (server, mut anna, _boris, _) = two_who_talk().await;
    let me = server.get("/healthz").await;
    assert_eq!(me.status, 200);
    for (value, mode) in [
        (json!("anna"), "username"),
        (json!("Anna"), "username"),
        (json!("nobody"), "username"),
        (json!(""), "username"),
        (json!(999_999), "id"),
        (json!("0"), "id"),
    ] {
        let with = json!({"contact_value": value, "contact_mode": mode});
        let refused = anna.is_refused("createChat", with, "409").await;
        assert_eq!(refused["chat_id"], Value::Null, "{refused}");
    }
    let group = json!({"name": "x", "members": [999_999]});
    anna.is_refused("createGroup", group, "409").await;
    let with = json!({"contact_value": "boris", "contact_mode": "nickname"});
    anna.is_refused("createChat", with, "422").await;
}

#[tokio::test]
async fn names_that_others_have_and_passwords_that_are_weak_are_told_apart() {
    let server = Server::start().await;
    server.user("anna").await;
    let mut caller = Caller::connects(&server).await;
    let fields = |name: &str, password: &str, email: &str| json!({"username": name, "password": password, "email": email});
    let free = fields("boris", PASSWORD, "boris@example.org");
    let mut cases = vec![(fields("Anna", PASSWORD, "a@example.org"), "409")];
    cases.push((fields("carla", "short", "c@example.org"), "422"));
    cases.push((fields("carla", PASSWORD, "no address"), "422"));
    cases.push((fields("carla", PASSWORD, ""), "422"));
    cases.push((fields("", PASSWORD, "c@example.org"), "422"));
    cases.push((fields("c c", PASSWORD, "c@example.org"), "422"));
    cases.push((free, "200"));
    cases.push((fields("carla", PASSWORD, "BORIS@example.org"), "409"));
    for (fields, status) in cases {
        let answer = caller.asks_anonymously("register", fields).await;
        assert_eq!(answer["status"], status, "{answer}");
        assert_eq!(answer["token"].is_string(), status == "200", "{answer}");
    }
}

#[tokio::test]
async fn where_nobody_registers_the_method_is_not_there() {
    let server = Server::start_with(|settings| {
        settings.accounts.registration = tertulia::settings::Registration::Closed;
    })
    .await;
    let mut caller = Caller::connects(&server).await;
    let fields = json!({"username": "anna", "password": PASSWORD, "email": "a@example.org"});
    let answer = caller.asks_anonymously("register", fields).await;
    assert_eq!(
        (&answer["status"], &answer["token"]),
        (&json!("501"), &Value::Null)
    );
}

#[tokio::test]
async fn a_sign_in_by_a_wrong_password_is_refused_and_slowed_down() {
    let server = Server::start_with(|settings| settings.limits.signin_failures = 3).await;
    server.user("anna").await;
    let mut caller = Caller::connects(&server).await;
    let wrong = json!({"username": "anna", "password": "wrong password"});
    for _ in 0..3 {
        let answer = caller.asks_anonymously("auth", wrong.clone()).await;
        assert_eq!(
            (&answer["status"], &answer["token"]),
            (&json!("401"), &Value::Null)
        );
    }
    let right = json!({"username": "anna", "password": PASSWORD});
    let answer = caller.asks_anonymously("auth", right).await;
    assert_eq!(answer["status"], "429");
    assert!(
        answer["retry_after"]
            .as_i64()
            .is_some_and(|wait| wait > 500),
        "{answer}"
    );
}

#[tokio::test]
async fn one_session_too_many_is_refused_until_one_ends() {
    let server = Server::start_with(|settings| settings.limits.max_sessions = 2).await;
    let anna = server.user("anna").await;
    let mut phone = Caller::is(&server, &anna).await;
    let _laptop = Caller::is(&server, &anna).await;
    let mut third = Caller::connects(&server).await;
    let fields = json!({"username": "anna", "password": PASSWORD});
    let answer = third.asks_anonymously("auth", fields.clone()).await;
    assert_eq!(
        (&answer["status"], &answer["token"]),
        (&json!("403"), &Value::Null)
    );
    anna.signs_in().await; // REST's sign-ins are not counted
    phone.gets("logout", json!({})).await;
    let answer = third.asks_anonymously("auth", fields).await;
    assert_eq!(answer["status"], "200");
}

#[tokio::test]
async fn a_token_works_on_every_connection_and_after_logout_on_none() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let mut phone = Caller::is(&server, &anna).await;
    let mut laptop = Caller::connects(&server).await;
    laptop.token = phone.token.clone();
    laptop.gets("checkToken", json!({})).await;
    phone.gets("logout", json!({})).await;
    // Where it was used elsewhere, the connection ends with the sign-in; here it can be used for the next one.
    assert_eq!(laptop.is_closed().await.code, 4001);
    phone.is_refused("checkToken", json!({}), "401").await;
    phone.is_refused("getChats", json!({}), "401").await;
    phone.is_refused("logout", json!({}), "401").await;
    phone.signs_in("anna", PASSWORD).await;
    phone.gets("getChats", json!({})).await;
}

#[tokio::test]
async fn an_access_token_is_taken_too_and_ends_its_session_at_logout() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let mut phone = Caller::connects(&server).await;
    phone.token = anna.access.clone();
    phone.gets("checkToken", json!({})).await;
    phone
        .is_refused("checkToken", json!({"token": anna.refresh}), "401")
        .await;
    phone.gets("logout", json!({})).await;
    phone.is_refused("checkToken", json!({}), "401").await;
    anna.get("/api/users/me/").await.expect(401);
}

#[tokio::test]
async fn a_new_password_ends_tokens_and_connections() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let mut phone = Caller::is(&server, &anna).await;
    phone.gets("checkToken", json!({})).await;
    let body = json!({"old_password": PASSWORD, "new_password": "louder harbour 1988"});
    anna.post("/api/users/me/password/", body).await.expect(200);
    assert_eq!(phone.is_closed().await.code, 4001);
}

#[tokio::test]
async fn without_a_good_token_in_time_the_connection_ends_and_bad_ones_do_not_count() {
    let server =
        Server::start_with(|settings| settings.connections.rpc_deadline = Duration::from_secs(1))
            .await;
    let anna = server.user("anna").await;
    let mut late = Caller::connects(&server).await;
    late.token = "nonsense.token".to_owned();
    late.still_works().await;
    late.is_refused("checkToken", json!({}), "401").await;
    let mut early = Caller::is(&server, &anna).await;
    assert_eq!(late.is_closed().await.code, 4001);
    early.gets("checkToken", json!({})).await;
    early.gets("logout", json!({})).await;
    assert_eq!(early.is_closed().await.code, 4001);
}

#[tokio::test]
async fn a_frame_of_a_megabyte_is_for_whoever_has_signed_in() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let mut phone = Caller::is(&server, &anna).await;
    let large = "x".repeat(1_000_000);
    let fields = json!({"username": large, "x": 1});
    phone.is_refused("createChat", fields.clone(), "422").await;
    phone.still_works().await;
    let mut stranger = Caller::connects(&server).await;
    stranger
        .phone
        .sends(json!({"mode": "checkConnection", "x": large}))
        .await;
    assert_eq!(stranger.is_closed().await.code, 1009);
    let larger = "x".repeat(1_100_000);
    phone
        .phone
        .sends(json!({"mode": "checkConnection", "x": larger}))
        .await;
    assert_eq!(phone.is_closed().await.code, 1009);
}

#[tokio::test]
async fn too_many_messages_are_told_with_the_time_to_wait() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 2).await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let chat = anna.opens_personal_chat(&boris).await.id;
    let mut anna = Caller::is(&server, &anna).await;
    anna.says(chat, "one").await;
    anna.says(chat, "two").await;
    let fields = json!({"chat_id": chat, "content": "three", "content_type": "text"});
    let refused = anna.is_refused("sendMessage", fields, "429").await;
    assert!(
        refused["retry_after"]
            .as_i64()
            .is_some_and(|wait| wait > 50),
        "{refused}"
    );
}

#[tokio::test]
async fn a_message_sent_twice_under_one_key_is_one_message() {
    let (_server, mut anna, _boris, chat) = two_who_talk().await;
    let fields =
        json!({"chat_id": chat, "content": "once", "content_type": "text", "client_id": "k"});
    let first = anna.gets("sendMessage", fields.clone()).await;
    let second = anna.gets("sendMessage", fields).await;
    assert_eq!(first["message_id"], second["message_id"]);
    let read = anna.gets("getMessages", json!({"chat_id": chat})).await;
    assert_eq!(texts(&read), ["once"]);
}

#[tokio::test]
async fn what_is_said_here_is_heard_in_the_chat_dialect_with_what_it_is() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let chat = anna.opens_personal_chat(&boris).await;
    let mut phone = boris.joins(&chat).await;
    let mut anna = Caller::is(&server, &anna).await;
    let picture = json!({"chat_id": chat.id, "content": "https://example.org/cat.png", "content_type": "picture"});
    let sent = anna.gets("sendMessage", picture).await;
    let heard = phone.hears("message").await;
    assert_eq!(
        (&heard["data"]["id"], &heard["data"]["content_type"]),
        (&sent["message_id"], &json!("picture"))
    );
    phone.says("nice").await;
    phone.hears("message").await;
    let read = anna.gets("getMessages", json!({"chat_id": chat.id})).await;
    assert_eq!(texts(&read), ["https://example.org/cat.png", "nice"]);
    assert_eq!(read["messages"][0]["content_type"], "picture");
}

#[tokio::test]
async fn nobody_acts_as_another_whatever_the_frame_claims() {
    let (server, mut anna, mut boris, chat) = two_who_talk().await;
    let carla = server.user("carla").await;
    let carla_id = carla.id;
    let mut carla = Caller::is(&server, &carla).await;
    let claims = json!({
        "chat_id": chat, "content": "I am anna", "content_type": "text", "username": "anna", "from_id": 1,
        "from_name": "anna", "user_id": 1,
    });
    for mode in [
        "sendMessage",
        "sendGroupMessage",
        "getMessages",
        "deleteChat",
        "deleteGroup",
    ] {
        carla.is_refused(mode, claims.clone(), "423").await;
    }
    let message = anna.says(chat, "mine").await;
    let mut of_message = claims.clone();
    of_message["message_id"] = json!(message);
    for mode in ["editMessage", "deleteMessage", "readMessages"] {
        carla.is_refused(mode, of_message.clone(), "423").await;
    }
    let mut edit = claims.clone();
    edit["add"] = json!([carla_id]);
    carla.is_refused("editGroup", edit, "423").await;
    boris.gets("sendMessage", claims).await;
    let read = anna.gets("getMessages", json!({"chat_id": chat})).await;
    assert_eq!(texts(&read), ["mine", "I am anna"]);
    assert_eq!(read["messages"][1]["from_name"], "boris");
}

#[tokio::test]
async fn several_people_may_share_a_connection_each_by_their_own_token() {
    let (_server, mut anna, boris, chat) = two_who_talk().await;
    anna.says(chat, "from anna").await;
    let token = boris.token.clone();
    let as_boris =
        json!({"chat_id": chat, "content": "from boris", "content_type": "text", "token": token});
    anna.gets("sendMessage", as_boris).await;
    anna.says(chat, "from anna again").await;
    let read = anna.gets("getMessages", json!({"chat_id": chat})).await;
    let senders: Vec<&Value> = read["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["from_name"])
        .collect();
    assert_eq!(senders, ["anna", "boris", "anna"]);
}

#[tokio::test]
async fn existing_clients_find_it_at_ws_where_a_setting_says_so() {
    let server = Server::start_with(|settings| {
        settings.connections.root_dialect = Some(tertulia::settings::RootDialect::Rpc);
    })
    .await;
    for target in ["/ws", "/ws/", "/"] {
        let handshake = Handshake::new(server.address(), target);
        let mut phone = handshake.open().await.expect("a socket");
        phone.sends_text("{'mode': 'checkConnection'}").await;
        assert!(phone.next_text().await.ends_with("'status': '200'}"));
    }
}

#[tokio::test]
async fn the_address_may_lack_its_last_slash() {
    let server = Server::start().await;
    let handshake = Handshake::new(server.address(), "/ws/rpc");
    let mut phone = handshake.open().await.expect("a socket");
    phone.sends(json!({"mode": "checkConnection"})).await;
    assert_eq!(phone.next_frame().await["status"], "200");
}

#[tokio::test]
async fn whoever_polls_gets_past_however_many_deleted_messages() {
    let (server, mut anna, mut boris, chat) = two_who_talk().await;
    let boss = server.operator("boss").await;
    let first = anna.says(chat, "before").await;
    let spam = boris.says(chat, "spam 0").await;
    for number in 1..=505 {
        boris.says(chat, &format!("spam {number}")).await;
    }
    let sender = boris
        .gets(
            "getMessages",
            json!({"chat_id": chat, "min_message_id": spam}),
        )
        .await;
    assert_eq!(sender["messages"].as_array().map(Vec::len), Some(500));
    let sender = &sender["messages"][0]["from_id"];
    let deleted = format!("/api/chats/{chat}/messages/?sender={sender}");
    let deleted = boss.delete(&deleted).await;
    assert!((200..300).contains(&deleted.status), "{}", deleted.text());
    // Nothing else is there yet.
    for from in [json!({}), json!({"min_message_id": first})] {
        let mut fields = from;
        fields["chat_id"] = json!(chat);
        let read = anna.gets("getMessages", fields).await;
        assert_eq!(texts(&read), ["before"]);
    }
    anna.says(chat, "after").await;
    for from in [json!({}), json!({"min_message_id": first})] {
        let mut fields = from;
        fields["chat_id"] = json!(chat);
        let read = anna.gets("getMessages", fields).await;
        assert_eq!(texts(&read), ["before", "after"]);
    }
    let fields = json!({"chat_id": chat, "min_message_id": spam});
    let read = anna.gets("getMessages", fields).await;
    assert_eq!(texts(&read), ["after"]);
}

#[tokio::test]
async fn repeats_of_a_message_have_the_pace_of_all_other_requests() {
    let server = Server::start_with(|settings| {
        settings.limits.messages_per_minute = 0;
        settings.limits.frames_per_second = 2;
    })
    .await;
    let anna = server.user("anna").await;
    let chat = anna.creates_group("notes", []).await.id;
    let mut anna = Caller::is(&server, &anna).await;
    let fields = json!({
        "chat_id": chat, "content": "once", "content_type": "text", "client_id": "c-1",
    });
    let first = anna.gets("sendMessage", fields.clone()).await;
    let mut refused = None;
    for _ in 0..8 {
        let answer = anna.asks("sendMessage", fields.clone()).await;
        match answer["status"].as_str() {
            Some("200") => assert_eq!(answer["message_id"], first["message_id"]),
            _ => refused = Some(answer),
        }
    }
    let refused = refused.expect("a repeat too many");
    assert_eq!(
        (
            &refused["status"],
            &refused["retry_after"],
            &refused["message_id"]
        ),
        (&json!("429"), &json!(1), &Value::Null)
    );
    // What is new has the limit of sends alone.
    for number in 0..8 {
        anna.says(chat, &number.to_string()).await;
    }
}
