//! The ways in: tokens, tickets, origins, hosts.

use serde_json::{Value, json};

use crate::support::{Chat, Handshake, Person, Request, Server, tokens};

async fn with_notes(server: &Server) -> (Person, Chat) {
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    (anna, notes)
}

fn path(chat: &Chat) -> String {
    format!("/ws/chat/{chat}/")
}

async fn code(handshake: Handshake) -> u16 {
    match handshake.enter().await {
        Ok(_) => panic!("{handshake:?} was let in"),
        Err(close) => {
            assert!(!close.reason.is_empty(), "a reason for {}", close.code);
            close.code
        }
    }
}

async fn ticket(person: &Person) -> String {
    let answer = person
        .post("/api/token/ticket/", json!({}))
        .await
        .expect(200);
    assert!(
        answer["expires_in"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0),
        "{answer}"
    );
    answer["ticket"].as_str().expect("a ticket").to_owned()
}

#[tokio::test]
async fn a_token_is_taken_from_the_header_the_subprotocol_a_ticket_or_the_query() {
    let server = Server::start_with(|settings| {
        settings.connections.connections_per_chat = tertulia::settings::ConnectionRule::Many;
    })
    .await;
    let (anna, notes) = with_notes(&server).await;
    let at = |query: &str| server.handshake(&format!("{}{query}", path(&notes)));

    let phone = anna.handshake(&notes).enter().await.expect("by the header");
    assert_eq!(phone.protocol, None);
    let offered = format!("bearer, {}", anna.access);
    let by_protocol = at("").header("Sec-WebSocket-Protocol", &offered);
    let phone = by_protocol.enter().await.expect("by the subprotocol");
    assert_eq!(
        phone.protocol.as_deref(),
        Some("bearer"),
        "browsers abort without it"
    );
    let ticket = ticket(&anna).await;
    at(&format!("?ticket={ticket}"))
        .enter()
        .await
        .expect("by a ticket");
    let phone = at(&format!("?token={}", anna.access))
        .enter()
        .await
        .expect("by the query");
    assert_eq!(phone.hello["user_id"], anna.id);
}

#[tokio::test]
async fn without_the_slash_at_the_end_it_is_the_same_socket() {
    let server = Server::start().await;
    let (anna, notes) = with_notes(&server).await;
    let mut phone = anna
        .handshake_at(&format!("/ws/chat/{notes}"))
        .enter()
        .await
        .expect("in");
    phone.still_works().await;
}

#[tokio::test]
async fn the_first_place_where_a_token_is_found_decides() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let target = format!("{}?token={}", path(&trip), boris.access);
    let phone = anna.handshake_at(&target).enter().await.expect("in");
    assert_eq!(phone.hello["user_id"], anna.id);
    let handshake = server.handshake(&target).bearer("garbage");
    assert_eq!(
        code(handshake).await,
        4001,
        "a bad header isn't mended by the query"
    );
}

#[tokio::test]
async fn whoever_brings_no_good_token_is_told_4001() {
    let server = Server::start().await;
    let (anna, notes) = with_notes(&server).await;
    assert_eq!(code(server.handshake(&path(&notes))).await, 4001, "none");
    let wrong = [
        "garbage".to_owned(),
        tokens::forged(&anna.access),
        tokens::unsigned(&anna.access),
        tokens::expired(&anna.access),
        anna.refresh.clone(),
        format!("{}x", anna.access),
        format!("{}.{}", anna.access, anna.access),
    ];
    for token in &wrong {
        assert_eq!(
            code(server.handshake(&path(&notes)).bearer(token)).await,
            4001,
            "{token}"
        );
        let query = format!("{}?token={token}", path(&notes));
        assert_eq!(code(server.handshake(&query)).await, 4001, "{token}");
        let offered = format!("bearer, {token}");
        let handshake = server
            .handshake(&path(&notes))
            .header("Sec-WebSocket-Protocol", &offered);
        assert_eq!(code(handshake).await, 4001, "{token}");
        let reply = Request::new("GET", "/api/users/me/")
            .bearer(token)
            .send(server.address())
            .await;
        assert_eq!(reply.expect(401)["code"], "token_not_valid", "{token}");
        assert_eq!(
            reply.header("www-authenticate"),
            Some("Bearer realm=\"api\"")
        );
    }
    let jwt = server
        .handshake(&path(&notes))
        .header("Authorization", &format!("JWT {}", anna.access));
    assert_eq!(code(jwt).await, 4001);
}

