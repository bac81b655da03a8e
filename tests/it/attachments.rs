//! Files that are sent to chats.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::{Caller, Chat, Message, Person, Phone, Reply, Request, Server, until};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand so on";

/// A form as browsers send it: fields, then files.
fn form(fields: &[(&str, &str)], files: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part =
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.into_bytes());
    }
    for (name, called, content) in files {
        let head = format!(
            "--B\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{called}\"\r\n\
             Content-Type: text/html\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--B--\r\n");
    body
}

async fn posts(person: &Person, chat: &Chat, body: Vec<u8>) -> Reply {
    let request = person.request("POST", &format!("/api/chats/{chat}/attachments/"));
    request
        .body("multipart/form-data; boundary=B", body)
        .send(person.to)
        .await
}

async fn tries_to_send(person: &Person, chat: &Chat, called: &str, content: &[u8]) -> Reply {
    posts(person, chat, form(&[], &[("file", called, content)])).await
}

async fn sends(person: &Person, chat: &Chat, called: &str, content: &[u8]) -> Message {
    Message::of(
        &tries_to_send(person, chat, called, content)
            .await
            .expect(201),
    )
}

fn url(message: &Value) -> String {
    message["attachment"]["url"]
        .as_str()
        .expect("an address")
        .to_owned()
}

/// The next frame of this type.
async fn hears(phone: &mut Phone, wanted: &str) -> Value {
    loop {
        let frame: Value = serde_json::from_str(&phone.next_text().await).expect("a frame");
        if frame["type"] == wanted {
            return frame;
        }
    }
}

fn files(server: &Server) -> usize {
    std::fs::read_dir(server.uploads()).map_or(0, Iterator::count)
}

async fn no_file_is_left(server: &Server) {
    until("the file to be gone", || async {
        (files(server) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_file_is_a_message_that_everybody_in_the_chat_can_fetch() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut phone = boris.joins(&trip).await;
    let sent = sends(&anna, &trip, "../Фото из отпуска.png", PNG).await;
    assert_eq!(sent.text, "Фото из отпуска.png");
    assert_eq!(sent.shown["content_type"], "picture");
    let told = &sent.shown["attachment"];
    assert_eq!(
        (&told["name"], &told["content_type"], &told["bytes"]),
        (
            &json!("Фото из отпуска.png"),
            &json!("image/png"),
            &json!(PNG.len())
        )
    );
    let keys: Vec<&String> = told.as_object().expect("a file").keys().collect();
    assert_eq!(keys, ["bytes", "content_type", "id", "name", "url"]);

    let heard = phone.next_message().await;
    assert_eq!(heard.shown["attachment"]["id"], told["id"]);
    let found = boris
        .get(&format!("/api/chats/{trip}/messages/{}/", sent.id))
        .await
        .expect(200);
    let page = boris.page(&trip, "").await;
    let events = boris
        .get(&format!("/api/chats/{trip}/events/?since=0"))
        .await
        .expect(200);
    for shown in [
        &sent.shown,
        &heard.shown,
        &found,
        &page["results"][0],
        &events["results"][0]["data"],
    ] {
        let served = server.get(&url(shown)).await; // without a token
        assert_eq!((served.status, &*served.body), (200, PNG));
        assert_eq!(served.header("content-type"), Some("image/png"));
        assert_eq!(served.header("x-content-type-options"), Some("nosniff"));
        let disposition = served.header("content-disposition").expect("a disposition");
        assert!(
            disposition.starts_with("attachment; filename=\""),
            "{disposition}"
        );
        assert!(disposition.ends_with("filename*=UTF-8''%D0%A4%D0%BE%D1%82%D0%BE%20%D0%B8%D0%B7%20%D0%BE%D1%82%D0%BF%D1%83%D1%81%D0%BA%D0%B0.png"));
        assert_eq!(
            served.header("content-security-policy"),
            Some("default-src 'none'; sandbox")
        );
    }
    let head = Request::new("HEAD", &url(&sent.shown))
        .send(server.address())
        .await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some(&*PNG.len().to_string()))
    );
}

#[tokio::test]
async fn an_address_is_good_for_its_file_and_nothing_else() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let one = url(&sends(&anna, &notes, "one.txt", b"one").await.shown);
    let two = url(&sends(&anna, &notes, "two.txt", b"two").await.shown);
    assert_eq!(server.get(&one).await.text(), "one");
    let (path, query) = one.split_once('?').expect("a query");
    let (other, _) = two.split_once('?').expect("a query");
    let (expires, signature) = query.split_once('&').expect("two parameters");
    let forever = "expires=9999999999";
    for wrong in [
        path.to_owned(),
        format!("{path}?{expires}"),
        format!("{path}?{signature}"),
        format!("{path}?{forever}&{signature}"),
        format!("{other}?{query}"),
        format!("{path}?{query}A"),
        format!("{path}?{expires}&signature="),
    ] {
        let refused = server.get(&wrong).await;
        assert_eq!(refused.status, 403, "{wrong}: {}", refused.text());
        // A token is no address either.
        assert_eq!(anna.get(&wrong).await.status, 403, "{wrong}");
    }
    for odd in ["/api/attachments/x/", "/api/attachments/..%2f..%2fsecret/"] {
        assert_eq!(server.get(odd).await.status, 404, "{odd}");
    }
}

