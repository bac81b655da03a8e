//! A socket lives as long as its sign-in: however that ends, and whoever ends it.

use serde_json::json;
use tertulia::settings::SocketLife;

use crate::support::{
    Person, Request, Server,
    binary::{Binary, typed_twice},
    person::PASSWORD,
    tokens, until,
};
use std::time::{Duration, Instant};

#[tokio::test]
async fn signing_out_ends_that_sessions_sockets_and_tokens_and_no_others() {
    let server = Server::start_with(|settings| {
        settings.connections.connections_per_chat = tertulia::settings::ConnectionRule::Many;
    })
    .await;
    let anna = server.user("anna").await;
    let laptop = anna.signs_in().await;
    let notes = anna.creates_group("notes", []).await;
    let mut on_the_phone = anna.joins(&notes).await;
    let mut on_the_laptop = laptop.joins(&notes).await;
    anna.signs_out().await;
    let close = on_the_phone.is_closed_at_last().await;
    assert_eq!(close.code, 4001);
    assert!(!close.reason.is_empty());
    let problem = anna.get("/api/users/me/").await.expect(401);
    assert_eq!(problem["code"], "token_not_valid");
    assert_eq!(problem["messages"][0]["message"], "Token is invalid");
    assert_eq!(
        anna.tries_to_join(&notes)
            .await
            .err()
            .map(|close| close.code),
        Some(4001)
    );
    on_the_laptop.still_works().await;
    laptop.get("/api/users/me/").await.expect(200);
}

#[tokio::test]
async fn a_session_can_be_ended_from_elsewhere() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let lost_phone = anna.signs_in().await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = lost_phone.joins(&notes).await;
    let session = tokens::claims(&lost_phone.access)["sid"]
        .as_str()
        .map(str::to_owned);
    let listed = anna.get("/api/sessions/").await.expect(200);
    let listed = listed["results"].as_array().expect("the sessions");
    assert_eq!(listed.len(), 2);
    let session = session.expect("whose session a token is");
    assert!(
        listed.iter().any(|item| item["id"] == session.as_str()),
        "{listed:?}"
    );
    anna.delete(&format!("/api/sessions/{session}/"))
        .await
        .expect(204);
    assert_eq!(phone.is_closed_at_last().await.code, 4001);
    lost_phone.get("/api/users/me/").await.expect(401);
    anna.get("/api/users/me/").await.expect(200);
}

#[tokio::test]
async fn nobody_ends_anothers_session() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    let claims = tokens::claims(&anna.access);
    let session = claims["sid"].as_str().expect("a session");
    boris
        .delete(&format!("/api/sessions/{session}/"))
        .await
        .expect(404);
    phone.still_works().await;
}

#[tokio::test]
async fn a_changed_password_ends_every_socket_and_token_of_before() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    let new = "another harbour 1988";
    let wrong = json!({"old_password": "not it", "new_password": new});
    let reply = anna.post("/api/users/me/password/", wrong).await;
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    phone.still_works().await;
    let body = json!({"old_password": PASSWORD, "new_password": new});
    let reply = anna.post("/api/users/me/password/", body).await;
    assert!(
        (200..300).contains(&reply.status),
        "{}: {}",
        reply.status,
        reply.text()
    );
    assert_eq!(phone.is_closed_at_last().await.code, 4001);
    anna.get("/api/users/me/").await.expect(401);
    let again = anna.signs_in_with(new).await;
    again.joins(&notes).await.still_works().await;
}

#[tokio::test]
async fn a_deactivated_user_is_out_at_once_and_can_not_come_back() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let operator = server.operator("operator").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    let target = format!("/api/users/{}/", anna.id);
    anna.patch(&target, json!({"is_staff": true}))
        .await
        .expect(403);
    operator
        .patch(&target, json!({"is_active": false}))
        .await
        .expect(200);
    assert_eq!(phone.is_closed_at_last().await.code, 4001);
    anna.get("/api/users/me/").await.expect(401);
    assert_eq!(
        anna.tries_to_join(&notes)
            .await
            .err()
            .map(|close| close.code),
        Some(4001)
    );
    let body = json!({"username": "anna", "password": PASSWORD});
    let reply = anna.post("/api/token/", body).await.expect(401);
    assert_eq!(
        reply["detail"],
        "No active account found with the given credentials"
    );
}