#[tokio::test]
async fn claims_that_a_forger_would_bend_are_checked() {
    let server = Server::start().await;
    let (anna, notes) = with_notes(&server).await;
    let good = tokens::claims(&anna.access);
    type Bend = fn(&mut Value);
    let bends: [(&str, Bend); 7] = [
        ("exp a string", |claims| claims["exp"] = json!("9999999999")),
        ("no exp", |claims| {
            drop(claims.as_object_mut().and_then(|all| all.remove("exp")))
        }),
        ("nbf in the future", |claims| {
            claims["nbf"] = json!(9_999_999_999_i64)
        }),
        ("iat in the future", |claims| {
            claims["iat"] = json!(9_999_999_999_i64)
        }),
        ("no token_type", |claims| {
            drop(
                claims
                    .as_object_mut()
                    .and_then(|all| all.remove("token_type")),
            )
        }),
        ("nobody", |claims| claims["user_id"] = json!("999999")),
        ("no user_id", |claims| {
            drop(claims.as_object_mut().and_then(|all| all.remove("user_id")))
        }),
    ];
    for (what, bend) in bends {
        let mut claims = good.clone();
        bend(&mut claims);
        let person = anna.with_token(&tokens::signed(&claims, tokens::SECRET));
        assert_eq!(code(person.handshake(&notes)).await, 4001, "{what}");
        person.get("/api/users/me/").await.expect(401);
    }
    // By the right key and unbent it is taken: the bends are what was refused.
    let person = anna.with_token(&tokens::signed(&good, tokens::SECRET));
    person.joins(&notes).await.still_works().await;
}

#[tokio::test]
async fn a_ticket_is_good_once_and_only_as_it_was_given() {
    let server = Server::start().await;
    let (anna, notes) = with_notes(&server).await;
    let ticket = ticket(&anna).await;
    let at = |ticket: &str| server.handshake(&format!("{}?ticket={ticket}", path(&notes)));
    at(&ticket).enter().await.expect("the first time");
    assert_eq!(code(at(&ticket)).await, 4001, "the second time");
    for wrong in [
        "",
        "garbage",
        &anna.access,
        &format!("{ticket}x"),
        &ticket[1..],
    ] {
        assert_eq!(code(at(wrong)).await, 4001, "{wrong}");
    }
    let reply = server.get(&format!("/api/users/me/?ticket={ticket}")).await;
    assert_eq!(reply.status, 401, "a ticket opens sockets, nothing else");
}

#[tokio::test]
async fn one_ticket_used_twice_at_once_opens_one_socket() {
    let server = Server::start().await;
    let (anna, notes) = with_notes(&server).await;
    let ticket = ticket(&anna).await;
    let handshake = server.handshake(&format!("{}?ticket={ticket}", path(&notes)));
    let tries = futures_util::future::join_all((0..6).map(|_| handshake.enter())).await;
    assert_eq!(tries.iter().filter(|entered| entered.is_ok()).count(), 1);
    assert!(
        tries
            .iter()
            .filter_map(|entered| entered.as_ref().err())
            .all(|close| close.code == 4001)
    );
}

#[tokio::test]
async fn a_ticket_of_a_session_that_ended_is_worth_nothing() {
    let server = Server::start().await;
    let (anna, notes) = with_notes(&server).await;
    let ticket = ticket(&anna).await;
    anna.signs_out().await;
    let handshake = server.handshake(&format!("{}?ticket={ticket}", path(&notes)));
    assert_eq!(code(handshake).await, 4001);
}

#[tokio::test]
async fn a_page_of_another_site_may_not_open_sockets() {
    let server = Server::start_with(|settings| {
        settings.listening.allowed_origins = vec!["https://chat.example.org".to_owned()];
    })
    .await;
    let (anna, notes) = with_notes(&server).await;
    let same_host = format!("http://{}", server.address());
    for origin in [same_host.as_str(), "https://chat.example.org"] {
        let handshake = anna.handshake(&notes).header("Origin", origin);
        handshake
            .enter()
            .await
            .unwrap_or_else(|close| panic!("{origin}: {close:?}"));
    }
    for origin in [
        "https://evil.example",
        "http://chat.example.org",
        "null",
        "https://chat.example.org.evil.example",
    ] {
        let handshake = anna.handshake(&notes).header("Origin", origin);
        let refused = handshake.open().await.err().expect("a foreign page");
        assert_eq!(refused.status, 403, "{origin}");
        assert!(
            refused.body.contains(origin),
            "which origin was seen: {}",
            refused.body
        );
        let host = server.address().to_string();
        assert!(
            refused.body.contains(&host),
            "which host it was compared with: {}",
            refused.body
        );
        assert!(
            refused.body.contains("ALLOWED_ORIGINS"),
            "what to change: {}",
            refused.body
        );
    }
}