#[tokio::test]
async fn pages_and_drawings_are_text_whatever_their_sender_calls_them() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    for (called, content, expected) in [
        (
            "page.html",
            &b"<html><script>alert(1)</script>"[..],
            "text/plain; charset=utf-8",
        ),
        (
            "drawing.svg",
            b"<svg onload='alert(1)'/>",
            "text/plain; charset=utf-8",
        ),
        ("photo.png", b"MZ\0\0", "application/octet-stream"),
    ] {
        let sent = sends(&anna, &notes, called, content).await;
        assert_eq!(sent.shown["content_type"], "file");
        let served = server.get(&url(&sent.shown)).await;
        assert_eq!(served.header("content-type"), Some(expected), "{called}");
    }
}

#[tokio::test]
async fn a_deleted_message_takes_its_file_along() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let sent = sends(&boris, &trip, "a.txt", b"a secret").await;
    assert_eq!(files(&server), 1);
    let edit = boris.tries_to_edit(&trip, &sent, "b.txt").await;
    assert_eq!(edit.status, 403, "{}", edit.text());
    anna.deletes(&trip, &sent).await;
    assert_eq!(server.get(&url(&sent.shown)).await.status, 404); // at once
    no_file_is_left(&server).await;
    let page = boris.page(&trip, "").await;
    assert_eq!(
        (
            &page["results"][0]["attachment"],
            &page["results"][0]["text"]
        ),
        (&Value::Null, &json!(""))
    );
    until("the table to forget it", || async {
        (server.attachments().await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_repeated_client_id_gives_the_first_file_and_keeps_no_second_one() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let earlier = anna.says(&notes, "see below").await;
    let reply_to = earlier.id.to_string();
    let fields = [("client_id", "c-1"), ("reply_to", &reply_to)];
    let first = posts(&anna, &notes, form(&fields, &[("file", "a.txt", b"first")]))
        .await
        .expect(201);
    assert_eq!(first["reply_to"], earlier.id);
    let again = posts(
        &anna,
        &notes,
        form(&fields, &[("file", "b.txt", b"second")]),
    )
    .await
    .expect(200);
    assert_eq!(
        (&again["id"], &again["attachment"]["id"]),
        (&first["id"], &first["attachment"]["id"])
    );
    assert_eq!(server.get(&url(&again)).await.text(), "first");
    assert_eq!(files(&server), 1);
}

#[tokio::test]
async fn who_may_not_write_sends_no_file_and_nothing_is_left_of_it() {
    let server = Server::start_with(|settings| {
        settings.limits.messages_per_minute = 2;
        settings.connections.attachment_bytes = 1024;
    })
    .await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    assert_eq!(
        tries_to_send(&clara, &trip, "a.txt", b"a").await.status,
        404
    );
    anna.removes(&trip, &boris).await;
    assert_eq!(
        tries_to_send(&boris, &trip, "a.txt", b"a").await.status,
        404
    );
    let pair = boris.opens_personal_chat(&clara).await;
    clara.blocks(&boris).await;
    assert_eq!(
        tries_to_send(&boris, &pair, "a.txt", b"a").await.status,
        403
    );
    let anonymous = Request::new("POST", &format!("/api/chats/{trip}/attachments/"));
    assert_eq!(anonymous.send(server.address()).await.status, 401);

    let is_wrong = |body: Vec<u8>, sentence: &'static str| {
        let (anna, trip) = (anna.clone(), trip);
        async move {
            let refused = posts(&anna, &trip, body).await.expect(400);
            assert!(refused.to_string().contains(sentence), "{refused}");
        }
    };
    is_wrong(form(&[], &[]), "No file was submitted.").await;
    is_wrong(
        form(&[], &[("file", "a.txt", b"")]),
        "The submitted file is empty.",
    )
    .await;
    is_wrong(
        form(&[("file", "text")], &[]),
        "The submitted data was not a file.",
    )
    .await;
    is_wrong(
        form(&[], &[("file", "a", b"a"), ("file", "b", b"b")]),
        "Only one file",
    )
    .await;
    is_wrong(
        form(&[("reply_to", "x")], &[("file", "a", b"a")]),
        "reply_to",
    )
    .await;
    is_wrong(b"--B\r\nbroken".to_vec(), "Malformed").await;
    let json = anna
        .post(&format!("/api/chats/{trip}/attachments/"), json!({}))
        .await;
    assert_eq!(json.status, 415, "{}", json.text());
    assert_eq!(
        tries_to_send(&anna, &trip, "a.bin", &[1; 1025])
            .await
            .status,
        413
    );
    let unknown = posts(
        &anna,
        &trip,
        form(&[("reply_to", "999")], &[("file", "a", b"a")]),
    )
    .await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    no_file_is_left(&server).await;

    // The largest one fits; it counts as a message.
    sends(&anna, &trip, "a.bin", &[1; 1024]).await;
    anna.says(&trip, "two").await;
    let third = tries_to_send(&anna, &trip, "c.txt", b"three").await;
    assert_eq!(third.status, 429, "{}", third.text());
    assert_eq!(files(&server), 1);
}

#[tokio::test]
async fn every_dialect_shows_a_file_by_its_name() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let general = anna
        .creates(json!({"kind": "room", "name": "general"}))
        .await;
    let mut room = anna
        .handshake_at("/ws/room/general/?history=0")
        .open()
        .await
        .expect("the room");
    let mut all = anna.follows().await;
    let sent = sends(&anna, &general, "notes.txt", b"some notes").await;
    assert_eq!(
        hears(&mut room, "chat_message").await["message"],
        "notes.txt"
    );
    let heard = hears(&mut all, "message").await;
    assert_eq!(
        heard["data"]["attachment"]["id"],
        sent.shown["attachment"]["id"]
    );
    let mut caller = Caller::is(&server, &anna).await;
    let answer = caller
        .asks("getMessages", json!({"chat_id": general.id}))
        .await;
    let message = &answer["messages"][0];
    assert_eq!(
        (&message["content"], &message["content_type"]),
        (&json!("notes.txt"), &json!("file"))
    );
}

