//! The pages: what their answers carry, what is kept by a browser and for how long, and that sockets at `/` go on.

use serde_json::Value;
use tertulia::settings::RootDialect;

use crate::support::{Reply, Request, Server};

/// The address of the pages' own files, as a page names it.
fn place(page: &str) -> &str {
    let start = page.find("/web/").expect("an address of the files");
    let rest = &page[start + "/web/".len()..];
    &page[start..start + "/web/".len() + rest.find('/').expect("the digest's end")]
}

async fn get(server: &Server, target: &str, headers: &[(&str, &str)]) -> Reply {
    let request = Request::new("GET", target);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    request.send(server.address()).await
}

#[tokio::test]
async fn the_pages_come_with_a_policy_that_lets_nothing_else_in() {
    let server = Server::start().await;
    for target in ["/", "/docs/websocket/", "/docs/websocket"] {
        let reply = server.get(target).await;
        assert_eq!(reply.status, 200, "{target}");
        assert_eq!(
            reply.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = reply.header("content-security-policy").unwrap_or_default();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(rule), "{target}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{target} {name}");
        }
        // What the policy would refuse isn't there: no script and no style but those of files.
        let text = reply.text();
        assert!(!text.contains("<style") && !text.contains("style=") && !text.contains("onload="));
        let scripts = text.matches("<script").count();
        assert_eq!(scripts, text.matches(" src=\"/web/").count(), "{text}");
    }
}

#[tokio::test]
async fn every_file_that_a_page_names_is_there_and_may_be_kept_for_good() {
    let server = Server::start().await;
    let page = server.get("/").await.text();
    let named: Vec<&str> = page
        .split(['"'])
        .filter(|part| part.starts_with("/web/"))
        .collect();
    assert!(named.len() > 20, "{page}");
    for target in named {
        let reply = server.get(target).await;
        assert_eq!(reply.status, 200, "{target}");
        assert_eq!(
            reply.header("cache-control"),
            Some("public, max-age=31536000, immutable"),
            "{target}"
        );
    }
    // A file of another version isn't mixed with those of this one.
    let other = format!("{}x/app/main.js", place(&page));
    server.get(&other).await.expect(404);
}

#[tokio::test]
async fn scripts_of_other_sites_may_import_the_client_and_read_nothing_else() {
    let server = Server::start().await;
    let page = server.get("/").await.text();
    let place = place(&page);
    let origin = ("Origin", "https://elsewhere.example");
    for target in [
        "/tertulia.js",
        "/tertulia.d.ts",
        "/tertulia/errors.js",
        "/tertulia/order.js",
        "/tertulia/outbox.js",
        "/tertulia/session.js",
    ] {
        for target in [target.to_owned(), format!("{place}{target}")] {
            let reply = get(&server, &target, &[origin]).await;
            assert_eq!(reply.status, 200, "{target}");
            let etag = reply.header("etag").expect("an ETag").to_owned();
            let known = get(&server, &target, &[origin, ("If-None-Match", &etag)]).await;
            assert_eq!(known.status, 304, "{target}");
            // A cache may give one site what another has asked for: the answer is the same for all.
            for reply in [reply, known, server.get(&target).await] {
                let allowed = reply.header("access-control-allow-origin");
                assert_eq!(allowed, Some("*"), "{target}");
                assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
            }
        }
    }
    for target in ["/", "/docs/websocket/", "/asyncapi.json"] {
        let reply = get(&server, target, &[origin]).await;
        let allowed = reply.header("access-control-allow-origin");
        assert_eq!(allowed, None, "{target}");
    }
    let main = get(&server, &format!("{place}/app/main.js"), &[origin]).await;
    assert_eq!(main.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn what_a_browser_has_already_is_not_sent_again() {
    let server = Server::start().await;
    for target in [
        "/",
        "/tertulia.js",
        "/tertulia.d.ts",
        "/tertulia/order.js",
        "/asyncapi.json",
    ] {
        let reply = server.get(target).await;
        let etag = reply.header("etag").expect("an ETag").to_owned();
        for given in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"x\", {etag}"),
            "*".to_owned(),
        ] {
            let again = get(&server, target, &[("If-None-Match", &given)]).await;
            assert_eq!(
                (again.status, again.body.len()),
                (304, 0),
                "{target} {given}"
            );
            assert_eq!(again.header("etag"), Some(&*etag));
            assert_eq!(again.header("cache-control"), Some("no-cache"));
        }
        let other = get(&server, target, &[("If-None-Match", "\"x\"")]).await;
        assert_eq!((other.status, other.body), (200, reply.body));
    }
}