#[tokio::test]
async fn a_socket_outlives_its_access_token() {
    let server = Server::start_with(|settings| {
        settings.tokens.access_token_lifetime = Duration::from_secs(2);
    })
    .await;
    let anna = server.user("anna").await;
    let anna = anna.signs_in().await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    until("the token to expire", || async {
        (anna.get("/api/users/me/").await.status == 401).then_some(())
    })
    .await;
    phone.says("still here").await;
    assert_eq!(phone.next_message().await.text, "still here");
}

#[tokio::test]
async fn where_the_setting_says_so_a_socket_ends_with_its_token_unless_it_brings_a_new_one() {
    let server = Server::start_with(|settings| {
        settings.tokens.access_token_lifetime = Duration::from_secs(3);
        settings.tokens.expire_sockets = SocketLife::Token;
        settings.connections.connections_per_chat = tertulia::settings::ConnectionRule::Many;
    })
    .await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let anna = anna.signs_in().await;
    let mut forgetful = anna.joins(&notes).await;
    let mut careful = anna.joins(&notes).await;
    let mut claims = tokens::claims(&anna.access);
    claims["exp"] = json!(claims["exp"].as_i64().expect("a moment") + 3600);
    let renewed = tokens::signed(&claims, tokens::SECRET);
    careful
        .sends(json!({"type": "authenticate", "token": renewed}))
        .await;
    let answer = careful.hears("authenticated").await;
    assert!(!answer["expires_at"].is_null(), "{answer}");
    assert_eq!(forgetful.is_closed_at_last().await.code, 4001);
    careful.still_works().await;
}

#[tokio::test]
async fn a_token_that_is_another_users_or_none_renews_nothing() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    let wrong = [
        json!(boris.access),
        json!(tokens::forged(&anna.access)),
        json!(tokens::expired(&anna.access)),
        json!(anna.refresh),
        json!("garbage"),
        json!(7),
        json!(null),
    ];
    for token in wrong {
        phone
            .sends(json!({"type": "authenticate", "token": token}))
            .await;
        phone.hears("error").await;
    }
    phone.says("who am I?").await;
    assert_eq!(phone.next_message().await.shown["sender"]["id"], anna.id);
    let fresh = anna.signs_in().await;
    phone
        .sends(json!({"type": "authenticate", "token": fresh.access}))
        .await;
    phone.hears("authenticated").await;
}

/// What this process does needs no looking: three times in a row it couldn't be so quick.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_sign_out_and_a_deactivation_end_sockets_at_once() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let operator = server.operator("operator").await;
    let notes = anna.creates_group("notes", []).await;
    let account = format!("/api/users/{}/", anna.id);
    for round in 0..6 {
        let anna = anna.signs_in().await;
        let mut phone = anna.joins(&notes).await;
        let began = Instant::now();
        match round % 2 {
            0 => anna.signs_out().await,
            _ => {
                let off = operator.patch(&account, json!({"is_active": false}));
                off.await.expect(200);
            }
        }
        assert_eq!(phone.is_closed_at_last().await.code, 4001);
        let took = began.elapsed();
        assert!(took < AT_ONCE, "round {round} took {took:?}");
        let on = operator.patch(&account, json!({"is_active": true}));
        on.await.expect(200);
    }
}

