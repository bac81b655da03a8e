//! What answers carry whatever they say: Django's headers, CORS, the slash, HEAD, OPTIONS; and the
//! pages that show the document.

use serde_json::json;

use crate::support::{Request, Server};

const DJANGO: [(&str, &str); 4] = [
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

#[tokio::test]
async fn every_answer_has_the_headers_of_django_s_middleware() {
    let server = Server::start().await;
    for target in [
        "/healthz",
        "/readyz",
        "/api/chats/",
        "/nope/",
        "/swagger/",
        "/openapi.json",
    ] {
        let reply = server.get(target).await;
        for (name, value) in DJANGO {
            assert_eq!(reply.header(name), Some(value), "{target} {name}");
        }
        let length = reply.header("content-length").map(str::to_owned);
        assert_eq!(length, Some(reply.body.len().to_string()), "{target}");
    }
}

#[tokio::test]
async fn the_slash_at_the_end_may_be_left_out_and_the_answer_is_the_same() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let made = anna
        .post("/api/chats", json!({"kind": "group", "name": "trip"}))
        .await
        .expect(201);
    let address = format!("/api/chats/{}", made["id"]);
    assert_eq!(
        anna.get(&address).await.expect(200),
        anna.get(&format!("{address}/")).await.expect(200)
    );
    let here = anna
        .get("/api/chats?page_size=1&kind=group")
        .await
        .expect(200);
    assert_eq!(
        here,
        anna.get("/api/chats/?page_size=1&kind=group")
            .await
            .expect(200)
    );
    server.get("/healthz/").await.expect(200);
    anna.delete(&address).await.expect(204);
}

#[tokio::test]
async fn head_is_get_without_what_it_is_about_and_options_describes() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let got = anna.get("/api/chats/").await;
    let head = anna.request("HEAD", "/api/chats/").send(anna.to).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-length", "content-type", "allow"] {
        assert_eq!(head.header(name), got.header(name), "{name}");
    }
    let options = anna.request("OPTIONS", "/api/chats/").send(anna.to).await;
    assert_eq!(options.expect(200)["renders"], json!(["application/json"]));
    assert_eq!(options.header("allow"), Some("GET, POST, HEAD, OPTIONS"));
}

#[tokio::test]
async fn a_deletion_is_answered_without_a_body_and_without_a_type() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let chat = anna.creates_group("trip", []).await;
    let reply = anna.delete(&format!("/api/chats/{chat}/")).await;
    reply.expect(204);
    assert_eq!((reply.header("content-type"), reply.body.len()), (None, 0));
    assert_eq!(
        reply.header("allow"),
        Some("GET, PATCH, DELETE, HEAD, OPTIONS")
    );
}

fn preflight(target: &str, origin: &str) -> Request {
    Request::new("OPTIONS", target)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "PATCH")
        .header("Access-Control-Request-Headers", "authorization")
}

#[tokio::test]
async fn a_listed_site_may_call_and_is_told_so_before_it_has_a_token() {
    let listed = "https://app.example.org";
    let server = Server::start_with(|settings| {
        settings.listening.allowed_origins = vec![listed.to_owned()];
    })
    .await;
    let to = server.address();
    let reply = preflight("/api/users/me/", listed).send(to).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some(listed));
    assert_eq!(
        reply.header("access-control-allow-headers"),
        Some("authorization, content-type")
    );
    assert!(
        reply
            .header("access-control-allow-methods")
            .is_some_and(|methods| methods.contains("PATCH"))
    );
    // The answers themselves too, refusals included: else the page couldn't read why.
    let reply = Request::new("GET", "/api/users/me/")
        .header("Origin", listed)
        .send(to)
        .await;
    assert_eq!(
        (reply.status, reply.header("access-control-allow-origin")),
        (401, Some(listed))
    );
    assert_eq!(
        reply.header("access-control-expose-headers"),
        Some("Retry-After, Location")
    );
    assert_eq!(reply.header("vary"), Some("Origin"));
    // Nobody may keep an answer to no page for one that asks.
    let to_no_page = Request::new("GET", "/api/users/me/").send(to).await;
    assert_eq!(
        (
            to_no_page.header("vary"),
            to_no_page.header("access-control-allow-origin")
        ),
        (Some("Origin"), None)
    );
    for reply in [
        preflight("/api/users/me/", "https://evil.example")
            .send(to)
            .await,
        Request::new("GET", "/healthz")
            .header("Origin", "https://evil.example")
            .send(to)
            .await,
    ] {
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn everybody_may_call_where_that_is_set_but_never_with_credentials() {
    let server = Server::start_with(|settings| {
        settings.listening.allowed_origins = vec!["*".to_owned()];
    })
    .await;
    for request in [
        preflight("/api/chats/", "https://anybody.example"),
        Request::new("GET", "/healthz").header("Origin", "https://anybody.example"),
    ] {
        let reply = request.send(server.address()).await;
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn the_document_and_its_pages_come_out_of_the_service_itself() {
    let server = Server::start().await;
    let json = server.get("/openapi.json").await;
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(json.expect(200)["info"]["title"], "Tertulia");
    let yaml = server.get("/openapi.yaml").await;
    assert_eq!(yaml.text(), include_str!("../../openapi/openapi.yaml"));
    for page in ["/swagger/", "/redoc/", "/swagger"] {
        let reply = server.get(page).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some("text/html; charset=utf-8"))
        );
        let policy = reply.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!reply.text().contains("fonts.googleapis.com"));
    }
}

#[tokio::test]
async fn a_service_that_is_well_says_so() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.expect(200)["status"], "ok");
    let ready = server.get("/readyz").await.expect(200);
    assert_eq!(
        (&ready["status"], &ready["checks"]["database"]),
        (&json!("ok"), &json!("ok"))
    );
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused() {
    let server = Server::start_with(|settings| {
        settings.listening.allowed_hosts = vec!["chat.example.org".to_owned()];
    })
    .await;
    let to = server.address();
    let ask = |path: &str, host: &str| Request::new("GET", path).header("Host", host);
    ask("/openapi.json", "chat.example.org:8000")
        .send(to)
        .await
        .expect(200);
    ask("/openapi.json", "evil.example")
        .send(to)
        .await
        .expect(400);
    // Whoever watches over it asks by its address.
    for path in ["/healthz", "/readyz", "/healthz/"] {
        ask(path, "10.0.0.5:8000").send(to).await.expect(200);
    }
}