#[tokio::test]
async fn who_understands_gzip_gets_less_and_is_told_apart() {
    let server = Server::start().await;
    for target in ["/", "/tertulia.js", "/asyncapi.json"] {
        let plain = server.get(target).await;
        assert_eq!(plain.header("content-encoding"), None);
        let zipped = get(&server, target, &[("Accept-Encoding", "br, gzip;q=0.8")]).await;
        assert_eq!(zipped.header("content-encoding"), Some("gzip"), "{target}");
        assert!(zipped.body.len() < plain.body.len() / 2, "{target}");
        assert_eq!(&zipped.body[..2], b"\x1f\x8b");
        for reply in [&plain, &zipped] {
            assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
        }
        assert_ne!(plain.header("etag"), zipped.header("etag"));
        let refused = get(&server, target, &[("Accept-Encoding", "gzip; q=0, br")]).await;
        assert_eq!(refused.header("content-encoding"), None);
    }
    // A font is small already.
    let page = server.get("/").await.text();
    let font = format!("{}/fonts/onest-latin-wght-normal.woff2", place(&page));
    let reply = get(&server, &font, &[("Accept-Encoding", "gzip")]).await;
    assert_eq!(reply.header("content-type"), Some("font/woff2"));
    assert_eq!(&reply.body[..4], b"wOF2");
}

#[tokio::test]
async fn head_is_get_without_the_page_and_nothing_else_is_done_here() {
    let server = Server::start().await;
    let got = server.get("/").await;
    let head = Request::new("HEAD", "/").send(server.address()).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-length", "content-type", "etag"] {
        assert_eq!(head.header(name), got.header(name), "{name}");
    }
    let post = Request::new("POST", "/").send(server.address()).await;
    assert_eq!(post.header("allow"), Some("GET, HEAD"));
    assert_eq!(post.expect(405)["detail"], "Method \"POST\" not allowed.");
    server.get("/docs/").await.expect(404);
    server.get("/web/").await.expect(404);
}

#[tokio::test]
async fn the_document_of_the_sockets_is_the_committed_one_in_both_forms() {
    let server = Server::start().await;
    let yaml = server.get("/asyncapi.yaml").await;
    assert_eq!(yaml.text(), include_str!("../../openapi/asyncapi.yaml"));
    let json: Value = server.get("/asyncapi.json").await.expect(200);
    assert_eq!(json["info"]["title"], "Tertulia over WebSocket");
    assert_eq!(json["channels"]["chats"]["address"], "/ws/chats/");
}

#[tokio::test]
async fn a_socket_at_the_root_and_the_page_at_the_root_are_both_there() {
    let server = Server::start_with(|settings| {
        settings.connections.root_dialect = Some(RootDialect::Chats);
    })
    .await;
    let anna = server.user("anna").await;
    let mut phone = anna.handshake_at("/").open().await.expect("a socket");
    assert!(phone.next_text().await.contains("connection_established"));
    let page = server.get("/").await;
    assert!(page.text().starts_with("<!doctype html>"));
}

#[tokio::test]
async fn a_host_that_is_not_ours_sees_no_page() {
    let server = Server::start_with(|settings| {
        settings.listening.allowed_hosts = vec!["chat.example.org".to_owned()];
    })
    .await;
    let page = |host: &'static str| Request::new("GET", "/").header("Host", host);
    let reply = page("chat.example.org").send(server.address()).await;
    assert_eq!(reply.status, 200);
    let reply = page("evil.example").send(server.address()).await;
    assert_eq!(reply.expect(400)["detail"], "Invalid host.");
}
