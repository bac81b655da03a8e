//! Accounts over REST: registering, one's own account, other people's pages, staff.

use serde_json::{Value, json};

use crate::support::{Reply, Request, Server, person::PASSWORD};

async fn registers(server: &Server, body: Value) -> Reply {
    Request::new("POST", "/api/users/")
        .json(&body)
        .send(server.address())
        .await
}

#[tokio::test]
async fn an_account_is_made_and_its_password_is_never_shown() {
    let server = Server::start().await;
    let body = json!({"username": "anna", "password": PASSWORD, "email": "anna@example.org"});
    let reply = registers(&server, body).await;
    let account = reply.expect(201);
    assert_eq!(
        (&account["username"], &account["email"]),
        (&json!("anna"), &json!("anna@example.org"))
    );
    assert!(!reply.text().contains("password"), "{}", reply.text());
    let address = format!("/api/users/{}/", account["id"]);
    assert_eq!(reply.header("location"), Some(address.as_str()));
}

#[tokio::test]
async fn names_that_cannot_be_and_weak_passwords_are_told_at_once() {
    let server = Server::start().await;
    server.user("anna").await;
    let reply = registers(&server, json!({"username": "an na", "password": "12345"}))
        .await
        .expect(400);
    assert!(
        reply["username"].is_array() && reply["password"].is_array(),
        "{reply}"
    );
    let reply = registers(&server, json!({"username": "anna", "password": PASSWORD})).await;
    let taken = json!({"username": ["A user with that username already exists."]});
    assert_eq!(reply.expect(400), taken);
    let long = json!({"username": "x".repeat(151), "password": PASSWORD});
    let too_long = json!({"username": ["Ensure this field has no more than 150 characters."]});
    assert_eq!(registers(&server, long).await.expect(400), too_long);
}

#[tokio::test]
async fn one_s_own_account_can_be_seen_and_changed() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let body = json!({"first_name": "Ann", "email": "ann@example.org", "is_staff": true, "id": 99});
    let changed = anna.patch("/api/users/me/", body).await.expect(200);
    assert_eq!(
        (&changed["first_name"], &changed["email"]),
        (&json!("Ann"), &json!("ann@example.org"))
    );
    assert_eq!(
        (&changed["is_staff"], &changed["id"]),
        (&json!(false), &json!(anna.id))
    );
    assert_eq!(anna.get("/api/users/me/").await.expect(200), changed);
    assert_eq!(
        anna.patch("/api/users/me/", json!({})).await.expect(200),
        changed
    );
    let wrong = anna
        .patch("/api/users/me/", json!({"email": "nowhere"}))
        .await
        .expect(400);
    assert_eq!(wrong, json!({"email": ["Enter a valid email address."]}));
}

#[tokio::test]
async fn others_see_a_page_without_the_address() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let page = boris
        .get(&format!("/api/users/{}/", anna.id))
        .await
        .expect(200);
    let keys: Vec<&str> = page
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "avatar",
            "first_name",
            "id",
            "is_online",
            "last_name",
            "last_seen",
            "username"
        ]
    );
    assert_eq!(
        (&page["is_online"], &page["last_seen"]),
        (&Value::Null, &Value::Null),
        "no chat shared"
    );
    anna.creates_group("trip", [&boris]).await;
    let page = boris
        .get(&format!("/api/users/{}/", anna.id))
        .await
        .expect(200);
    assert!(page["is_online"].is_boolean(), "{page}");
    let found = boris.get("/api/users/?search=ann").await.expect(200);
    assert_eq!(
        (&found["count"], &found["results"][0]["id"]),
        (&json!(1), &json!(anna.id))
    );
    boris.get("/api/users/999/").await.expect(404);
}

#[tokio::test]
async fn a_new_password_ends_every_session_and_begins_one() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let elsewhere = anna.signs_in().await;
    let target = "/api/users/me/password/";
    let wrong = json!({"old_password": "nope", "new_password": "a louder harbour 1988"});
    assert!(anna.post(target, wrong).await.expect(400)["old_password"].is_array());
    let weak = json!({"old_password": PASSWORD, "new_password": "12345678"});
    assert!(anna.post(target, weak).await.expect(400)["new_password"].is_array());
    let good = json!({"old_password": PASSWORD, "new_password": "a louder harbour 1988"});
    let pair = anna.post(target, good).await.expect(200);
    for old in [&anna, &elsewhere] {
        old.get("/api/users/me/").await.expect(401);
    }
    let anna = anna.with_token(pair["access"].as_str().expect("a token"));
    anna.get("/api/users/me/").await.expect(200);
    anna.signs_in_with("a louder harbour 1988").await;
}

#[tokio::test]
async fn staff_deactivate_and_others_do_not() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let operator = server.operator("olga").await;
    let target = format!("/api/users/{}/", anna.id);
    let refusal = json!({"detail": "You do not have permission to perform this action."});
    assert_eq!(
        boris
            .patch(&target, json!({"is_active": false}))
            .await
            .expect(403),
        refusal
    );
    let account = operator
        .patch(&target, json!({"is_active": false}))
        .await
        .expect(200);
    assert_eq!(account["is_active"], false);
    anna.get("/api/users/me/").await.expect(401);
    let body = json!({"username": "anna", "password": PASSWORD});
    Request::new("POST", "/api/token/")
        .json(&body)
        .send(server.address())
        .await
        .expect(401);
    operator
        .patch("/api/users/999/", json!({"is_active": true}))
        .await
        .expect(404);
}

#[tokio::test]
async fn where_only_staff_may_make_accounts_nobody_else_does() {
    use tertulia::settings::Registration;
    let server =
        Server::start_with(|settings| settings.accounts.registration = Registration::Closed).await;
    let body = json!({"username": "anna", "password": PASSWORD});
    registers(&server, body.clone()).await.expect(403);
    let server =
        Server::start_with(|settings| settings.accounts.registration = Registration::Staff).await;
    registers(&server, body).await.expect(401);
}
