//! Signing in and out over REST, as simplejwt answers it.

use serde_json::{Value, json};
use tertulia::settings::{JwtAlgorithm, PasswordHasher, Secret, Settings};

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

/// A key file of another service, and a token that it signed with it for user 1.
fn another_service(algorithm: &str) -> (tempfile::NamedTempFile, String) {
    let file: Value =
        serde_json::from_str(include_str!("../vectors/jwt_algorithms.json")).expect("vectors");
    let vectors = file["vectors"].as_array().expect("vectors");
    let vector = vectors
        .iter()
        .find(|vector| vector["algorithm"] == algorithm);
    let text = |name: &str| {
        vector
            .and_then(|vector| vector[name].as_str())
            .expect("a text")
    };
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), text("public_key")).expect("written");
    (key, text("token").to_owned())
}

#[tokio::test]
async fn tokens_that_another_service_signs_are_taken_and_so_are_those_made_here() {
    for (algorithm, name) in [
        (JwtAlgorithm::RS256, "RS256"),
        (JwtAlgorithm::EdDSA, "EdDSA"),
    ] {
        let (key, theirs) = another_service(name);
        let server = Server::start_with(|settings| {
            settings.tokens.jwt_algorithm = algorithm;
            settings.tokens.jwt_public_key_file = Some(key.path().to_owned());
        })
        .await;
        let anna = server.user("anna").await;
        let me = anna.get("/api/users/me/").await.expect(200);
        let notes = anna.creates_group("notes", []).await;
        let by_them = anna.with_token(&theirs);
        assert_eq!(by_them.get("/api/users/me/").await.expect(200), me);
        by_them.joins(&notes).await.still_works().await;
        let forged = anna.with_token(&tokens::forged(&anna.access));
        forged.get("/api/users/me/").await.expect(401);
    }
}

#[tokio::test]
async fn a_new_key_signs_nobody_out_and_a_forgotten_one_does() {
    let [old, new] = [
        "the first key, of more than 32 bytes...",
        "the second key, of more than 32 bytes..",
    ];
    let keyed = |key: &str, previous: &[&str]| {
        let (key, previous) = (
            Secret::new(key),
            previous.iter().map(|key| Secret::new(*key)).collect(),
        );
        move |settings: &mut Settings| {
            settings.tokens.secret_key = Some(key);
            settings.tokens.jwt_previous_keys = previous;
        }
    };
    let server = Server::start_with(keyed(old, &[])).await;
    let anna = server.user("anna").await;
    let credentials = json!({"user_name": "anna", "password": PASSWORD});
    let support = Request::new("POST", "/v1/auth/").json(&credentials);
    let support = support.send(server.address()).await.expect(200);
    let support = &support["result"]["token"];
    let with_both = server.beside_with(keyed(new, &[old])).await;
    let anna = anna.at(with_both.address());
    anna.get("/api/users/me/").await.expect(200);
    let customer = with_both.handshake("/ws/support/").open().await;
    let mut customer = customer.expect("a socket");
    customer
        .sends(json!({"method": "message.auth", "params": [support], "id": 1}))
        .await;
    let answer = customer.next_frame().await;
    assert_eq!((&answer["id"], &answer["error"]), (&json!(1), &Value::Null));
    let refreshed = asks(&with_both, "refresh/", json!({"refresh": anna.refresh}))
        .await
        .expect(200);
    let renewed = anna.with_token(refreshed["access"].as_str().expect("a token"));
    let with_new = server.beside_with(keyed(new, &[])).await;
    anna.at(with_new.address())
        .get("/api/users/me/")
        .await
        .expect(401);
    renewed
        .at(with_new.address())
        .get("/api/users/me/")
        .await
        .expect(200);
}

#[tokio::test]
async fn the_user_s_claim_and_the_clocks_leeway_are_settings() {
    let server = Server::start_with(|settings| {
        settings.tokens.user_id_claim = "account".to_owned();
        settings.tokens.jwt_leeway = std::time::Duration::from_secs(60);
    })
    .await;
    let anna = server.user("anna").await;
    let mut claims = tokens::claims(&anna.access);
    assert_eq!(claims["account"], json!(anna.id.to_string()));
    for (ago, status) in [(30, 200), (90, 401)] {
        claims["exp"] = json!(chrono::Utc::now().timestamp() - ago);
        let late = anna.with_token(&tokens::signed(&claims, tokens::SECRET));
        late.get("/api/users/me/").await.expect(status);
    }
}

#[tokio::test]
async fn the_form_of_new_passwords_is_a_setting_and_old_ones_are_stored_anew_at_the_sign_in() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    for (hasher, prefix) in [
        (PasswordHasher::Pbkdf2Sha256, "pbkdf2_sha256$3906$"),
        (
            PasswordHasher::Argon2,
            "argon2$argon2id$v=19$m=400,t=2,p=8$",
        ),
        (PasswordHasher::BcryptSha256, "bcrypt_sha256$$2b$04$"),
    ] {
        let server = server
            .beside_with(|settings| settings.passwords.password_hasher = hasher)
            .await;
        anna.at(server.address()).signs_in().await;
        assert!(
            server.stored_password(&anna).await.starts_with(prefix),
            "{prefix}"
        );
        anna.at(server.address()).signs_in().await;
    }
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