#[tokio::test]
async fn a_file_that_never_got_a_message_is_swept_when_it_is_old() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let kept = sends(&anna, &notes, "a.txt", b"kept").await;
    let old = SystemTime::now() - Duration::from_secs(7200);
    let leaves = |name: &str, is_old: bool| {
        let file = std::fs::File::create(server.uploads().join(name)).expect("a file");
        if is_old {
            file.set_modified(old).expect("an old file");
        }
    };
    for entry in std::fs::read_dir(server.uploads()).expect("the uploads") {
        let file = std::fs::File::options()
            .write(true)
            .open(entry.expect("an entry").path());
        file.expect("a file")
            .set_modified(old)
            .expect("an old file");
    }
    leaves("file-0123456789abcdef0123456789abcdef", true);
    leaves(".0123456789abcdef0123456789abcdef", true);
    leaves("file-fedcba9876543210fedcba9876543210", false);
    leaves("avatar-1-0123", true);
    assert_eq!(files(&server), 5);
    let other = server.beside_with(|_| {}).await; // looks at all of them
    until("three of the files to be gone", || async {
        (files(&server) == 2).then_some(())
    })
    .await;
    assert_eq!(other.get(&url(&kept.shown)).await.text(), "kept");
}

#[tokio::test]
async fn files_sent_to_one_node_are_fetched_from_another() {
    let layer = std::sync::Arc::new(tertulia::layer::MemoryLayer::default());
    let [one, two] = Server::two_nodes(layer).await;
    let anna = one.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.at(two.address()).joins(&notes).await;
    sends(&anna, &notes, "a.txt", b"over there").await;
    let heard = phone.next_message().await;
    assert_eq!(two.get(&url(&heard.shown)).await.text(), "over there");
}

#[tokio::test]
async fn one_users_files_that_never_end_take_nobody_elses_place() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let path = format!("/api/chats/{trip}/attachments/");
    let dripping = anna.request("POST", &path).body(
        "multipart/form-data; boundary=B",
        form(&[], &[("file", "drip.png", PNG)]),
    );
    let mut begun = Vec::new();
    for _ in 0..4 {
        begun.push(dripping.begins(anna.to).await);
    }
    until("four files to be begun", || async {
        (files(&server) == 4).then_some(())
    })
    .await;
    let refused = tries_to_send(&anna, &trip, "fifth.png", PNG).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    sends(&boris, &trip, "his.png", PNG).await;
    begun.pop().expect("one of four").ends().await.expect(201);
    sends(&anna, &trip, "in the free place.png", PNG).await;
    for begun in begun {
        begun.ends().await.expect(201);
    }
}

#[tokio::test]
async fn a_form_that_is_all_but_a_file_is_not_held() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let value = "x".repeat(4000);
    let names: Vec<String> = (0..20).map(|number| format!("field{number}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (&**name, &*value)).collect();
    posts(&anna, &notes, form(&fields, &[("file", "x.png", PNG)]))
        .await
        .expect(413);
    // A part whose head never ends.
    let endless = [b"--B\r\nX-Endless: ".to_vec(), vec![b'x'; 3 << 20]].concat();
    posts(&anna, &notes, endless).await.expect(413);
    assert_eq!(files(&server), 0);
    sends(&anna, &notes, "fine.png", PNG).await;
    let large = vec![b'x'; 9 << 20];
    let sent = sends(&anna, &notes, "large.bin", &large).await;
    assert_eq!(sent.shown["attachment"]["bytes"], large.len());
}
