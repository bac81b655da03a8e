//! The protocol document's own JavaScript client, unchanged, in Node: connect, send, typing, read,
//! disconnect.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Server, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_own_client_works_unchanged() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let said = boris.says(&trip, "Как дела?").await;
    let mut boriss = boris.joins(&trip).await;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seed_client/run.mjs");
    let mut node = Command::new("node");
    node.arg(script)
        .env("ADDRESS", server.address().to_string())
        .env("CHAT", trip.to_string())
        .env("TOKEN", &anna.access)
        .stdin(Stdio::null());
    let running = tokio::task::spawn_blocking(move || node.output());
    let output = within("the client to finish", running)
        .await
        .expect("a thread");
    let output = output.expect("node is needed: apt-get install nodejs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{printed}{errors}");

    // What the client showed, in its own words.
    let shown: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let first = |what: &str| {
        let line = shown.iter().find(|line| line[0] == what);
        line.unwrap_or_else(|| panic!("the client never showed {what:?}: {printed}"))[1].clone()
    };
    first("Connected to chat");
    assert_eq!(
        first("Connection established:"),
        "Successfully connected to chat"
    );
    assert_eq!(first("New message:")["text"], "Привет!");
    assert_eq!(first("New message:")["sender"]["username"], "anna");
    assert_eq!(first("User typing:")["is_typing"], true);
    assert_eq!(first("Messages read by:")["username"], "anna");
    assert_eq!(shown.last().expect("lines")[0], "Disconnected from chat");
    assert!(
        shown.iter().all(|line| line[0] != "WebSocket error:"),
        "{printed}"
    );

    // What the other side saw of it.
    assert_eq!(boriss.next_message().await.text, "Привет!");
    assert_eq!(boriss.hears("typing").await["is_typing"], true);
    assert_eq!(boriss.hears("typing").await["is_typing"], false);
    let read = boriss.hears("messages_read").await;
    assert_eq!(read["user_id"], json!(anna.id));
    assert!(read["last_read_seq"].as_i64() >= Some(said.seq));
}
