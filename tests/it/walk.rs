//! Every endpoint and every frame, walked by those who have no business there. Whoever adds an
//! endpoint is asked for its place in this walk.

use std::sync::Arc;

use serde_json::{Value, json};
use tertulia::{layer::MemoryLayer, lease::MemoryTown, ws::dialect::DIALECTS};

use crate::support::{Chat, Heard, Message, Person, Reply, Request, Server, tokens};

/// What an endpoint wants of whoever calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// A member of the chat in its path.
    Member,
    /// Somebody signed in.
    SignIn,
    /// An operator.
    Staff,
    /// Nothing.
    Nothing,
}
use Wants::{Member, Nothing, SignIn, Staff};

/// Method, path and an acceptable body. `{chat}`, `{message}` and `{user}` are filled in.
const ENDPOINTS: &[(&str, &str, &str, Wants)] = &[
    ("POST", "/api/token/", "{}", Nothing),
    ("POST", "/api/token/refresh/", "{}", Nothing),
    ("POST", "/api/token/verify/", "{}", Nothing),
    ("POST", "/api/token/blacklist/", "{}", Nothing),
    ("POST", "/api/token/ticket/", "{}", SignIn),
    ("GET", "/api/sessions/", "", SignIn),
    ("DELETE", "/api/sessions/{session}/", "", SignIn),
    ("POST", "/api/users/", "{}", Nothing),
    ("GET", "/api/users/", "", SignIn),
    ("GET", "/api/users/{user}/", "", SignIn),
    (
        "PATCH",
        "/api/users/{user}/",
        r#"{"is_staff": true}"#,
        Staff,
    ),
    ("PUT", "/api/users/{user}/block/", "", SignIn),
    ("DELETE", "/api/users/{user}/block/", "", SignIn),
    ("PUT", "/api/users/me/avatar/", "", SignIn),
    ("DELETE", "/api/users/me/avatar/", "", SignIn),
    ("GET", "/api/users/{user}/avatar/", "", Nothing),
    ("POST", "/api/users/recovery/", "{}", Nothing),
    ("POST", "/api/users/recovery/confirm/", "{}", Nothing),
    ("GET", "/api/users/me/", "", SignIn),
    (
        "PATCH",
        "/api/users/me/",
        r#"{"first_name": "Mallory"}"#,
        SignIn,
    ),
    ("DELETE", "/api/users/me/", "", SignIn),
    (
        "POST",
        "/api/users/me/password/",
        r#"{"old_password": "x", "new_password": "y"}"#,
        SignIn,
    ),
    ("GET", "/api/support/chats/", "", Staff),
    ("GET", "/api/chats/", "", SignIn),
    (
        "POST",
        "/api/chats/",
        r#"{"kind": "group", "name": "walked"}"#,
        SignIn,
    ),
    ("GET", "/api/chats/{chat}/", "", Member),
    (
        "PATCH",
        "/api/chats/{chat}/",
        r#"{"name": "stolen"}"#,
        Member,
    ),
    ("DELETE", "/api/chats/{chat}/", "", Member),
    ("GET", "/api/chats/{chat}/members/", "", Member),
    (
        "POST",
        "/api/chats/{chat}/members/",
        r#"{"members": [{user}]}"#,
        Member,
    ),
    ("GET", "/api/chats/{chat}/members/{user}/", "", Member),
    (
        "PATCH",
        "/api/chats/{chat}/members/{user}/",
        r#"{"role": "owner"}"#,
        Member,
    ),
    ("DELETE", "/api/chats/{chat}/members/{user}/", "", Member),
    ("GET", "/api/chats/{chat}/messages/", "", Member),
    (
        "POST",
        "/api/chats/{chat}/messages/",
        r#"{"text": "intruder"}"#,
        Member,
    ),
    ("DELETE", "/api/chats/{chat}/messages/", "", Member),
    ("GET", "/api/chats/{chat}/messages/{message}/", "", Member),
    (
        "PATCH",
        "/api/chats/{chat}/messages/{message}/",
        r#"{"text": "forged"}"#,
        Member,
    ),
    (
        "DELETE",
        "/api/chats/{chat}/messages/{message}/",
        "",
        Member,
    ),
    (
        "PUT",
        "/api/chats/{chat}/messages/{message}/reactions/%F0%9F%8E%89/",
        "",
        Member,
    ),
    (
        "DELETE",
        "/api/chats/{chat}/messages/{message}/reactions/%F0%9F%8E%89/",
        "",
        Member,
    ),
    ("GET", "/api/chats/{chat}/events/", "", Member),
    ("POST", "/api/chats/{chat}/read/", "{}", Member),
    (
        "POST",
        "/api/chats/{chat}/attachments/",
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.txt\"\r\n\r\nintruder\r\n--B--\r\n",
        Member,
    ),
    ("GET", "/api/attachments/{message}/", "", Nothing),
    ("GET", "/api/search/", "", SignIn),
    ("GET", "/api/users/me/export/", "", SignIn),
];

