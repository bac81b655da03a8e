//! What `tertulia demo` shows, and what it leaves behind.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Request, until};

/// Its end, however the story ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _already_ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// A port that was free a moment ago, at an address that nobody else uses.
fn free_address() -> SocketAddr {
    let taken = TcpListener::bind("127.0.0.77:0").expect("a port");
    taken.local_addr().expect("an address")
}

#[tokio::test]
async fn a_demo_shows_two_people_and_their_chats_and_leaves_nothing_behind() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let to = free_address();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TERTULIA_")) {
        command.env_remove(name);
    }
    let child = command
        .args(["demo", "--bind", &to.to_string()])
        .current_dir(place.path())
        .env("TMPDIR", place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut running = Running(child.expect("the program"));
    let output = running.0.stdout.take().expect("its output");
    let told = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.take(4).collect::<Vec<String>>()
    });
    let told = told.await.expect("what it prints");
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].contains(&format!("http://{to}/")), "{told:?}");
    assert!(told[3].contains("Ctrl-C"), "{told:?}");

    let mut seen = Vec::new();
    for line in &told[1..3] {
        let words: Vec<&str> = line.split(' ').collect();
        let [
            "Sign",
            "in",
            "as",
            name,
            "with",
            "the",
            "password",
            password,
        ] = words[..]
        else {
            panic!("{line:?}");
        };
        let body = json!({"username": name, "password": password});
        let pair = Request::new("POST", "/api/token/")
            .json(&body)
            .send(to)
            .await
            .expect(200);
        let access = pair["access"].as_str().expect("a token");
        let chats = Request::new("GET", "/api/chats/")
            .bearer(access)
            .send(to)
            .await
            .expect(200);
        let kinds: Vec<&Value> = chats["results"]
            .as_array()
            .expect("chats")
            .iter()
            .map(|chat| {
                assert_ne!(chat["last_message"], Value::Null);
                &chat["kind"]
            })
            .collect();
        assert_eq!(kinds, [&json!("personal"), &json!("group")]);
        seen.push(name.to_owned());
    }
    assert_eq!(seen, ["anna", "boris"]);
    let left = || std::fs::read_dir(place.path()).expect("the place").count();
    assert_eq!(left(), 1);

    let id = i32::try_from(running.0.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("an id");
    kill_process(id, Signal::INT).expect("a child that can be told");
    let status = until("the demo to end", || {
        let ended = running.0.try_wait().expect("a child's state");
        async move { ended }
    })
    .await;
    assert!(status.success(), "{status}");
    assert_eq!(left(), 0);
}
