//! simplejwt's own answers, recorded, against this service's: every request again, with the same tokens moved to today.
//!
//! Where the answers differ on purpose, the difference stands in `DIFFERENT` with its reason, and in
//! `docs/differences-from-django.md`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::{Sha256, Sha384, Sha512};
use tertulia::settings::Settings;

use crate::support::{Reply, Request, Server, person::PASSWORD, tokens};

/// The key of the recorded tokens.
const RECORDED_KEY: &str = "test-only-secret-key-0123456789-abcdefghijklmnopqrstuvwxyz-XYZ";

/// What is answered otherwise on purpose: status and body here.
const DIFFERENT: &[(&str, u16, &str)] = &[
    // simplejwt fails with a status 500 for these.
    (
        "protected user_id not a number",
        401,
        r#"{"detail":"Token contained no recognizable user identification","code":"token_not_valid"}"#,
    ),
    (
        "protected exp string",
        401,
        r#"{"detail":"Given token not valid for any token type","code":"token_not_valid","messages":[{"token_class":"AccessToken","token_type":"access","message":"Token is invalid"}]}"#,
    ),
    (
        "refresh unknown user",
        401,
        r#"{"detail":"No active account found for the given token."}"#,
    ),
    // The same answer without the slash, where Django redirects and clients repeat a POST as GET.
    (
        "token no slash GET",
        405,
        r#"{"detail":"Method \"GET\" not allowed."}"#,
    ),
    ("token no slash POST", 200, "tokens"),
    // Here the document of the service describes it.
    ("obtain OPTIONS", 200, "described"),
    // A used refresh token is answered once more for 30 s, with the same successor.
    ("rotate_blacklist: refresh old again", 200, "tokens"),
    // With rotation a used token is blacklisted; simplejwt has a setting for each.
    (
        "rotate: verify old refresh",
        400,
        r#"{"non_field_errors":["Token is blacklisted"]}"#,
    ),
    // A new password ends every sign-in.
    (
        "revoke: refresh after password change",
        401,
        r#"{"detail":"The user's password has been changed.","code":"token_not_valid"}"#,
    ),
];

fn recorded() -> Value {
    serde_json::from_str(include_str!("../vectors/jwt_responses.json")).expect("vectors")
}

fn decoded(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn signature(algorithm: &str, message: &str, key: &str) -> String {
    macro_rules! tag {
        ($hash:ty) => {{
            let mut mac = Hmac::<$hash>::new_from_slice(key.as_bytes()).expect("any key will do");
            mac.update(message.as_bytes());
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        }};
    }
    match algorithm {
        "HS256" => tag!(Sha256),
        "HS384" => tag!(Sha384),
        "HS512" => tag!(Sha512),
        _ => String::new(),
    }
}

/// The same token, made `by` seconds later and with this service's key; by a stranger where it was a stranger's.
fn moved(token: &str, by: i64) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signed] = parts[..] else {
        return token.to_owned();
    };
    let (Some(head), Some(Value::Object(mut claims))) = (decoded(header), decoded(payload)) else {
        return token.to_owned();
    };
    for claim in ["exp", "iat", "nbf"] {
        if let Some(at) = claims.get(claim).and_then(Value::as_i64) {
            claims.insert(claim.to_owned(), json!(at + by));
        }
    }
    let algorithm = head["alg"].as_str().unwrap_or_default();
    let is_theirs = signature(algorithm, &format!("{header}.{payload}"), RECORDED_KEY) == signed;
    let message = format!(
        "{header}.{}",
        URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string())
    );
    let key = if is_theirs {
        tokens::SECRET
    } else {
        "a stranger's key of many more than 32 bytes"
    };
    format!("{message}.{}", signature(algorithm, &message, key))
}