/// What another process does is found by looking, every other second.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test]
async fn what_the_command_line_does_to_a_user_ends_their_sockets_within_three_seconds() {
    let binary = Binary::serves(&[]).await;
    let [anna, boris, carla, dora] = binary.users(["anna", "boris", "carla", "dora"]).await;
    let trip = dora.creates_group("trip", [&anna, &boris, &carla]).await;
    let mut doras = dora.joins(&trip).await;
    let password = typed_twice("a wholly new harbour");
    for (person, arguments, input) in [
        (anna, ["user", "password", "anna"], password.as_str()),
        (boris, ["user", "deactivate", "boris"], ""),
        (carla, ["user", "signout", "carla"], ""),
    ] {
        let mut phone = person.joins(&trip).await;
        binary.does(&arguments, input);
        let began = Instant::now();
        assert_eq!(phone.is_closed_at_last().await.code, 4001);
        let took = began.elapsed();
        assert!(took < SOON, "{arguments:?} took {took:?}");
        person.get("/api/users/me/").await.expect(401);
    }
    doras.still_works().await;
}

/// A request that somebody has begun, and what it would do.
fn requests(person: &Person, notes: &crate::support::Chat) -> [Request; 3] {
    let form = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.txt\"\r\n\r\nsneaked in\r\n--B--\r\n";
    [
        person
            .request("POST", &format!("/api/chats/{notes}/messages/"))
            .json(&json!({"text": "sneaked in"})),
        person
            .request("PATCH", "/api/users/me/")
            .json(&json!({"first_name": "Mallory"})),
        person
            .request("POST", &format!("/api/chats/{notes}/attachments/"))
            .body("multipart/form-data; boundary=B", form),
    ]
}

#[tokio::test]
async fn a_request_that_was_on_its_way_when_its_sign_in_ended_does_nothing() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let stolen = anna.signs_in().await;
    let notes = anna.creates_group("notes", []).await;
    let mut begun = Vec::new();
    for request in requests(&stolen, &notes) {
        begun.push(request.begins(stolen.to).await);
    }
    stolen.signs_out().await;
    for begun in begun {
        let problem = begun.ends().await.expect(401);
        assert_eq!(problem["code"], "token_not_valid", "{problem}");
    }
    assert_eq!(anna.page(&notes, "").await["count"], 0);
    let account = anna.get("/api/users/me/").await.expect(200);
    assert_ne!(account["first_name"], "Mallory");
    for request in requests(&anna, &notes) {
        let reply = request.begins(anna.to).await.ends().await;
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    }
}

#[tokio::test]
async fn who_is_staff_no_more_when_their_request_is_whole_is_no_staff() {
    let server = Server::start().await;
    let boss = server.operator("boss").await;
    let olga = server.operator("olga").await;
    let account = format!("/api/users/{}/", olga.id);
    let begun = olga
        .request("PATCH", &account)
        .json(&json!({"is_staff": true}))
        .begins(olga.to)
        .await;
    boss.patch(&account, json!({"is_staff": false}))
        .await
        .expect(200);
    begun.ends().await.expect(403);
    olga.get("/api/support/chats/").await.expect(403);
}

#[tokio::test]
async fn an_operator_who_is_made_none_on_the_command_line_is_out_within_three_seconds() {
    let binary = Binary::serves(&[]).await;
    let [anna, olga] = binary.users(["anna", "olga"]).await;
    binary.does(&["user", "staff", "olga"], "");
    until("the service to see who is staff", || async {
        let me = olga.get("/api/users/me/").await.expect(200);
        (me["is_staff"] == true).then_some(())
    })
    .await;
    let help = anna.creates(json!({"kind": "support"})).await;
    let own = olga.creates(json!({"kind": "support"})).await;
    let mut at_her_desk = olga.joins(&help).await;
    let mut asking = olga.joins(&own).await;
    binary.does(&["user", "staff", "olga", "--off"], "");
    let began = Instant::now();
    assert_eq!(at_her_desk.is_closed_at_last().await.code, 4003);
    let took = began.elapsed();
    assert!(took < SOON, "it took {took:?}");
    asking.still_works().await;
}
