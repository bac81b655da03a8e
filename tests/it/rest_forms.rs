//! Requests as DRF takes and refuses them: bodies, fields, methods, media types, addresses.

use serde_json::{Value, json};

use crate::support::{Person, Reply, Request, Server};

async fn posts(person: &Person, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
    let request = person
        .request("POST", "/api/chats/")
        .body(content_type, body);
    request.send(person.to).await
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_where_in_python_s_words() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    for (body, detail) in [
        (
            &b"{\"kind\": "[..],
            "Expecting value: line 1 column 10 (char 9)",
        ),
        (
            b"{'kind': 'x'}",
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (
            b"{\"kind\": NaN}",
            "Out of range float values are not JSON compliant: 'NaN'",
        ),
        (
            b"{\"kind\": \"\xff\"}",
            "'utf-8' codec can't decode byte 0xff in position 10: invalid start byte",
        ),
        (
            b"\xef\xbb\xbf{}",
            "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)",
        ),
    ] {
        let reply = posts(&anna, "application/json", body).await;
        let expected = json!({"detail": format!("JSON parse error - {detail}")});
        assert_eq!(reply.expect(400), expected);
    }
    let reply = posts(&anna, "application/json", "[".repeat(100_000)).await;
    assert!(
        reply.expect(400)["detail"]
            .as_str()
            .is_some_and(|told| told.contains("nested"))
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_field_by_field_and_all_at_once() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    for (body, expected) in [
        (json!({}), json!({"kind": ["This field is required."]})),
        (
            json!({"kind": "video", "name": {"a": 1}, "members": "x", "is_private": "maybe"}),
            json!({
                "kind": ["\"video\" is not a valid choice."],
                "name": ["Not a valid string."],
                "members": ["Expected a list of items but got type \"str\"."],
                "is_private": ["Must be a valid boolean."],
            }),
        ),
        (
            json!({"kind": null, "name": "a\u{0}b", "members": ["x"]}),
            json!({
                "kind": ["This field may not be null."],
                "name": ["Null characters are not allowed."],
                "members": ["Incorrect type. Expected pk value, received str."],
            }),
        ),
        (
            json!([1, 2]),
            json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}),
        ),
        (
            Value::Null,
            json!({"non_field_errors": ["No data provided"]}),
        ),
    ] {
        assert_eq!(anna.post("/api/chats/", body).await.expect(400), expected);
    }
    let nobody = json!({"kind": "group", "name": "trip", "members": [999]});
    let expected = json!({"members": ["Invalid pk \"999\" - object does not exist."]});
    assert_eq!(anna.post("/api/chats/", nobody).await.expect(400), expected);
}

#[tokio::test]
async fn forms_do_as_well_as_json_and_other_media_types_do_not() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let form = "application/x-www-form-urlencoded";
    let reply = posts(&anna, form, "kind=group&name=by+form").await;
    assert_eq!(reply.expect(201)["name"], "by form");
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\ngroup\r\n\
        --B\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nby parts\r\n--B--\r\n";
    let reply = posts(&anna, "multipart/form-data; boundary=B", multipart).await;
    assert_eq!(reply.expect(201)["name"], "by parts");
    let reply = posts(&anna, "text/plain", "x").await;
    let expected = json!({"detail": "Unsupported media type \"text/plain\" in request."});
    assert_eq!(reply.expect(415), expected);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let server = Server::start_with(|settings| settings.connections.body_bytes = 1000).await;
    let anna = server.user("anna").await;
    let body = json!({"kind": "group", "name": "x".repeat(2000)}).to_string();
    let reply = posts(&anna, "application/json", body.clone()).await;
    assert_eq!(
        reply.expect(413),
        json!({"detail": "Request body is too large."})
    );
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let request = anna
        .request("PATCH", "/api/users/me/")
        .header("Transfer-Encoding", "chunked")
        .body("application/json", chunked);
    request.send(anna.to).await.expect(413);
}

#[tokio::test]
async fn who_calls_is_asked_before_whether_there_is_such_a_thing() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let to = server.address();
    let anonymous = json!({"detail": "Authentication credentials were not provided."});
    for (method, target) in [
        ("GET", "/api/chats/99/"),
        ("PUT", "/api/chats/"),
        ("OPTIONS", "/api/chats/"),
        ("PROPFIND", "/api/chats/"),
        ("GET", "/api/chats/abc/"),
    ] {
        let reply = Request::new(method, target).send(to).await;
        assert_eq!(reply.expect(401), anonymous, "{method} {target}");
    }
    let request = Request::new("POST", "/api/chats/").body("text/plain", "{");
    assert_eq!(request.send(to).await.expect(401), anonymous);
    // A bad token is refused even where none is needed, but not where one is asked for.
    let bad = Request::new("POST", "/api/users/")
        .bearer("bad")
        .json(&json!({}));
    assert_eq!(bad.send(to).await.expect(401)["code"], "token_not_valid");
    let bad = Request::new("POST", "/api/token/")
        .bearer("bad")
        .json(&json!({}));
    bad.send(to).await.expect(400);

    let reply = anna.request("PUT", "/api/chats/").send(to).await;
    assert_eq!(
        reply.expect(405),
        json!({"detail": "Method \"PUT\" not allowed."})
    );
    assert_eq!(reply.header("allow"), Some("GET, POST, HEAD, OPTIONS"));
    let reply = anna.request("PROPFIND", "/api/chats/1/").send(to).await;
    assert_eq!(
        reply.expect(405),
        json!({"detail": "Method \"PROPFIND\" not allowed."})
    );
    assert_eq!(
        reply.header("allow"),
        Some("GET, PATCH, DELETE, HEAD, OPTIONS")
    );
    let reply = anna.get("/api/chats/abc/").await;
    assert_eq!(reply.expect(404), json!({"detail": "Not found."}));
    let reply = anna.get("/api/chats/99/").await;
    assert_eq!(
        reply.expect(404),
        json!({"detail": "No Chat matches the given query."})
    );
    for unknown in ["/api/nope/", "/nope", "/api//chats/", "/api/chats/1/nope/"] {
        let reply = anna.get(unknown).await;
        assert_eq!(
            reply.expect(404),
            json!({"detail": "Not found."}),
            "{unknown}"
        );
    }
}

#[tokio::test]
async fn only_json_is_to_be_had() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    for (accept, status) in [
        ("application/json", 200),
        ("*/*", 200),
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", 200),
        ("application/xml", 406),
    ] {
        let request = anna.request("GET", "/api/chats/").header("Accept", accept);
        let reply = request.send(anna.to).await;
        assert_eq!(reply.status, status, "{accept}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    let request = Request::new("GET", "/api/chats/").header("Accept", "application/xml");
    let expected = json!({"detail": "Could not satisfy the request Accept header."});
    assert_eq!(request.send(anna.to).await.expect(406), expected);
}
