//! What the program logs: everything that happens, by its ids; never what was said, nor what opens a door.

use entity::change;
use sea_orm::{ConnectionTrait, sea_query::Table};
use serde_json::{Value, json};

use crate::support::{binary::Binary, look_around, person::PASSWORD, until};

#[tokio::test]
async fn connections_refusals_and_messages_are_logged_but_no_text_token_or_password() {
    let binary = Binary::serves(&["--log", "trace", "--log-format", "json"]).await;
    let [anna, boris] = binary.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let others = boris.creates_group("others", []).await;
    let said = [
        "walnut on the socket",
        "walnut over REST",
        "walnut in a bad frame",
    ];

    let ticket = anna.post("/api/token/ticket/", json!({})).await.expect(200);
    let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
    let doors = [format!("token={}", anna.access), format!("ticket={ticket}")];
    for door in &doors {
        let handshake =
            crate::support::Handshake::new(binary.address(), &format!("/ws/chat/{trip}/?{door}"));
        let mut phone = handshake.enter().await.expect("a member");
        phone.says(said[0]).await;
        phone.next_message().await;
        phone.sends_text(said[2]).await;
        phone.hears("error").await;
        phone.hangs_up().await;
    }
    let message = anna.says(&trip, said[1]).await;
    anna.edits(&trip, &message, "walnut, edited").await;
    assert!(anna.tries_to_join(&others).await.is_err());
    let wrong = json!({"username": "anna", "password": "a wrong walnut"});
    anna.post("/api/token/", wrong).await.expect(401);
    let unknown = json!({"username": "walnut", "password": "a wrong walnut"});
    anna.post("/api/token/", unknown).await.expect(401);
    anna.signs_out().await;

    // When its client hangs up, a connection is not over at once.
    let log = until("a line for the end of each connection", || async {
        let log = binary.said();
        let ended = log.lines().filter(|line| line.contains(": closed after "));
        (ended.count() >= doors.len()).then_some(log)
    })
    .await;
    let begun = log
        .lines()
        .filter(|line| line.contains(": connected to chat"));
    assert_eq!(begun.count(), doors.len(), "{log}");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let has = |what: &str| lines.iter().any(|line| line.to_string().contains(what));
    for id in [1, message.id] {
        assert!(has(&format!("chat {trip}: message {id}")), "{log}");
    }
    let refusals = [
        "refused by chat, 4003",
        "user 1: password refused",
        "nobody's password refused",
    ];
    for refusal in refusals {
        assert!(has(refusal), "{refusal}: {log}");
    }
    for secret in [
        "walnut",
        PASSWORD,
        &anna.access,
        &anna.refresh,
        &ticket,
        &boris.access,
    ] {
        let told = lines.iter().find(|line| line.to_string().contains(secret));
        assert!(told.is_none(), "{told:?}");
    }
}

#[tokio::test]
async fn a_request_has_one_line_that_says_who_asked_what_and_why_not() {
    let filter = "info,tertulia::journal=debug";
    // Not on a terminal: as JSON, without being told to.
    let binary = Binary::serves(&["--log", filter]).await;
    let [anna, boris] = binary.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let page = format!("/api/chats/{trip}/messages/");
    let read = anna.get(&format!("{page}?before=&q=walnut")).await;
    read.expect(200);
    anna.says(&trip, "walnut").await;
    boris.tries_to_remove(&trip, &anna).await.expect(403);
    let nobody = anna.with_token("no.such.walnut");
    nobody.get("/api/users/me/").await.expect(401);
    let misplaced = format!("/api/{}/", anna.access);
    anna.get(&misplaced).await.expect(404);

    let log = binary.said();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|line: &Value| line["target"] == "tertulia::journal")
        .collect();
    let told = |method: &str, path: &str| {
        let mut found = lines
            .iter()
            .filter(|line| line["method"] == method && line["path"] == path);
        let line = found
            .next()
            .unwrap_or_else(|| panic!("{method} {path}: {log}"));
        assert!(found.next().is_none(), "{method} {path} twice");
        line
    };
    let said = told("POST", &page);
    assert_eq!(said["level"], "INFO");
    assert_eq!(said["status"], 201);
    assert_eq!(said["user"], anna.id);
    assert!(
        said["ms"].is_number() && said["client"].is_string(),
        "{said}"
    );
    assert_eq!(told("GET", &page)["level"], "DEBUG");
    let removal = told("DELETE", &format!("/api/chats/{trip}/members/{}/", anna.id));
    assert_eq!(removal["level"], "INFO");
    assert_eq!(removal["user"], boris.id);
    assert!(removal["cause"].is_string(), "{removal}");
    let refused = told("GET", "/api/users/me/");
    assert_eq!(refused["cause"], "Token is invalid");
    assert!(refused["user"].is_null());
    assert_eq!(told("GET", "/api/.../")["status"], 404);
    assert!(
        !log.contains("walnut") && !log.contains(&anna.access),
        "{log}"
    );
}

#[tokio::test]
async fn a_fault_is_internal_to_its_client_and_told_here() {
    let binary = Binary::serves(&["--log-format", "json"]).await;
    let [anna] = binary.users(["anna"]).await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    let message = anna.says(&notes, "walnut").await;
    phone.next_message().await;
    // Where edits are written nothing can be written any more.
    let database = look_around::open(&binary.database()).await;
    let away = Table::rename()
        .table(change::Entity, "elsewhere")
        .to_owned();
    database.execute(&away).await.expect("a table to rename");

    let edit = json!({"type": "edit_message", "message_id": message.id, "text": "walnut, edited"});
    phone.sends(edit).await;
    let error = phone.hears("error").await;
    assert_eq!(error["code"], "internal", "{error}");
    assert_eq!(error["message"], "Internal server error", "{error}");
    phone.still_works().await;
    let edited = anna.tries_to_edit(&notes, &message, "walnut, edited").await;
    let problem = edited.expect(500);
    assert_eq!(problem, json!({"detail": "A server error occurred."}));

    let log = binary.said();
    let faults = log.lines().filter(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let told = line["fields"]["message"]
            .as_str()
            .or(line["message"].as_str());
        line["level"] == "ERROR"
            && told.is_some_and(|told| told.contains("elsewhere") || told.contains("change"))
    });
    assert!(faults.count() >= 2, "{log}");
    assert!(!log.contains("walnut"), "{log}");
}

#[tokio::test]
async fn a_person_is_told_in_lines_to_read() {
    let binary = Binary::serves(&["--log-format", "pretty"]).await;
    let [anna] = binary.users(["anna"]).await;
    let notes = anna.creates_group("notes", []).await;
    anna.joins(&notes).await.still_works().await;
    let log = binary.said();
    let connected = log
        .lines()
        .find(|line| line.contains(": connected to chat"));
    let connected = connected.unwrap_or_else(|| panic!("{log}"));
    assert!(
        connected.contains("INFO") && !connected.contains('\u{1b}'),
        "{connected}"
    );
    assert!(log.lines().all(|line| !line.starts_with('{')), "{log}");
}