#[tokio::test]
async fn behind_a_proxy_that_changes_the_host_the_forwarded_one_is_compared() {
    let proxied = |trusted: bool| async move {
        let server = Server::start_with(|settings| {
            if trusted {
                settings.listening.trusted_proxies =
                    vec!["127.0.0.0/8".parse().expect("a network")];
            }
        })
        .await;
        let (anna, notes) = with_notes(&server).await;
        let handshake = anna
            .handshake(&notes)
            .header("Host", "backend:8000")
            .header("X-Forwarded-Host", "chat.example.org")
            .header("Origin", "https://chat.example.org");
        handshake
            .open()
            .await
            .map(drop)
            .map_err(|refused| refused.status)
    };
    assert_eq!(proxied(true).await, Ok(()));
    assert_eq!(
        proxied(false).await,
        Err(403),
        "anybody could send that header"
    );
}

#[tokio::test]
async fn a_preflight_is_answered_before_anybody_signs_in() {
    let server = Server::start_with(|settings| {
        settings.listening.allowed_origins = vec!["https://chat.example.org".to_owned()];
    })
    .await;
    let preflight = |origin: &str| {
        Request::new("OPTIONS", "/api/chats/")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header(
                "Access-Control-Request-Headers",
                "authorization, content-type",
            )
    };
    let reply = preflight("https://chat.example.org")
        .send(server.address())
        .await;
    assert!(
        (200..300).contains(&reply.status),
        "{}: {}",
        reply.status,
        reply.text()
    );
    assert_eq!(
        reply.header("access-control-allow-origin"),
        Some("https://chat.example.org")
    );
    let listed = |name: &str| reply.header(name).unwrap_or_default().to_ascii_lowercase();
    assert!(listed("access-control-allow-headers").contains("authorization"));
    assert!(listed("access-control-allow-headers").contains("content-type"));
    assert!(listed("access-control-allow-methods").contains("post"));
    let reply = preflight("https://evil.example")
        .send(server.address())
        .await;
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn an_allowed_page_may_read_answers_and_errors() {
    let server = Server::start_with(|settings| {
        settings.listening.allowed_origins = vec!["https://chat.example.org".to_owned()];
    })
    .await;
    let anna = server.user("anna").await;
    for request in [
        anna.request("GET", "/api/users/me/"),
        Request::new("GET", "/api/users/me/"),
    ] {
        let reply = request
            .header("Origin", "https://chat.example.org")
            .send(server.address())
            .await;
        assert_eq!(
            reply.header("access-control-allow-origin"),
            Some("https://chat.example.org")
        );
        let exposed = reply
            .header("access-control-expose-headers")
            .unwrap_or_default()
            .to_ascii_lowercase();
        assert!(
            exposed.contains("retry-after") && exposed.contains("location"),
            "{exposed}"
        );
        assert!(
            reply
                .header("vary")
                .is_some_and(|vary| vary.to_ascii_lowercase().contains("origin"))
        );
    }
    let foreign = anna
        .request("GET", "/api/users/me/")
        .header("Origin", "https://evil.example");
    assert_eq!(
        foreign
            .send(server.address())
            .await
            .header("access-control-allow-origin"),
        None
    );
}

#[tokio::test]
async fn all_origins_are_allowed_without_credentials() {
    let server = Server::start_with(|settings| {
        settings.listening.allowed_origins = vec!["*".to_owned()];
    })
    .await;
    let (anna, notes) = with_notes(&server).await;
    let request = anna
        .request("GET", "/api/users/me/")
        .header("Origin", "https://any.example");
    let reply = request.send(server.address()).await;
    assert!(reply.header("access-control-allow-origin").is_some());
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    let handshake = anna
        .handshake(&notes)
        .header("Origin", "https://any.example");
    handshake.enter().await.expect("any page");
}

#[tokio::test]
async fn a_socket_path_asked_without_an_upgrade_is_a_plain_answer() {
    let server = Server::start().await;
    let (anna, notes) = with_notes(&server).await;
    let reply = anna.get(&path(&notes)).await;
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    anna.joins(&notes).await.still_works().await;
}
