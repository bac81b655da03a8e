//! DRF's own answers, recorded, against this service's: the same request of a resource that is alike, and the same
//! answer but for the resource's name.
//!
//! What was recorded for other things than this service has (cursor and offset pages, other authentications, HTML)
//! doesn't apply; what differs on purpose stands in `docs/differences-from-django.md`.

use serde_json::{Value, json};

use crate::support::{Person, Reply, Request, Server};

fn recorded(name: &str) -> Value {
    let file: Value =
        serde_json::from_str(include_str!("../vectors/drf_responses.json")).expect("vectors");
    let cases = file["cases"].as_array().expect("cases");
    let case = cases.iter().find(|case| case["name"] == name);
    case.unwrap_or_else(|| panic!("no case {name}"))["response"].clone()
}

/// Status, body and headers as they were recorded, but for what the resource is called and what it allows.
#[track_caller]
fn is_as_recorded(name: &str, reply: &Reply, renamed: &[(&str, &str)]) {
    let response = recorded(name);
    let mut body = response["body_text"].as_str().expect("a body").to_owned();
    for (theirs, ours) in renamed {
        body = body.replace(theirs, ours);
    }
    assert_eq!(reply.status, response["status"], "{name}: {}", reply.text());
    assert_eq!(reply.text(), body, "{name}");
    for (header, value) in response["headers"].as_object().expect("headers") {
        if !matches!(&**header, "Allow" | "Content-Length" | "Vary") {
            assert_eq!(reply.header(header), value.as_str(), "{name}: {header}");
        }
    }
    let length = reply.body.len().to_string();
    assert_eq!(reply.header("content-length"), Some(&*length), "{name}");
}

fn sends(person: &Person, method: &str, target: &str, body: impl Into<Vec<u8>>) -> Request {
    person
        .request(method, target)
        .body("application/json", body)
}

