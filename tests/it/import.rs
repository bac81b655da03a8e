//! What a Django project has is copied, and its clients go on as if nothing had happened.

use std::{path::Path, process::Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Person, Request, Server,
    binary::runs_in,
    django::{PASSWORD, Project},
    look_around,
    person::Chat,
};

/// The tables of `examples/import/chats.toml`.
const CHATS: &str = "
    CREATE TABLE chat_chat (id integer PRIMARY KEY, name varchar(100) NOT NULL, is_group bool NOT NULL,
        owner_id integer NULL, created_at datetime NOT NULL);
    CREATE TABLE chat_chatuser (id integer PRIMARY KEY, chat_id integer NOT NULL, user_id integer NOT NULL,
        is_admin bool NOT NULL, joined_at datetime NOT NULL, last_read_at datetime NULL);
    CREATE TABLE chat_message (id integer PRIMARY KEY, chat_id integer NOT NULL, sender_id integer NULL,
        text text NOT NULL, timestamp datetime NOT NULL, edited_at datetime NULL, is_deleted bool NOT NULL,
        reply_to_id integer NULL);";

/// Where something is imported to.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn tries(&self, project: &Project, more: &[&str]) -> Output {
        let url = project.url();
        let mut arguments = vec!["import", "django", "--from", &url];
        arguments.extend(more);
        runs_in(&self.dir, &arguments, "")
    }

    /// Imports; what is reported.
    #[track_caller]
    fn imports(&self, project: &Project, more: &[&str]) -> String {
        let output = self.tries(project, more);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn example(name: &str) -> String {
    format!("{}/examples/import/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn signs_in(server: &Server, name: &str) -> Person {
    let body = json!({"username": name, "password": PASSWORD});
    let pair = Request::new("POST", "/api/token/").json(&body);
    let pair = pair.send(server.address()).await.expect(200);
    let access = pair["access"].as_str().expect("a token").to_owned();
    let me = Request::new("GET", "/api/users/me/").bearer(&access);
    let me = me.send(server.address()).await.expect(200);
    Person {
        to: server.address(),
        id: me["id"].as_i64().expect("an id"),
        name: name.to_owned(),
        access,
        refresh: pair["refresh"].as_str().expect("a token").to_owned(),
    }
}

fn texts(page: &Value) -> Vec<&str> {
    let results = page["results"].as_array().expect("messages");
    results
        .iter()
        .filter_map(|message| message["text"].as_str())
        .collect()
}

#[tokio::test]
async fn a_project_s_users_chats_and_messages_are_copied_once() {
    let place = Place::new();
    let project = Project::begins(place.path()).await;
    for (id, name) in [(1, "anna"), (2, "Anna"), (5, "boris"), (9, "vera")] {
        project.signs_up(id, name).await;
    }
    project
        .does("UPDATE auth_user SET is_active = 0 WHERE id = 9")
        .await;
    project.does(CHATS).await;
    project
        .does(
            "INSERT INTO chat_chat VALUES (3, '', 0, NULL, '2025-01-01 00:00:00'),
                (7, 'Trip', 1, 5, '2025-01-01 00:00:00'), (8, 'Empty', 1, NULL, '2025-01-01 00:00:00');
             INSERT INTO chat_chatuser VALUES (1, 3, 1, 0, '2025-01-01 00:00:00', NULL),
                (2, 3, 5, 0, '2025-01-01 00:00:00', NULL), (3, 7, 1, 1, '2025-01-01 00:00:00', '2025-01-02 10:00:01'),
                (4, 7, 5, 0, '2025-01-01 00:00:00', '2026-01-01 00:00:00'), (5, 8, 2, 0, '2025-01-01 00:00:00', NULL),
                (6, 7, 77, 0, '2025-01-01 00:00:00', NULL);
             INSERT INTO chat_message VALUES
                (40, 7, 5, 'second', '2025-01-02 10:00:01', NULL, 0, 41),
                (41, 7, 1, 'first', '2025-01-02 10:00:00.123456', '2025-01-02 11:00:00', 0, NULL),
                (42, 7, 5, 'gone', '2025-01-02 10:00:02', NULL, 1, NULL),
                (43, 7, NULL, 'of nobody', '2025-01-02 10:00:02', NULL, 0, NULL),
                (44, 7, 5, 'third', '2025-01-02 10:00:03', NULL, 0, NULL),
                (50, 3, 1, 'Привет 🦊', '2025-01-02 09:00:00', NULL, 0, NULL);",
        )
        .await;

    let mapping = example("chats.toml");
    let by_mapping = ["--mapping", &mapping];
    let dry = place.imports(&project, &[&by_mapping[..], &["--dry-run"]].concat());
    assert!(
        dry.contains("users of auth_user: 4 read, 4 to be copied, 0 here already"),
        "{dry}"
    );
    assert!(dry.ends_with("a dry run: nothing was written\n"), "{dry}");
    let report = place.imports(&project, &by_mapping);
    for line in [
        "users of auth_user: 4 read, 4 copied, 0 here already",
        "members of chat_chatuser: 6 read, 5 copied, 0 here already, 1 left out",
        "chats of chat_chat: 3 read, 3 copied, 0 here already",
        "messages of chat_message: 6 read, 5 copied, 0 here already, 1 left out",
        "- 1 user names differ from another one only in case or form, and are kept: Anna",
        "- 1 messages have no sender among the users, and are left out: chat_message:43",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    let database = place.path().join("data/tertulia.db");
    let database = format!("sqlite://{}?mode=rw", database.display());
    let before = look_around::everything(&look_around::open(&database).await).await;
    let again = place.imports(&project, &by_mapping);
    assert!(
        again.contains("users of auth_user: 4 read, 0 copied, 4 here already"),
        "{again}"
    );
    assert!(
        again.contains("6 read, 0 copied, 5 here already"),
        "{again}"
    );
    let after = look_around::everything(&look_around::open(&database).await).await;
    assert_eq!(before, after, "doing it twice changes nothing");

    // What came since is all that is copied.
    project
        .does(
            "INSERT INTO chat_chatuser VALUES (7, 7, 2, 0, '2025-02-01 00:00:00', '2025-02-01 00:00:00');
             INSERT INTO chat_message VALUES (60, 7, 5, 'fourth', '2025-02-02 10:00:00', NULL, 0, NULL);",
        )
        .await;
    let more = place.imports(&project, &by_mapping);
    for line in [
        "members of chat_chatuser: 7 read, 1 copied, 5 here already, 1 left out",
        "messages of chat_message: 7 read, 1 copied, 5 here already, 1 left out",
    ] {
        assert!(more.contains(line), "{line}\n{more}");
    }

    let Place { dir } = place;
    let server = Server::start_on(dir).await;
    let [anna, boris] = [
        signs_in(&server, "anna").await,
        signs_in(&server, "boris").await,
    ];
    assert_eq!((anna.id, boris.id), (1, 5));
    signs_in(&server, "Anna").await;
    let inactive = Request::new("POST", "/api/token/")
        .json(&json!({"username": "vera", "password": PASSWORD}));
    inactive.send(server.address()).await.expect(401);

    let (trip, personal) = (Chat { id: 7 }, Chat { id: 3 });
    let seen = boris.sees(&trip).await;
    assert_eq!(
        (&seen["name"], &seen["kind"], &seen["role"]),
        (&json!("Trip"), &json!("group"), &json!("owner"))
    );
    assert_eq!(
        (&seen["last_seq"], &seen["unread_count"]),
        (&json!(5), &json!(0))
    );
    assert_eq!(
        anna.sees(&trip).await["unread_count"],
        2,
        "anna had read until the second"
    );
    let page = anna.get("/api/chats/7/messages/?before=").await.expect(200);
    assert_eq!(texts(&page), ["fourth", "third", "", "second", "first"]);
    let results = page["results"].as_array().expect("messages");
    let numbers: Vec<i64> = results
        .iter()
        .filter_map(|message| message["seq"].as_i64())
        .collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1]);
    assert_eq!(results[4]["timestamp"], "2025-01-02T10:00:00.123456Z");
    assert_eq!(
        (&results[4]["is_edited"], &results[2]["is_deleted"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(results[3]["reply_to"], results[4]["id"]);
    assert_eq!(anna.sees(&personal).await["kind"], "personal");
    let same = anna
        .post("/api/chats/", json!({"kind": "personal", "members": [5]}))
        .await;
    assert_eq!(same.expect(200)["id"], 3, "the two have their chat already");

    let mut phone = anna.joins(&trip).await;
    boris.says(&trip, "and on it goes").await;
    let next = phone.next_message().await;
    assert_eq!((next.seq, &*next.text), (6, "and on it goes"));
}

#[tokio::test]
async fn rooms_with_uuids_are_entered_by_their_names_and_an_import_goes_on_where_it_stood() {
    let place = Place::new();
    let project = Project::begins(place.path()).await;
    for (id, name) in [(1, "anna"), (2, "boris")] {
        project.signs_up(id, name).await;
    }
    project
        .does(
            "CREATE TABLE rooms_room (id char(32) PRIMARY KEY, name varchar(100) NOT NULL, created_at datetime NOT NULL);
             CREATE TABLE rooms_message (id char(32) PRIMARY KEY, room_id char(32) NOT NULL, author_id integer NOT NULL,
                content text NOT NULL, created_at datetime NOT NULL);
             INSERT INTO rooms_room VALUES ('7552c9cb6492458e9b6d3eb0705fceba', 'General', '2025-01-01 00:00:00'),
                ('8552c9cb6492458e9b6d3eb0705fceba', 'general', '2025-01-01 00:00:00');
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
             INSERT INTO rooms_message SELECT printf('%032x', i), '7552c9cb6492458e9b6d3eb0705fceba', 1 + i % 2,
                'message ' || i, '2025-01-01 ' || time(i, 'unixepoch') FROM n;
             CREATE TABLE kept AS SELECT * FROM rooms_message;
             DELETE FROM rooms_message WHERE id > printf('%032x', 700);",
        )
        .await;
    let mapping = example("rooms.toml");
    let first = place.imports(&project, &["--mapping", &mapping]);
    assert!(first.contains("700 read, 700 copied"), "{first}");
    assert!(first.contains("can't be entered by their name"), "{first}");
    project
        .does("DELETE FROM rooms_message; INSERT INTO rooms_message SELECT * FROM kept")
        .await;
    let second = place.imports(&project, &["--mapping", &mapping]);
    assert!(
        second.contains("1200 read, 500 copied, 700 here already"),
        "{second}"
    );

    let Place { dir } = place;
    let server = Server::start_on(dir).await;
    let anna = signs_in(&server, "anna").await;
    let chats = anna.get("/api/chats/").await.expect(200);
    let room = &chats["results"][0];
    assert_eq!(
        (&room["name"], &room["last_seq"]),
        (&json!("General"), &json!(1200))
    );
    let target = format!("/api/chats/{}/messages/?before=&page_size=3", room["id"]);
    let page = anna.get(&target).await.expect(200);
    assert_eq!(
        texts(&page),
        ["message 1200", "message 1199", "message 1198"]
    );
    let socket = server
        .handshake("/ws/chat/general/")
        .bearer(&anna.access)
        .open()
        .await;
    let mut socket = socket.expect("a socket");
    let told = socket.next_frame().await;
    assert!(told["type"].is_string(), "{told}");
}

#[tokio::test]
async fn what_can_not_be_copied_is_told_before_anything_is_wrong() {
    let place = Place::new();
    let project = Project::begins(place.path()).await;
    project.signs_up(1, "anna").await;
    place.imports(&project, &[]);
    project
        .does("UPDATE auth_user SET username = 'boris'")
        .await;
    let told = |output: Output| {
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let other = told(place.tries(&project, &[]));
    assert!(
        other.contains("user 1 is \"anna\" here and \"boris\" there"),
        "{other}"
    );
    let mapping = place.path().join("mapping.toml");
    std::fs::write(&mapping, "[users]\ntabel = \"people\"\n").expect("written");
    let mapping = mapping.to_str().expect("a path");
    let slip = told(place.tries(&project, &["--mapping", mapping]));
    assert!(
        slip.contains("mapping.toml") && slip.contains("tabel"),
        "{slip}"
    );
    std::fs::write(mapping, "[users]\ntable = \"people\"\n").expect("written");
    let missing = told(place.tries(&project, &["--mapping", mapping]));
    assert!(missing.contains("people"), "{missing}");
}
