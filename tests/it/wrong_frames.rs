//! Frames that make no sense: each with a clear error, the connection unharmed.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Ws;

use crate::support::{Phone, Server};

async fn connected() -> (Server, Phone) {
    // Errors are what these stories are about: the limit on them is another story's.
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let phone = anna.joins(&notes).await;
    (server, phone)
}

#[tokio::test]
async fn every_error_has_the_words_that_clients_know() {
    let (_server, mut phone) = connected().await;
    let too_long = "x".repeat(1001);
    let cases = [
        (
            json!({"type": "message", "text": ""}),
            "empty_text",
            "Message text cannot be empty",
        ),
        (
            json!({"type": "message", "text": " \n\t "}),
            "empty_text",
            "Message text cannot be empty",
        ),
        (
            json!({"type": "message"}),
            "empty_text",
            "Message text cannot be empty",
        ),
        (
            json!({"type": "message", "text": null}),
            "empty_text",
            "Message text cannot be empty",
        ),
        (json!({}), "empty_text", "Message text cannot be empty"),
        (
            json!({"type": "message", "text": too_long}),
            "text_too_long",
            "Message text cannot be longer than 1000 characters",
        ),
        (
            json!({"type": "message", "text": 7}),
            "invalid",
            "Message text must be a string",
        ),
        (
            json!({"type": "message", "text": ["a"]}),
            "invalid",
            "Message text must be a string",
        ),
        (
            json!({"type": "message", "text": true}),
            "invalid",
            "Message text must be a string",
        ),
        (
            json!({"type": "message", "text": "a\u{0}b"}),
            "invalid",
            "Null characters are not allowed.",
        ),
        (
            json!({"type": "invalid_type"}),
            "unknown_type",
            "Unknown message type: invalid_type",
        ),
        (
            json!({"type": "Message", "text": "a"}),
            "unknown_type",
            "Unknown message type: Message",
        ),
        (
            json!({"type": "connection_established"}),
            "unknown_type",
            "Unknown message type: connection_established",
        ),
        (
            json!({"type": ""}),
            "unknown_type",
            "Unknown message type: ",
        ),
    ];
    for (frame, code, text) in cases {
        phone.sends(frame).await;
        phone.hears_error(code, text).await;
    }
    phone.still_works().await;
}

#[tokio::test]
async fn what_is_no_json_object_is_invalid_json() {
    let (_server, mut phone) = connected().await;
    let frames = [
        "",
        " ",
        "hello",
        "{",
        "}",
        "{\"type\": \"message\", \"text\": \"a\"",
        "{'type': 'message'}",
        "[]",
        "null",
        "true",
        "7",
        "\"message\"",
        "{\"type\": \"ping\"} trailing",
        "NaN",
    ];
    for frame in frames {
        phone.sends_text(frame).await;
        phone
            .hears_error("invalid_json", "Invalid JSON format")
            .await;
    }
    phone.still_works().await;
}

#[tokio::test]
async fn an_error_names_the_client_id_of_the_frame_that_failed_where_it_had_one() {
    let (_server, mut phone) = connected().await;
    phone.says_as("c-1", "").await;
    assert_eq!(phone.hears("error").await["client_id"], "c-1");
    phone.says("").await;
    let error = phone.hears("error").await;
    assert!(error.get("client_id").is_none(), "{error}");
    phone
        .sends(json!({"type": "message", "text": 7, "client_id": "c-2"}))
        .await;
    assert_eq!(phone.hears("error").await["client_id"], "c-2");
}

#[tokio::test]
async fn values_of_the_wrong_type_are_invalid() {
    let (_server, mut phone) = connected().await;
    let frames = [
        json!({"type": "message", "text": "a", "client_id": 7}),
        json!({"type": "message", "text": "a", "client_id": {"a": 1}}),
        json!({"type": "message", "text": "a", "reply_to": "abc"}),
        json!({"type": "message", "text": "a", "reply_to": 1.5}),
        json!({"type": "edit_message", "text": "a"}),
        json!({"type": "edit_message", "message_id": "abc", "text": "a"}),
        json!({"type": "edit_message", "message_id": [1], "text": "a"}),
        json!({"type": "delete_message"}),
        json!({"type": "delete_message", "message_id": {}}),
        json!({"type": "read_messages", "up_to": "abc"}),
        json!({"type": "get_messages", "before": "abc"}),
        json!({"type": "get_messages", "page_size": "many"}),
        json!({"type": "get_messages", "page": {}}),
    ];
    for frame in frames {
        phone.sends(frame.clone()).await;
        let error = phone.hears("error").await;
        assert_eq!(error["code"], "invalid", "{frame} was answered {error}");
    }
    phone.still_works().await;
}

#[tokio::test]
async fn a_type_that_is_no_string_is_an_error() {
    let (_server, mut phone) = connected().await;
    for kind in [json!(7), json!({}), json!(["message"]), json!(true)] {
        phone.sends(json!({"type": kind, "text": "a"})).await;
        let error = phone.hears("error").await;
        assert!(
            matches!(error["code"].as_str(), Some("unknown_type" | "invalid")),
            "{kind}: {error}"
        );
    }
    phone.still_works().await;
}

