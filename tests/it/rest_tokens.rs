//! Signing in and out over REST, as simplejwt answers it.

use serde_json::{Value, json};

use crate::support::{Reply, Request, Server, person::PASSWORD, tokens};

async fn asks(server: &Server, door: &str, body: Value) -> Reply {
    Request::new("POST", &format!("/api/token/{door}"))
        .json(&body)
        .send(server.address())
        .await
}

fn not_valid(message: &str) -> Value {
    json!({"detail": message, "code": "token_not_valid"})
}

#[tokio::test]
async fn credentials_are_trimmed_exact_and_refused_alike() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let pair = asks(
        &server,
        "",
        json!({"username": "  anna ", "password": PASSWORD}),
    )
    .await;
    let text = pair.text();
    assert!(
        text.starts_with("{\"refresh\":\"") && text.contains("\",\"access\":\""),
        "{text}"
    );
    let claims = tokens::claims(pair.json()["access"].as_str().expect("a token"));
    assert_eq!(claims["user_id"], json!(anna.id.to_string()));
    assert_eq!(claims["token_type"], "access");

    let nobody = json!({"detail": "No active account found with the given credentials"});
    for (username, password) in [("anna", "nope"), ("zed", PASSWORD), ("Anna", PASSWORD)] {
        let reply = asks(
            &server,
            "",
            json!({"username": username, "password": password}),
        )
        .await;
        assert_eq!(reply.expect(401), nobody, "{username}");
        assert_eq!(
            reply.header("www-authenticate"),
            Some("Bearer realm=\"api\"")
        );
        assert_eq!(reply.header("allow"), Some("POST, OPTIONS"));
    }
    let required =
        json!({"username": ["This field is required."], "password": ["This field is required."]});
    assert_eq!(asks(&server, "", json!({})).await.expect(400), required);
    let reply = server.get("/api/token/").await;
    assert_eq!(
        reply.expect(405),
        json!({"detail": "Method \"GET\" not allowed."})
    );
}

#[tokio::test]
async fn a_refresh_token_gives_access_tokens_until_it_is_blacklisted_and_then_its_session_is_over()
{
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let body = json!({"refresh": anna.refresh});
    let refreshed = asks(&server, "refresh/", body.clone()).await.expect(200);
    assert_eq!(
        refreshed.as_object().map(|keys| keys.len()),
        Some(1),
        "no rotation: {refreshed}"
    );
    let newer = anna.with_token(refreshed["access"].as_str().expect("a token"));
    newer.get("/api/users/me/").await.expect(200);

    assert_eq!(
        asks(&server, "blacklist/", body.clone()).await.expect(200),
        json!({})
    );
    for door in ["refresh/", "blacklist/"] {
        let reply = asks(&server, door, body.clone()).await;
        assert_eq!(
            reply.expect(401),
            not_valid("Token is blacklisted"),
            "{door}"
        );
    }
    for access in [&anna.access, &newer.access] {
        let reply = anna.with_token(access).get("/api/users/me/").await;
        let refusal = reply.expect(401);
        assert_eq!(
            refusal["detail"],
            "Given token not valid for any token type"
        );
        assert_eq!(refusal["messages"][0]["message"], "Token is invalid");
    }
}

#[tokio::test]
async fn tokens_that_are_not_good_are_told_apart() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    for good in [&anna.access, &anna.refresh] {
        assert_eq!(
            asks(&server, "verify/", json!({"token": good}))
                .await
                .expect(200),
            json!({})
        );
    }
    for (token, message) in [
        ("abc".to_owned(), "Token is invalid"),
        (tokens::forged(&anna.access), "Token is invalid"),
        (tokens::unsigned(&anna.access), "Token is invalid"),
        (tokens::expired(&anna.access), "Token is expired"),
    ] {
        let reply = asks(&server, "verify/", json!({"token": token})).await;
        assert_eq!(reply.expect(401), not_valid(message));
        let refusal = anna
            .with_token(&token)
            .get("/api/users/me/")
            .await
            .expect(401);
        assert_eq!(refusal["code"], "token_not_valid");
        assert_eq!(refusal["messages"][0]["message"], message);
    }
    let reply = asks(&server, "refresh/", json!({"refresh": anna.access})).await;
    assert_eq!(reply.expect(401), not_valid("Token has wrong type"));
    for (header, status, detail) in [
        (
            "bearer x",
            401,
            "Authentication credentials were not provided.",
        ),
        (
            "Bearer",
            401,
            "Authorization header must contain two space-delimited values",
        ),
        (
            "Bearer a b",
            401,
            "Authorization header must contain two space-delimited values",
        ),
    ] {
        let request = Request::new("GET", "/api/users/me/").header("Authorization", header);
        let reply = request.send(server.address()).await;
        assert_eq!(reply.expect(status)["detail"], detail, "{header}");
    }
}

#[tokio::test]
async fn with_rotation_the_old_token_is_answered_again_for_a_moment_with_the_same_successor() {
    let server = Server::start_with(|settings| settings.tokens.rotate_refresh_tokens = true).await;
    let anna = server.user("anna").await;
    let body = json!({"refresh": anna.refresh});
    let first = asks(&server, "refresh/", body.clone()).await.expect(200);
    let again = asks(&server, "refresh/", body).await.expect(200);
    assert_ne!(first["refresh"], json!(anna.refresh));
    let jti =
        |pair: &Value| tokens::claims(pair["refresh"].as_str().expect("a token"))["jti"].clone();
    assert_eq!(
        jti(&first),
        jti(&again),
        "another tab gets the same successor"
    );
}

#[tokio::test]
async fn a_ticket_lasts_half_a_minute() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let ticket = anna.post("/api/token/ticket/", json!({})).await.expect(200);
    assert_eq!(ticket["expires_in"], 30);
    assert!(
        ticket["ticket"]
            .as_str()
            .is_some_and(|ticket| !ticket.is_empty())
    );
}

#[tokio::test]
async fn whoever_guesses_passwords_is_told_to_wait() {
    let server = Server::start_with(|settings| settings.limits.signin_failures = 3).await;
    server.user("anna").await;
    let guess = |n: usize| json!({"username": "anna", "password": format!("guess number {n}")});
    for n in 0..3 {
        asks(&server, "", guess(n)).await.expect(401);
    }
    let reply = asks(&server, "", guess(3)).await;
    let seconds = reply
        .header("retry-after")
        .expect("when to come back")
        .to_owned();
    let detail = format!("Request was throttled. Expected available in {seconds} seconds.");
    assert_eq!(reply.expect(429), json!({"detail": detail}));
}

#[tokio::test]
async fn one_s_sessions_are_listed_and_can_be_ended_from_elsewhere() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let elsewhere = anna.signs_in().await;
    let list = anna.get("/api/sessions/").await.expect(200);
    assert_eq!(list["count"], 2);
    let results = list["results"].as_array().expect("sessions");
    let other = results
        .iter()
        .find(|session| session["is_current"] == false)
        .expect("another");
    let address = format!("/api/sessions/{}/", other["id"].as_str().expect("an id"));
    boris.delete(&address).await.expect(404);
    elsewhere.get("/api/users/me/").await.expect(200);
    anna.delete(&address).await.expect(204);
    elsewhere.get("/api/users/me/").await.expect(401);
    anna.get("/api/users/me/").await.expect(200);
    assert_eq!(anna.get("/api/sessions/").await.expect(200)["count"], 1);
}