/// The frames of the chat dialect: each of its kinds, in every form that names a message.
fn frames(message: i64) -> Vec<Value> {
    vec![
        json!({"type": "message", "text": "intruder"}),
        json!({"type": "message", "text": "intruder", "reply_to": message}),
        json!({"type": "typing", "is_typing": true}),
        json!({"type": "read_messages"}),
        json!({"type": "read_messages", "up_to": message}),
        json!({"type": "edit_message", "message_id": message, "text": "forged"}),
        json!({"type": "delete_message", "message_id": message}),
        json!({"type": "get_messages"}),
        json!({"type": "get_messages", "before": message}),
        json!({"type": "get_messages", "after": message}),
        json!({"type": "sync", "since": 0}),
        json!({"type": "authenticate", "token": "of nobody"}),
        json!({"type": "ping"}),
    ]
}

#[test]
fn every_frame_of_the_chat_dialect_has_its_place_in_this_walk() {
    every_kind_is_among(&frames(1));
}

/// Whoever adds a frame to the chat dialect is asked for it here.
pub(crate) fn every_kind_is_among(frames: &[Value]) {
    let mut dialects = DIALECTS.iter();
    let chat = dialects.find(|dialect| dialect.name == "chat");
    let kinds = chat.expect("the chat dialect").frames;
    assert!(!kinds.is_empty());
    for kind in kinds {
        let is_there = frames.iter().any(|frame| frame["type"] == *kind);
        assert!(is_there, "{kind} has no place among these frames");
    }
}

/// Where the walk goes.
struct Scene {
    server: Server,
    owner: Person,
    member: Person,
    chat: Chat,
    message: Message,
}

impl Scene {
    async fn set() -> Self {
        let server = Server::start_with(|settings| {
            settings.limits.messages_per_minute = 0;
            settings.limits.changes_per_minute = 0;
        });
        Self::set_on(server.await).await
    }