#[tokio::test]
async fn ids_that_no_row_can_have_are_not_found() {
    let (_server, mut phone) = connected().await;
    for id in [json!(0), json!(-1), json!(i64::MAX), json!(999_999)] {
        phone
            .sends(json!({"type": "delete_message", "message_id": id}))
            .await;
        let error = phone.hears("error").await;
        assert!(
            matches!(error["code"].as_str(), Some("not_found" | "invalid")),
            "{id}: {error}"
        );
    }
    phone
        .sends(json!({"type": "delete_message", "message_id": u64::MAX}))
        .await;
    phone.hears("error").await;
    phone.still_works().await;
}

#[tokio::test]
async fn lone_surrogates_and_deep_nesting_are_no_json_that_is_understood() {
    let (_server, mut phone) = connected().await;
    phone
        .sends_text(r#"{"type": "message", "text": "\ud800"}"#)
        .await;
    phone
        .hears_error("invalid_json", "Invalid JSON format")
        .await;
    phone
        .sends_text(r#"{"type": "message", "text": "\udc00\ud800"}"#)
        .await;
    phone
        .hears_error("invalid_json", "Invalid JSON format")
        .await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    phone.sends_text(&deep).await;
    phone
        .hears_error("invalid_json", "Invalid JSON format")
        .await;
    let deep = format!(
        r#"{{"type": "ping", "x": {}1{}}}"#,
        r#"{"a":"#.repeat(5000),
        "}".repeat(5000)
    );
    phone.sends_text(&deep).await;
    let heard = phone.next_frame().await;
    assert!(
        heard["type"] == "pong" || heard["code"] == "invalid_json",
        "{heard}"
    );
    phone.still_works().await;
}

#[tokio::test]
async fn a_pair_of_surrogates_is_one_character() {
    let (_server, mut phone) = connected().await;
    phone
        .sends_text(r#"{"type": "message", "text": "\ud83d\ude80"}"#)
        .await;
    assert_eq!(phone.next_message().await.text, "\u{1f680}");
}

#[tokio::test]
async fn keys_that_nobody_knows_are_passed_over_and_of_the_same_key_the_last_one_counts() {
    let (_server, mut phone) = connected().await;
    phone
        .sends(
            json!({"type": "message", "text": "a", "sender": {"id": 1}, "seq": 99, "data": null}),
        )
        .await;
    let message = phone.next_message().await;
    assert_eq!((&*message.text, message.seq), ("a", 1));
    phone
        .sends_text(r#"{"type": "typing", "type": "message", "text": "one", "text": "two"}"#)
        .await;
    let heard = phone.next_frame().await;
    assert!(
        heard["data"]["text"] == "two" || heard["code"] == "invalid_json",
        "{heard}"
    );
    phone.still_works().await;
}

#[tokio::test]
async fn whom_a_frame_claims_to_be_from_is_not_believed() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let other = boris.creates_group("other", []).await;
    let mut phone = anna.joins(&trip).await;
    phone
        .sends(json!({
            "type": "message", "text": "I am boris", "user_id": boris.id, "username": "boris",
            "sender": boris.id, "chat": other.id, "chat_id": other.id,
        }))
        .await;
    let message = phone.next_message().await;
    assert_eq!(message.shown["sender"]["id"], anna.id);
    assert_eq!(message.shown["chat"], trip.id);
    phone
        .sends(json!({"type": "typing", "is_typing": true, "user_id": boris.id}))
        .await;
    assert_eq!(phone.hears("typing").await["user_id"], anna.id);
    assert_eq!(boris.page(&other, "").await["count"], 0);
}

#[tokio::test]
async fn a_binary_frame_is_not_spoken_here() {
    let (_server, mut phone) = connected().await;
    phone
        .sends_raw(Ws::binary(br#"{"type": "ping"}"#.to_vec()))
        .await;
    assert_eq!(phone.is_closed_at_last().await.code, 1003);
}

#[tokio::test]
async fn a_frame_of_64_kib_is_read_and_a_larger_one_ends_the_connection() {
    let (_server, mut phone) = connected().await;
    let padded = |bytes: usize| {
        let frame = r#"{"type": "ping", "x": ""}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - frame.len())))
    };
    phone.sends_text(&padded(64 * 1024)).await;
    phone.hears("pong").await;
    phone.sends_text(&padded(64 * 1024 + 1)).await;
    assert_eq!(phone.is_closed_at_last().await.code, 1009);
}

#[tokio::test]
async fn huge_numbers_and_odd_floats_do_no_harm() {
    let (_server, mut phone) = connected().await;
    let frames = [
        r#"{"type": "sync", "since": 1e400}"#,
        r#"{"type": "sync", "since": 9223372036854775808}"#,
        r#"{"type": "read_messages", "up_to": -0.0}"#,
        r#"{"type": "get_messages", "page": 1e19}"#,
        r#"{"type": "get_messages", "page": 9223372036854775807, "page_size": 100}"#,
        r#"{"type": "get_messages", "page": -1}"#,
        r#"{"type": "get_messages", "page_size": -5}"#,
        r#"{"type": "delete_message", "message_id": 123456789012345678901234567890}"#,
    ];
    for frame in frames {
        phone.sends_text(frame).await;
        let heard: Value = phone.next_frame().await;
        assert!(
            matches!(heard["type"].as_str(), Some("error" | "messages")),
            "{frame}: {heard}"
        );
    }
    phone.still_works().await;
}
