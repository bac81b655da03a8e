//! Frames of the rpc dialect that make no sense, and frames in Python literals.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Ws;

use crate::support::{Caller, Server, person::PASSWORD};

#[tokio::test]
async fn a_literal_is_answered_with_a_literal_and_json_with_json() {
    let server = Server::start().await;
    server.user("anna").await;
    let mut caller = Caller::connects(&server).await;
    let phone = &mut caller.phone;
    phone
        .sends_text("{'mode': 'checkConnection', 'timestamp': None}")
        .await;
    let answer = phone.next_text().await;
    assert!(
        answer.starts_with("{'mode': 'checkConnection', 'timestamp': '20")
            && answer.ends_with("', 'status': '200'}"),
        "{answer}"
    );
    phone.sends_text("{\"mode\": \"checkConnection\"}").await;
    let answer = phone.next_text().await;
    assert!(
        answer.starts_with("{\"mode\":\"checkConnection\","),
        "{answer}"
    );
    // `true` is no literal and `True` no JSON.
    phone
        .sends_text("{'mode': 'auth', 'username': 'anna', 'x': True}")
        .await;
    let answer = phone.next_text().await;
    assert!(
        answer.ends_with(
            "'status': '422', 'token': None, 'error_msg': 'field(s) password not provided'}"
        ),
        "{answer}"
    );
    let auth = format!("{{'mode': 'auth', 'username': 'anna', 'password': '{PASSWORD}'}}");
    phone.sends_text(&auth).await;
    let answer = phone.next_text().await;
    let token = answer
        .split("'token': '")
        .nth(1)
        .expect("a token")
        .trim_end_matches("'}");
    phone
        .sends_text(&format!("{{'mode': 'getChats', 'token': '{token}'}}"))
        .await;
    assert!(
        phone
            .next_text()
            .await
            .ends_with("'status': '200', 'chats': []}")
    );
}

#[tokio::test]
async fn what_is_neither_json_nor_a_literal_is_told_so_and_the_connection_stays() {
    let server = Server::start_with(|settings| settings.limits.frames_per_second = 0).await;
    for text in [
        "",
        " ",
        "hello",
        "{",
        "}",
        "{'mode': }",
        "[]",
        "()",
        "null",
        "None",
        "7",
        "'auth'",
        "true",
        "{1, 2}",
        "{'mode': b'auth'}",
        "{'mode': 'a' 'b'}",
        "{\"mode\": \"auth\"} x",
        "\u{0}",
        "__import__('os')",
    ] {
        let mut caller = Caller::connects(&server).await;
        caller.phone.sends_text(text).await;
        let answer = caller.phone.next_frame().await;
        assert_eq!(
            (&answer["status"], &answer["error_msg"], answer.get("mode")),
            (&json!("422"), &json!("Unsupported data"), None),
            "{text}"
        );
        assert!(answer["timestamp"].is_string());
        caller.still_works().await;
    }
}

#[tokio::test]
async fn without_a_readable_mode_there_is_none_in_the_answer() {
    let server = Server::start().await;
    let mut caller = Caller::connects(&server).await;
    for mode in [
        Value::Null,
        json!(7),
        json!(["auth"]),
        json!({}),
        json!(true),
    ] {
        caller
            .phone
            .sends(json!({"mode": mode, "token": "t"}))
            .await;
        let answer = caller.phone.next_frame().await;
        assert_eq!(
            (&answer["status"], &answer["error_msg"], answer.get("mode")),
            (&json!("422"), &json!("field(s) mode not provided"), None),
        );
    }
    caller.phone.sends(json!({})).await;
    assert_eq!(caller.phone.next_frame().await["status"], "422");
    for mode in ["", "Auth", "sudo", "getmessages"] {
        let answer = caller.asks_anonymously(mode, json!({})).await;
        assert_eq!(answer["status"], "501", "{answer}");
    }
    caller.still_works().await;
}

/// Each method with all that it wants, and what a failed answer tells in the place of its data.
fn methods() -> Vec<(&'static str, Value, Value)> {
    let nothing = json!({});
    let (chat, no_chat, sent) = (
        json!({"chat_id": 1}),
        json!({"chat_id": null}),
        json!({"message_id": null}),
    );
    let says = json!({"chat_id": 1, "content": "a", "content_type": "text"});
    let none = json!({"messages": null, "chats": null});
    vec![
        ("checkToken", nothing.clone(), nothing.clone()),
        ("logout", nothing.clone(), nothing.clone()),
        ("subscribe", nothing.clone(), nothing.clone()),
        (
            "changeUsername",
            json!({"username": "anne"}),
            nothing.clone(),
        ),
        (
            "changeEmail",
            json!({"email": "a@example.org", "password": PASSWORD}),
            nothing.clone(),
        ),
        (
            "setPhoto",
            json!({"content": "aGVsbG8=", "content_type": "image/png"}),
            nothing.clone(),
        ),
        (
            "createPersonalChat",
            json!({"contact_value": 1, "contact_mode": "id"}),
            no_chat.clone(),
        ),
        (
            "createChat",
            json!({"contact_value": 1, "contact_mode": "id"}),
            no_chat.clone(),
        ),
        ("getChats", nothing.clone(), json!({"chats": null})),
        ("getMessages", chat.clone(), none),
        ("sendMessage", says.clone(), sent.clone()),
        ("sendGroupMessage", says, sent),
        ("deleteChat", chat.clone(), nothing.clone()),
        ("createGroup", json!({"name": "a", "members": [1]}), no_chat),
        ("deleteGroup", chat.clone(), nothing.clone()),
        (
            "editMessage",
            json!({"chat_id": 1, "message_id": 1, "content": "a"}),
            nothing.clone(),
        ),
        (
            "deleteMessage",
            json!({"chat_id": 1, "message_id": 1}),
            nothing.clone(),
        ),
        ("readMessages", chat.clone(), nothing.clone()),
        ("editGroup", chat, nothing),
    ]
}