/// The access token that a recorded request carried, by the request's name: the recording leaves it out.
fn bearer(name: &str, now: i64, access_lifetime: i64) -> String {
    let mut claims = json!({
        "token_type": "access", "exp": now + access_lifetime, "iat": now - 1,
        "jti": "325f6ad6e6e24ff7816a9af0a6207740", "user_id": "1",
    });
    let header = match name {
        "protected header typ absent" => json!({"alg": "HS256"}),
        _ => json!({"alg": "HS256", "typ": "JWT"}),
    };
    let mut set = |claim: &str, value: Value| claims[claim] = value;
    match name {
        "protected expired" => set("exp", json!(now - 60)),
        "protected refresh token" => set("token_type", json!("refresh")),
        "protected unknown user" => set("user_id", json!("99999")),
        "protected user_id int" => set("user_id", json!(1)),
        "protected user_id not a number" => set("user_id", json!("abc")),
        "protected inactive user" => set("user_id", json!("3")),
        "protected iat in the future" => set("iat", json!(now + 100)),
        "protected nbf in the future" => set("nbf", json!(now + 100)),
        "protected exp float" => set("exp", json!(now as f64 + 300.5)),
        "protected exp string" => set("exp", json!((now + 300).to_string())),
        "protected sub int" => set("sub", json!(1)),
        "protected aud present" => set("aud", json!("someone")),
        _ => {}
    }
    if let Some(claim) = name.strip_prefix("protected no ")
        && let Some(claims) = claims.as_object_mut()
    {
        claims.remove(claim);
    }
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let message = format!("{}.{}", encode(&header), encode(&claims));
    format!("{message}.{}", signature("HS256", &message, tokens::SECRET))
}

/// Where the recorded project had this, this service has that.
fn target(path: &str) -> &str {
    match path {
        "/api/whoami/" => "/api/users/me/",
        "/api/admin-only/" => "/api/support/chats/",
        same => same,
    }
}

async fn asks_again(server: &Server, vector: &Value, by: i64) -> Reply {
    let request = &vector["request"];
    let text = |key: &str| request[key].as_str().unwrap_or_default();
    let mut again = Request::new(text("method"), target(text("path")));
    let none = Map::new();
    let mut content_type = "";
    for (name, value) in request["headers"].as_object().unwrap_or(&none) {
        let value = value.as_str().expect("a header");
        let name_of = vector["name"].as_str().expect("a name");
        match (&**name, value) {
            ("Content-Type", it) => content_type = it,
            (_, "Bearer <access token>") => {
                let token = bearer(name_of, Utc::now().timestamp(), 300);
                again = again.header(name, &format!("Bearer {token}"));
            }
            ("Authorization", header) if header.contains("eyJ") => {
                let (scheme, _) = header.split_once("eyJ").expect("a scheme");
                let token = bearer(name_of, Utc::now().timestamp(), 300);
                again = again.header(name, &format!("{scheme}{token}"));
            }
            _ => again = again.header(name, value),
        }
    }
    let body = match serde_json::from_str::<Value>(text("body_text")) {
        Ok(Value::Object(mut fields)) => {
            for field in ["refresh", "token"] {
                if let Some(token) = fields.get(field).and_then(Value::as_str) {
                    fields.insert(field.to_owned(), json!(moved(token, by)));
                }
            }
            Value::Object(fields).to_string()
        }
        _ => text("body_text").to_owned(),
    };
    if !content_type.is_empty() {
        again = again.body(content_type, body);
    }
    again.send(server.address()).await
}