    async fn set_on(server: Server) -> Self {
        let [owner, member] = server.users(["owner", "member"]).await;
        let chat = owner.creates_group("inner circle", [&member]).await;
        let message = owner.says(&chat, "between us").await;
        Self {
            server,
            owner,
            member,
            chat,
            message,
        }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Request {
        let fill = |template: &str| {
            template
                .replace("{chat}", &self.chat.to_string())
                .replace("{message}", &self.message.id.to_string())
                .replace("{user}", &self.owner.id.to_string())
                .replace("{session}", &"0".repeat(32))
        };
        let mut target = fill(path);
        if path.ends_with("/messages/") && method == "DELETE" {
            target += &format!("?sender={}", self.owner.id);
        }
        let request = Request::new(method, &target);
        match body {
            "" => request,
            body if body.starts_with("--B") => {
                request.body("multipart/form-data; boundary=B", fill(body))
            }
            body => request.body("application/json", fill(body)),
        }
    }

    /// All that may not have changed.
    async fn looks(&self) -> Vec<Value> {
        let mut looks = Vec::new();
        let chat = self.chat;
        for target in ["", "members/", "messages/", "events/?since=0"] {
            looks.push(
                self.owner
                    .get(&format!("/api/chats/{chat}/{target}"))
                    .await
                    .expect(200),
            );
        }
        let mut account = self.owner.get("/api/users/me/").await.expect(200);
        for changes_by_itself in ["is_online", "last_seen"] {
            account[changes_by_itself].take();
        }
        looks.push(account);
        looks
    }
}

/// Walks what a chat's members alone may see: 404 everywhere.
async fn sees_nothing(scene: &Scene, intruder: &Person) {
    let before = scene.looks().await;
    for (method, path, body, wants) in ENDPOINTS {
        if *wants != Member {
            continue;
        }
        let request = scene.request(method, path, body).bearer(&intruder.access);
        let reply = request.send(scene.server.address()).await;
        assert_eq!(
            reply.status,
            404,
            "{} {method} {path}: {}",
            intruder.name,
            reply.text()
        );
        assert!(!reply.text().contains("between us") && !reply.text().contains("inner circle"));
    }
    let close = intruder
        .tries_to_join(&scene.chat)
        .await
        .err()
        .expect("nobody let in");
    assert_eq!(close.code, 4003, "{}", intruder.name);
    let since = intruder.handshake_at(&format!("/ws/chat/{}/?since=0", scene.chat));
    assert_eq!(
        since.enter().await.err().map(|close| close.code),
        Some(4003)
    );
    assert_eq!(
        scene.looks().await,
        before,
        "{} changed something",
        intruder.name
    );
}

#[tokio::test]
async fn a_stranger_an_ex_member_and_a_banned_member_see_and_change_nothing() {
    let scene = Scene::set().await;
    let [stranger, former, banned] = scene.server.users(["stranger", "former", "banned"]).await;
    scene.owner.adds(&scene.chat, &former).await;
    scene.owner.adds(&scene.chat, &banned).await;
    former.leaves(&scene.chat).await;
    scene.owner.removes(&scene.chat, &banned).await;
    for intruder in [&stranger, &former, &banned] {
        sees_nothing(&scene, intruder).await;
    }
}

async fn is_turned_away(scene: &Scene, what: &str, token: Option<&str>) {
    let before = scene.looks().await;
    for (method, path, body, wants) in ENDPOINTS {
        if *wants == Nothing {
            continue;
        }
        let request = scene.request(method, path, body);
        let request = match token {
            Some(token) => request.bearer(token),
            None => request,
        };
        let reply: Reply = request.send(scene.server.address()).await;
        assert_eq!(
            reply.status,
            401,
            "{what}: {method} {path}: {}",
            reply.text()
        );
        assert_eq!(
            reply.header("www-authenticate"),
            Some("Bearer realm=\"api\""),
            "{path}"
        );
        if token.is_some() {
            let code = reply.json()["code"].clone();
            assert!(
                code == "token_not_valid" || code == "password_changed",
                "{what}: {path}: {code}"
            );
        }
    }
    let path = format!("/ws/chat/{}/", scene.chat);
    let handshake = match token {
        Some(token) => scene.server.handshake(&path).bearer(token),
        None => scene.server.handshake(&path),
    };
    assert_eq!(
        handshake.enter().await.err().map(|close| close.code),
        Some(4001),
        "{what}"
    );
    assert_eq!(scene.looks().await, before, "{what} changed something");
}

#[tokio::test]
async fn no_door_opens_to_an_expired_a_revoked_a_forged_or_no_token() {
    let scene = Scene::set().await;
    let elsewhere = scene.member.signs_in().await;
    elsewhere.signs_out().await;
    let good = &scene.member.access;
    let cases = [
        ("expired", Some(tokens::expired(good))),
        ("revoked", Some(elsewhere.access)),
        ("forged", Some(tokens::forged(good))),
        ("unsigned", Some(tokens::unsigned(good))),
        ("a refresh token", Some(scene.member.refresh.clone())),
        ("none", None),
    ];
    for (what, token) in &cases {
        is_turned_away(&scene, what, token.as_deref()).await;
    }
    scene.member.joins(&scene.chat).await.still_works().await; // the good one is good all along
}

#[tokio::test]
async fn what_only_staff_may_is_refused_to_everybody_else() {
    let scene = Scene::set().await;
    for (method, path, body, wants) in ENDPOINTS {
        if *wants == Staff {
            let request = scene
                .request(method, path, body)
                .bearer(&scene.member.access);
            let reply = request.send(scene.server.address()).await;
            assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_message_of_another_chat_is_no_message_even_to_a_member_of_both() {
    let scene = Scene::set().await;
    let other = scene.owner.creates_group("other", [&scene.member]).await;
    let before = scene.looks().await;
    let message = scene.message.id;
    for person in [&scene.owner, &scene.member] {
        let base = format!("/api/chats/{other}/messages/");
        let requests = [
            person.get(&format!("{base}{message}/")).await,
            person
                .patch(&format!("{base}{message}/"), json!({"text": "forged"}))
                .await,
            person.delete(&format!("{base}{message}/")).await,
            person.get(&format!("{base}?before={message}")).await,
            person.get(&format!("{base}?after={message}")).await,
            person
                .post(
                    &format!("/api/chats/{other}/read/"),
                    json!({"up_to": message}),
                )
                .await,
            person
                .put(&format!("{base}{message}/reactions/%F0%9F%8E%89/"))
                .await,
            person
                .delete(&format!("{base}{message}/reactions/%F0%9F%8E%89/"))
                .await,
        ];
        for reply in requests {
            assert_eq!(reply.status, 404, "{}", reply.text());
        }
        let reply = person
            .tries_to_say(&other, json!({"text": "re", "reply_to": message}))
            .await;
        assert!(matches!(reply.status, 400 | 404), "{}", reply.text());
        let form = format!(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.txt\"\r\n\r\nre\r\n\
             --B\r\nContent-Disposition: form-data; name=\"reply_to\"\r\n\r\n{message}\r\n--B--\r\n"
        );
        let reply = person
            .request("POST", &format!("/api/chats/{other}/attachments/"))
            .body("multipart/form-data; boundary=B", form)
            .send(person.to)
            .await;
        assert!(matches!(reply.status, 400 | 404), "{}", reply.text());
        let mut phone = person.joins(&other).await;
        for frame in frames(message) {
            if frame.to_string().contains(&message.to_string()) {
                phone.sends(frame.clone()).await;
                let error = phone.hears("error").await;
                assert_eq!(error["code"], "not_found", "{frame}: {error}");
            }
        }
    }
    assert_eq!(scene.looks().await, before);
    assert_eq!(scene.owner.page(&other, "").await["count"], 0);
}

#[tokio::test]
async fn whoever_has_just_been_removed_does_nothing_more_on_a_socket_still_open() {
    // The node of the socket isn't told: it finds out with its next look at the database, up to 2 s later.
    let town = MemoryTown::default();
    let [here, elsewhere] = Server::nodes(
        |_| (Arc::new(MemoryLayer::default()), Arc::new(town.node())),
        |_| {},
    )
    .await;
    let scene = Scene::set_on(elsewhere).await;
    let member = scene.member.at(here.address());
    // A look may come just then, and close the socket before it is heard.
    for _ in 0..5 {
        if is_refused_everything(&scene, &member).await {
            return;
        }
        scene.owner.adds(&scene.chat, &member).await;
    }
    panic!("five times the socket was closed before its frames were heard");
}

/// Whether all frames were heard before the socket's end came.
async fn is_refused_everything(scene: &Scene, member: &Person) -> bool {
    let mut phone = member.joins(&scene.chat).await;
    phone.minds_no_order();
    scene.owner.removes(&scene.chat, member).await;
    let before = scene.looks().await;
    // Whoever may not catch up is sent away.
    let (last, frames): (Vec<_>, Vec<_>) = frames(scene.message.id)
        .into_iter()
        .partition(|frame| frame["type"] == "sync");
    for frame in frames.iter().chain(&last) {
        phone.tries_to_send(frame.clone()).await;
    }
    let mut told = Vec::new();
    let close = loop {
        match phone.next().await {
            Heard::Frame(heard) => told.push(heard),
            Heard::Closed(close) => break close,
        }
    };
    assert_eq!(close.code, 4003, "{told:?}");
    assert!(!json!(told).to_string().contains("between us"), "{told:?}");
    assert_eq!(scene.looks().await, before, "something was changed");
    let is_heard = told.iter().any(|frame| frame["type"] == "pong");
    if is_heard {
        let refused = told.iter().filter(|frame| frame["code"] == "not_found");
        // All but typing, which is no more than a hint, and what concerns the connection alone.
        let harmless = ["typing", "authenticate", "ping"];
        let asked = frames
            .iter()
            .filter(|frame| !harmless.iter().any(|kind| frame["type"] == *kind));
        assert_eq!(refused.count(), asked.count(), "{told:?}");
    }
    is_heard
}

#[tokio::test]
async fn every_endpoint_of_the_document_has_its_place_in_this_walk() {
    let server = Server::start().await;
    let document = server.get("/openapi.json").await.expect(200);
    let same = |path: &str| {
        let segments = path.trim_end_matches('/').split('/');
        let plain = segments.map(|segment| {
            // A `{place}`, or an emoji that stands in one.
            if segment.starts_with(['{', '%']) {
                "{}"
            } else {
                segment
            }
        });
        plain.collect::<Vec<_>>().join("/")
    };
    let paths = document["paths"].as_object().expect("paths");
    assert!(!paths.is_empty());
    let mut missing = Vec::new();
    for (path, methods) in paths.iter().filter(|(path, _)| path.starts_with("/api/")) {
        for method in methods.as_object().expect("methods").keys() {
            let method = method.to_uppercase();
            let is_walked = |(walked, at, _, _): &(&str, &str, &str, Wants)| {
                *walked == method && same(at) == same(path)
            };
            if method != "PARAMETERS" && !ENDPOINTS.iter().any(is_walked) {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "give them a place in ENDPOINTS: {missing:?}"
    );
}