#[track_caller]
fn has(answer: &Value, data: &Value) {
    for (key, value) in data.as_object().expect("keys") {
        assert_eq!(answer.get(key), Some(value), "{answer}");
    }
}

#[tokio::test]
async fn every_method_asks_for_its_fields_by_name_and_for_a_token_that_is_good() {
    let server = Server::start_with(|settings| settings.limits.frames_per_second = 0).await;
    for (mode, fields, data) in methods() {
        let mut caller = Caller::connects(&server).await;
        let mut names: Vec<&String> = fields.as_object().expect("fields").keys().collect();
        let token = "token".to_owned();
        names.push(&token);
        for name in &names {
            let mut without = fields.clone();
            without["token"] = json!("t");
            without[name.as_str()] = Value::Null;
            let answer = caller.asks_anonymously(mode, without.clone()).await;
            let told = format!("field(s) {name} not provided");
            assert_eq!(
                (&answer["status"], &answer["error_msg"]),
                (&json!("422"), &json!(told)),
                "{mode}"
            );
            has(&answer, &data);
            without.as_object_mut().expect("fields").remove(*name);
            let answer = caller.asks_anonymously(mode, without).await;
            assert_eq!(answer["error_msg"], told, "{mode}");
        }
        for token in ["", "t", "a.b", "a.b.c", "a.b.c.d", "🙂"] {
            let mut fields = fields.clone();
            fields["token"] = json!(token);
            let answer = caller.asks_anonymously(mode, fields).await;
            assert_eq!(answer["status"], "401", "{mode} with {token}: {answer}");
            has(&answer, &data);
        }
    }
}

#[tokio::test]
async fn a_field_of_a_wrong_type_is_a_bad_value() {
    let server = Server::start_with(|settings| settings.limits.frames_per_second = 0).await;
    let anna = server.user("anna").await;
    anna.creates_group("notes", []).await;
    for (mode, fields, _) in methods() {
        if matches!(mode, "logout" | "deleteGroup" | "deleteChat")
            && fields.get("chat_id").is_none()
        {
            continue;
        }
        for name in fields.as_object().expect("fields").keys() {
            let mut caller = Caller::is(&server, &anna).await;
            for wrong in [
                json!(1.5),
                json!(true),
                json!({"a": 1}),
                json!([[1]]),
                json!("\u{0}"),
            ] {
                if name == "password" && wrong.is_string() {
                    continue; // it may be anybody's
                }
                let mut fields = fields.clone();
                fields[name] = wrong.clone();
                let answer = caller.asks(mode, fields).await;
                assert_eq!(
                    answer["status"], "422",
                    "{mode} with {name} {wrong}: {answer}"
                );
            }
            caller.gets("logout", json!({})).await;
        }
    }
}

#[tokio::test]
async fn texts_that_are_empty_or_too_long_are_bad_values() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let chat = anna.creates_group("notes", []).await.id;
    let mut anna = Caller::is(&server, &anna).await;
    for text in ["", " \n ", &"x".repeat(1001), "a\u{0}b"] {
        let fields = json!({"chat_id": chat, "content": text, "content_type": "text"});
        let answer = anna.is_refused("sendMessage", fields, "422").await;
        assert!(answer["error_msg"].is_string(), "{answer}");
    }
    for content_type in ["", "Text", "video"] {
        let fields = json!({"chat_id": chat, "content": "a", "content_type": content_type});
        anna.is_refused("sendMessage", fields, "422").await;
    }
    anna.still_works().await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_but_errors_is_sent_away() {
    let server = Server::start().await;
    let mut caller = Caller::connects(&server).await;
    for _ in 0..20 {
        caller.phone.sends_text("nonsense").await;
    }
    assert_eq!(caller.phone.is_closed_at_last().await.code, 4029);
}

#[tokio::test]
async fn too_many_frames_are_slowed_down_and_binary_ones_end_the_connection() {
    let server = Server::start_with(|settings| settings.limits.frames_per_second = 2).await;
    let mut caller = Caller::connects(&server).await;
    let mut slowed = None;
    for _ in 0..6 {
        let answer = caller.asks_anonymously("checkConnection", json!({})).await;
        if answer["status"] != "200" {
            slowed = Some(answer);
        }
    }
    let slowed = slowed.expect("a frame too many");
    assert_eq!(
        (&slowed["status"], &slowed["retry_after"]),
        (&json!("429"), &json!(1))
    );
    caller.phone.sends_raw(Ws::binary(vec![1, 2, 3])).await;
    assert_eq!(caller.is_closed().await.code, 1003);
}