/// Asks everything of a group again, in order.
async fn asks_all_again(group: &str, server: &Server, between: impl AsyncFn(&str)) {
    let recorded = recorded();
    let vectors = recorded[group].as_array().expect("a group");
    assert!(!vectors.is_empty());
    let obtained = vectors[0]["response"]["body_json"]["refresh"].as_str();
    let obtained = tokens::claims(obtained.expect("the first one obtains tokens"));
    let by = Utc::now().timestamp() - (obtained["iat"].as_i64().expect("when") + 5);
    for vector in vectors {
        let name = vector["name"].as_str().expect("a name");
        between(name).await;
        let reply = asks_again(server, vector, by).await;
        let response = &vector["response"];
        let named =
            |(it, ..): &&(&str, u16, &str)| *it == name || *it == format!("{group}: {name}");
        let (status, body) = match DIFFERENT.iter().find(named) {
            Some((_, status, body)) => (*status, *body),
            None => (
                response["status"].as_u64().expect("a status") as u16,
                response["body_text"].as_str().expect("a body"),
            ),
        };
        assert_eq!(reply.status, status, "{group}, {name}: {}", reply.text());
        let path = vector["request"]["path"].as_str().expect("a path");
        if status == response["status"] {
            let is_same_path = target(path) == path;
            let headers = response["headers"].as_object().expect("headers");
            for (header, value) in headers {
                let is_compared = match &**header {
                    // There is one renderer here, so that nothing varies by it.
                    "Vary" | "Content-Length" => false,
                    "Allow" => is_same_path,
                    _ => true,
                };
                if is_compared {
                    assert_eq!(
                        reply.header(header),
                        value.as_str(),
                        "{group}, {name}: {header}"
                    );
                }
            }
        }
        let shown = reply.text();
        match body {
            "described" => assert!(reply.json()["parses"].is_array(), "{shown}"),
            "tokens" => assert!(
                shown.contains("\"access\":\"eyJ"),
                "{group}, {name}: {shown}"
            ),
            _ if body.contains(":\"eyJ") => {
                let without = |text: &str| {
                    let json: Value = serde_json::from_str(text).expect("JSON");
                    let names: Vec<String> =
                        json.as_object().expect("tokens").keys().cloned().collect();
                    (names, text.split("\":\"").next().map(str::to_owned))
                };
                assert_eq!(without(&shown), without(body), "{group}, {name}");
            }
            _ if target(path) != path && status == 200 => {
                let recorded: Value = serde_json::from_str(body).expect("JSON");
                for (key, value) in recorded.as_object().expect("an object") {
                    assert_eq!(reply.json()[key], *value, "{group}, {name}");
                }
            }
            _ => assert_eq!(shown, body, "{group}, {name}"),
        }
    }
}

/// A server with the recorded project's people: alice is the first, the third is inactive.
async fn server(change: impl FnOnce(&mut Settings)) -> Server {
    let server = Server::start_with(|settings| {
        settings.limits.signin_failures = 0;
        change(settings);
    })
    .await;
    for (name, password) in [
        ("alice", "correct horse 1"),
        ("somebody", PASSWORD),
        ("inactive", "sleepy 3"),
    ] {
        let body = json!({"username": name, "password": password});
        let made = Request::new("POST", "/api/users/").json(&body);
        made.send(server.address()).await.expect(201);
    }
    let operator = server.operator("operator").await;
    let inactive = operator.patch("/api/users/3/", json!({"is_active": false}));
    inactive.await.expect(200);
    server
}

#[tokio::test]
async fn every_request_that_simplejwt_answered_is_answered_alike() {
    let server = server(|_| {}).await;
    asks_all_again("default", &server, async |_| {}).await;
}

#[tokio::test]
async fn with_rotation_too() {
    for group in ["rotate", "rotate_blacklist"] {
        let server = server(|settings| settings.tokens.rotate_refresh_tokens = true).await;
        asks_all_again(group, &server, async |_| {}).await;
    }
}

#[tokio::test]
async fn a_changed_password_ends_tokens_as_check_revoke_token_does() {
    let server = server(|_| {}).await;
    asks_all_again("revoke", &server, async |name| {
        if name.starts_with("protected after") {
            let alice = json!({"username": "alice", "password": "correct horse 1"});
            let pair = Request::new("POST", "/api/token/").json(&alice);
            let pair = pair.send(server.address()).await.expect(200);
            let passwords =
                json!({"old_password": "correct horse 1", "new_password": "another horse 2"});
            let changed = Request::new("POST", "/api/users/me/password/")
                .bearer(pair["access"].as_str().expect("a token"))
                .json(&passwords);
            let changed = changed.send(server.address()).await;
            assert!(changed.status < 300, "{}", changed.text());
        }
    })
    .await;
}