#[tokio::test]
async fn bodies_and_fields_are_refused_in_drf_s_words() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let anna = server.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    let target = format!("/api/chats/{trip}/messages/");
    let long = json!({"text": "x".repeat(1001)}).to_string();
    let text = [
        ("\"name\"", "\"text\""),
        ("20 characters", "1000 characters"),
    ];
    for (name, body) in [
        ("create missing required", &b"{}"[..]),
        ("create blank", br#"{"text": ""}"#),
        ("create whitespace only", br#"{"text": "   "}"#),
        ("create null", br#"{"text": null}"#),
        ("create too long", long.as_bytes()),
        ("create bool as name", br#"{"text": true}"#),
        ("create nul char", br#"{"text": "a\u0000b"}"#),
        ("create array instead of object", b"[1, 2]"),
        ("create string instead of object", br#""x""#),
        ("create null body", b"null"),
        ("malformed json", br#"{"name": "#),
        ("malformed json 2", b"{'name': 'x'}"),
        ("json with NaN", br#"{"name": NaN}"#),
        ("json invalid utf8", b"{\"name\": \"\xff\"}"),
        ("json with BOM", b"\xef\xbb\xbf{\"name\": \"bom\"}"),
    ] {
        let reply = sends(&anna, "POST", &target, body).send(anna.to).await;
        is_as_recorded(name, &reply, &text);
    }
    let empty = anna.request("POST", &target).send(anna.to).await;
    is_as_recorded("create empty body", &empty, &text);
    let form = "application/x-www-form-urlencoded";
    let parts = "--B\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n\r\n--B--\r\n";
    for (name, content_type, body) in [
        ("multipart form", "multipart/form-data; boundary=B", parts),
        ("unsupported media type 2", "text/plain", "x"),
    ] {
        let request = anna.request("POST", &target).body(content_type, body);
        is_as_recorded(name, &request.send(anna.to).await, &text);
    }
    let accepted = anna.request("POST", &target).body(form, "text=by+form");
    assert_eq!(accepted.send(anna.to).await.expect(201)["text"], "by form");
    let charset = "application/json; charset=utf-8";
    let accepted = anna
        .request("POST", &target)
        .body(charset, r#"{"text": 5}"#);
    assert_eq!(accepted.send(anna.to).await.expect(201)["text"], "5");

    let chats = "/api/chats/";
    let members =
        |members: &str| format!(r#"{{"kind": "group", "name": "x", "members": [{members}]}}"#);
    for (name, body, renamed) in [
        (
            "message bad fk",
            members("999"),
            ("\"room\"", "\"members\""),
        ),
        (
            "message fk wrong type",
            members("\"abc\""),
            ("\"room\"", "\"members\""),
        ),
        (
            "message bad choice",
            r#"{"kind": "video", "name": "x"}"#.to_owned(),
            ("", ""),
        ),
    ] {
        let reply = sends(&anna, "POST", chats, body).send(anna.to).await;
        is_as_recorded(
            name,
            &reply,
            &[renamed].map(|(a, b)| if a.is_empty() { ("\u{0}", "") } else { (a, b) }),
        );
    }
}

#[tokio::test]
async fn who_what_and_how_are_asked_in_drf_s_order() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    let to = anna.to;
    let model = [("No Room", "No Chat")];
    let one = format!("/api/chats/{trip}/");
    for (name, request) in [
        ("retrieve 404", anna.request("GET", "/api/chats/9999/")),
        (
            "retrieve non-numeric pk",
            anna.request("GET", "/api/chats/abc/"),
        ),
        ("delete again", anna.request("DELETE", "/api/chats/9999/")),
        (
            "method not allowed detail POST",
            sends(&anna, "POST", &one, "{}"),
        ),
        (
            "method not allowed list DELETE",
            anna.request("DELETE", "/api/chats/"),
        ),
        (
            "method not allowed PUT list",
            sends(&anna, "PUT", "/api/chats/", "{}"),
        ),
        ("unknown method", anna.request("PROPFIND", "/api/chats/")),
        (
            "accept not acceptable",
            anna.request("GET", "/api/chats/")
                .header("Accept", "application/xml"),
        ),
        (
            "format suffix query",
            anna.request("GET", "/api/chats/?format=xml"),
        ),
        ("403 not staff", anna.request("GET", "/api/support/chats/")),
        ("401 no credentials", Request::new("GET", "/api/chats/")),
        (
            "options unauthenticated",
            Request::new("OPTIONS", "/api/chats/"),
        ),
        (
            "order: no credentials and method not allowed",
            Request::new("DELETE", "/api/chats/"),
        ),
        (
            "order: no credentials and malformed JSON",
            Request::new("POST", "/api/chats/").body("application/json", "{"),
        ),
        (
            "order: no credentials and unsupported media type",
            Request::new("POST", "/api/chats/").body("text/plain", "x"),
        ),
        (
            "order: no credentials and not acceptable",
            Request::new("GET", "/api/chats/").header("Accept", "application/xml"),
        ),
        (
            "order: no credentials and missing object",
            Request::new("GET", "/api/chats/9999/"),
        ),
        (
            "order: bad token on a public view",
            Request::new("POST", "/api/users/").bearer("bad"),
        ),
    ] {
        is_as_recorded(name, &request.send(to).await, &model);
    }
    let unknown = json!({"nope": true, "id": 5, "created_at": "2000-01-01T00:00:00Z"});
    let before = anna.sees(&trip).await;
    assert_eq!(anna.patch(&one, unknown).await.expect(200), before);
    assert_eq!(anna.patch(&one, json!({})).await.expect(200), before);
    let got = anna.get(&one).await;
    let head = anna.request("HEAD", &one).send(to).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for header in ["content-length", "content-type", "allow"] {
        assert_eq!(head.header(header), got.header(header), "{header}");
    }
    let gone = anna.delete(&one).await;
    // Django tells the length of nothing; a 204 has none (RFC 9110, 8.6).
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(gone.header("content-type"), None);
}

#[tokio::test]
async fn pages_and_their_links_are_drf_s_behind_a_proxy_too() {
    let server = Server::start_with(|settings| {
        settings.listening.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    let anna = server.user("anna").await;
    for number in 1..=5 {
        anna.creates_group(&format!("room {number}"), []).await;
    }
    let page = async |query: &str| {
        let request = anna.request("GET", &format!("/api/chats/{query}"));
        request.header("Host", "testserver").send(anna.to).await
    };
    let of = |response: &Value, key: &str| {
        response["body_json"][key]
            .to_string()
            .replace("rooms", "chats")
    };
    for (name, query) in [
        ("page 1", "?page_size=2"),
        ("page 2", "?page=2&page_size=2"),
        ("page last", "?page=last&page_size=2"),
        ("page empty value", "?page=&page_size=2"),
        ("page_size=3", "?page_size=3&x=y"),
        ("page_size over max", "?page_size=100"),
    ] {
        let response = recorded(name);
        let reply = page(query).await.expect(200);
        assert_eq!(reply["count"], 5, "{name}");
        let theirs = response["body_json"]["results"].as_array().map(Vec::len);
        assert_eq!(reply["results"].as_array().map(Vec::len), theirs, "{name}");
        for key in ["next", "previous"] {
            // There the default is two to a page, which a link needn't say.
            let ours = reply[key]
                .to_string()
                .replace("&page_size=2", "")
                .replace("?page_size=2", "");
            assert_eq!(ours, of(&response, key), "{name}: {key}");
        }
    }
    for (name, query) in [
        ("page out of range", "?page=99"),
        ("page zero", "?page=0"),
        ("page abc", "?page=abc"),
    ] {
        is_as_recorded(name, &page(query).await, &[]);
    }
    let proxied = anna
        .request("GET", "/api/chats/?page_size=3")
        .header("Host", "10.0.0.5:8000")
        .header("X-Forwarded-Host", "chat.example.org")
        .header("X-Forwarded-Proto", "https");
    let proxied = proxied.send(anna.to).await.expect(200);
    assert_eq!(
        proxied["next"],
        "https://chat.example.org/api/chats/?page=2&page_size=3"
    );
}

#[tokio::test]
async fn text_and_times_are_written_as_drf_writes_them() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    let target = format!("/api/chats/{trip}/messages/");
    let odd = "ü🙂\u{2028}/<&>\"\u{1}\u{7f}";
    let reply = anna.post(&target, json!({"text": odd})).await;
    assert_eq!(reply.expect(201)["text"], odd);
    let recorded = recorded("json rendering of special characters");
    let recorded = recorded["body_text"].as_str().expect("a body");
    let (_, rest) = recorded.split_once("\"name\":").expect("its name");
    let (written, _) = rest.split_once(",\"slug\"").expect("its slug");
    let shown = anna.get(&target).await.text();
    assert!(shown.contains(&format!("\"text\":{written}")), "{shown}");
    let time = anna.get(&target).await.json()["results"][0]["timestamp"].clone();
    let time = time.as_str().expect("a time").to_owned();
    assert!(
        time.ends_with('Z') && matches!(time.len(), 20 | 27),
        "{time}"
    );
}

#[tokio::test]
async fn on_the_wire_the_headers_are_those_of_a_django_behind_a_server() {
    let file: Value =
        serde_json::from_str(include_str!("../vectors/raw_http.json")).expect("vectors");
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    let mut compared = 0;
    for case in file["cases"].as_array().expect("cases") {
        let text = |key: &str| case[key].as_str().expect("a text");
        let path = text("path").replace("rooms", "chats");
        let (path, body) = match (text("method"), &*path) {
            (_, "/api/chats") => continue, // no redirect here
            ("POST", "/api/chats/") => (path, json!({"kind": "group", "name": "x"}).to_string()),
            ("DELETE", _) => (
                format!("/api/chats/{}/", anna.creates_group("y", []).await),
                String::new(),
            ),
            (_, "/api/chats/1/") => (format!("/api/chats/{trip}/"), String::new()),
            (_, "/api/chats/?page=2") => ("/api/chats/".to_owned(), String::new()),
            _ => (path, text("request_body").to_owned()),
        };
        let raw = text("response_raw").to_ascii_lowercase();
        let (head, _) = raw.split_once("\r\n\r\n").expect("a head");
        let mut request = match head.contains("401") {
            true => Request::new(text("method"), &path),
            false => anna.request(text("method"), &path),
        };
        if !body.is_empty() {
            request = request.body("application/json", body);
        }
        let reply = request.send(anna.to).await;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .map(str::to_owned);
        assert_eq!(
            Some(reply.status.to_string()),
            status,
            "{path}: {}",
            reply.text()
        );
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header");
            let is_compared = match name {
                "date" | "server" | "connection" | "vary" | "content-length" => false,
                "allow" => {
                    path != format!("/api/chats/{trip}/") && !path.ends_with("/")
                        || path == "/api/chats/"
                }
                _ => true,
            };
            if is_compared {
                let ours = reply.header(name).map(str::to_ascii_lowercase);
                assert_eq!(ours.as_deref(), Some(value), "{path}: {name}");
            }
        }
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
}
