//! What a Django project has is copied, and its clients go on as if nothing had happened.

use std::{path::Path, process::Output};

use entity::Role;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};
use tempfile::TempDir;
use tertulia::settings::DatabaseUrl;
use test_database::{Kind, TestDatabase};

use crate::support::{
    Person, Request, Server,
    binary::runs_in,
    django::{PASSWORD, Project, STORED},
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

/// A project on the kind of database that the stories run on.
struct Site {
    database: TestDatabase,
    connection: DatabaseConnection,
}

impl Site {
    /// A new one, with the users of `django.contrib.auth`.
    async fn begins() -> Self {
        let database = TestDatabase::empty();
        let connection = look_around::open(database.url()).await;
        let site = Self {
            database,
            connection,
        };
        // MySQL takes names that differ in case alone for one, unless it's told.
        let exact = match test_database::kind() {
            Kind::MySql => "COLLATE utf8mb4_bin",
            Kind::Sqlite | Kind::Postgres => "",
        };
        site.does(&format!(
            "CREATE TABLE auth_user (id integer PRIMARY KEY, password varchar(128) NOT NULL, last_login datetime NULL,
                is_superuser bool NOT NULL, username varchar(150) {exact} NOT NULL UNIQUE,
                first_name varchar(150) NOT NULL, last_name varchar(150) NOT NULL, email varchar(254) NOT NULL,
                is_staff bool NOT NULL, is_active bool NOT NULL, date_joined datetime NOT NULL)"
        ))
        .await;
        site
    }

    /// Where it is; a MariaDB by its own name.
    fn url(&self) -> String {
        self.database.url().replacen("mysql:", "mariadb:", 1)
    }

    /// Statements of a story's own. `datetime` is what Django takes for moments there.
    async fn does(&self, sql: &str) {
        let moment = match test_database::kind() {
            Kind::Sqlite => "datetime",
            Kind::Postgres => "timestamptz",
            Kind::MySql => "datetime(6)",
        };
        let sql = sql.replace("datetime", moment);
        let done = self.connection.execute_unprepared(&sql).await;
        done.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Somebody who signed up there.
    async fn signs_up(&self, id: i64, username: &str) {
        self.does(&format!(
            "INSERT INTO auth_user VALUES ({id}, '{STORED}', NULL, FALSE, '{username}', 'From Django', 'Story',
                'mail@example.org', FALSE, TRUE, '2024-01-02 03:04:05.678901')"
        ))
        .await;
    }

    /// An app of groups with the numbers from 1 on, in each of which the first user said something.
    async fn has_groups(&self, table: &str, count: i64) {
        let groups: Vec<_> = (1..=count)
            .map(|id| format!("({id}, '{table} {id}')"))
            .collect();
        let messages: Vec<_> = (1..=count)
            .map(|id| format!("({id}, {id}, 1, 'in {table} {id}', '2025-01-01 00:00:00')"))
            .collect();
        self.does(&format!(
            "CREATE TABLE {table} (id integer PRIMARY KEY, name varchar(100) NOT NULL);
             CREATE TABLE {table}_message (id integer PRIMARY KEY, chat_id integer NOT NULL,
                sender_id integer NOT NULL, body text NOT NULL, sent_at datetime NOT NULL);
             INSERT INTO {table} VALUES {};
             INSERT INTO {table}_message VALUES {};",
            groups.join(", "),
            messages.join(", ")
        ))
        .await;
    }
}

/// A mapping file's part for such an app.
fn groups(table: &str) -> String {
    format!(
        r#"
[[chats]]
table = "{table}"
id = "id"
kind = {{ value = "group" }}
name = "name"

[chats.messages]
table = "{table}_message"
id = "id"
chat = "chat_id"
sender = "sender_id"
text = "body"
timestamp = "sent_at"
"#
    )
}

/// Where something is imported to.
struct Place {
    dir: TempDir,
    database: TestDatabase,
}

impl Place {
    fn new() -> Self {
        let database = match test_database::kind() {
            Kind::Sqlite => TestDatabase::empty(),
            Kind::Postgres | Kind::MySql => TestDatabase::new(),
        };
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            database,
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A mapping file of a story's own.
    fn maps(&self, text: &str) -> String {
        let file = self.dir.path().join("mapping.toml");
        std::fs::write(&file, text).expect("written");
        file.display().to_string()
    }

    fn tries(&self, from: &str, more: &[&str]) -> Output {
        let to = self.database.url();
        let mut arguments = vec!["import", "django", "--from", from, "--database-url", to];
        arguments.extend(more);
        runs_in(&self.dir, &arguments, "")
    }

    /// Imports; what is reported.
    #[track_caller]
    fn imports(&self, from: &str, more: &[&str]) -> String {
        let output = self.tries(from, more);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Tries to import; what is said against it.
    #[track_caller]
    fn refuses(&self, from: &str, more: &[&str]) -> String {
        let output = self.tries(from, more);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    async fn opened(&self) -> DatabaseConnection {
        look_around::open(self.database.url()).await
    }

    /// The service, on what was imported.
    async fn serves(&self) -> Server {
        let url = self.database.url();
        Server::start_with(|settings| settings.storage.database_url = DatabaseUrl::new(url)).await
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
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    for (id, name) in [(1, "anna"), (2, "Anna"), (5, "boris"), (9, "vera")] {
        project.signs_up(id, name).await;
    }
    project
        .does("UPDATE auth_user SET is_active = FALSE WHERE id = 9")
        .await;
    project.does(CHATS).await;
    project
        .does(
            "INSERT INTO chat_chat VALUES (3, '', FALSE, NULL, '2025-01-01 00:00:00'),
                (7, 'Trip', TRUE, 5, '2025-01-01 00:00:00'), (8, 'Empty', TRUE, NULL, '2025-01-01 00:00:00');
             INSERT INTO chat_chatuser VALUES (1, 3, 1, FALSE, '2025-01-01 00:00:00', NULL),
                (2, 3, 5, FALSE, '2025-01-01 00:00:00', NULL),
                (3, 7, 1, TRUE, '2025-01-01 00:00:00', '2025-01-02 10:00:01'),
                (4, 7, 5, FALSE, '2025-01-01 00:00:00', '2026-01-01 00:00:00'),
                (5, 8, 2, FALSE, '2025-01-01 00:00:00', NULL), (6, 7, 77, FALSE, '2025-01-01 00:00:00', NULL);
             INSERT INTO chat_message VALUES
                (40, 7, 5, 'second', '2025-01-02 10:00:01', NULL, FALSE, 41),
                (41, 7, 1, 'first', '2025-01-02 10:00:00.123456', '2025-01-02 11:00:00', FALSE, NULL),
                (42, 7, 5, 'gone', '2025-01-02 10:00:02', NULL, TRUE, NULL),
                (43, 7, NULL, 'of nobody', '2025-01-02 10:00:02', NULL, FALSE, NULL),
                (44, 7, 5, 'third', '2025-01-02 10:00:03', NULL, FALSE, NULL),
                (50, 3, 1, 'Привет 🦊', '2025-01-02 09:00:00', NULL, FALSE, NULL);",
        )
        .await;

    let mapping = example("chats.toml");
    let by_mapping = ["--mapping", &mapping];
    let dry = place.imports(&from, &[&by_mapping[..], &["--dry-run"]].concat());
    assert!(
        dry.contains("users of auth_user: 4 read, 4 to be copied, 0 here already"),
        "{dry}"
    );
    assert!(dry.ends_with("a dry run: nothing was written\n"), "{dry}");
    let report = place.imports(&from, &by_mapping);
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
    let before = look_around::everything(&place.opened().await).await;
    let again = place.imports(&from, &by_mapping);
    assert!(
        again.contains("users of auth_user: 4 read, 0 copied, 4 here already"),
        "{again}"
    );
    assert!(
        again.contains("6 read, 0 copied, 5 here already"),
        "{again}"
    );
    let after = look_around::everything(&place.opened().await).await;
    assert_eq!(before, after, "doing it twice changes nothing");

    // What came since is all that is copied.
    project
        .does(
            "INSERT INTO chat_chatuser VALUES (7, 7, 2, FALSE, '2025-02-01 00:00:00', '2025-02-01 00:00:00');
             INSERT INTO chat_message VALUES (60, 7, 5, 'fourth', '2025-02-02 10:00:00', NULL, FALSE, NULL);",
        )
        .await;
    let more = place.imports(&from, &by_mapping);
    for line in [
        "members of chat_chatuser: 7 read, 1 copied, 5 here already, 1 left out",
        "messages of chat_message: 7 read, 1 copied, 5 here already, 1 left out",
    ] {
        assert!(more.contains(line), "{line}\n{more}");
    }

    let server = place.serves().await;
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
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    for (id, name) in [(1, "anna"), (2, "boris")] {
        project.signs_up(id, name).await;
    }
    project
        .does(
            "CREATE TABLE rooms_room (id char(32) PRIMARY KEY, name varchar(100) NOT NULL, created_at datetime NOT NULL);
             CREATE TABLE rooms_message (id char(32) PRIMARY KEY, room_id char(32) NOT NULL, author_id integer NOT NULL,
                content text NOT NULL, created_at datetime NOT NULL);
             INSERT INTO rooms_room VALUES ('7552c9cb6492458e9b6d3eb0705fceba', 'General', '2025-01-01 00:00:00'),
                ('8552c9cb6492458e9b6d3eb0705fceba', 'general', '2025-01-01 00:00:00');",
        )
        .await;
    let said = async |numbers: std::ops::RangeInclusive<i64>| {
        let rows = numbers.map(|i| {
            format!(
                "('{i:032x}', '7552c9cb6492458e9b6d3eb0705fceba', {}, 'message {i}', '2025-01-01 00:{:02}:{:02}')",
                1 + i % 2,
                i / 60,
                i % 60
            )
        });
        let rows: Vec<String> = rows.collect();
        let sql = format!("INSERT INTO rooms_message VALUES {}", rows.join(", "));
        project.does(&sql).await;
    };
    said(1..=700).await;
    let mapping = example("rooms.toml");
    let first = place.imports(&from, &["--mapping", &mapping]);
    assert!(first.contains("700 read, 700 copied"), "{first}");
    assert!(first.contains("can't be entered by their name"), "{first}");
    said(701..=1200).await;
    let second = place.imports(&from, &["--mapping", &mapping]);
    assert!(
        second.contains("1200 read, 500 copied, 700 here already"),
        "{second}"
    );

    let server = place.serves().await;
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
async fn what_is_copied_without_a_word_of_where_to_is_served_from_the_data_directory() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let project = Project::begins(dir.path()).await;
    project.signs_up(5, "anna").await;
    let imported = runs_in(&dir, &["import", "django", "--from", &project.url()], "");
    assert!(imported.status.success(), "{imported:?}");
    let server = Server::start_on(dir).await;
    assert_eq!(signs_in(&server, "anna").await.id, 5);
}

#[tokio::test]
async fn messages_of_one_moment_stay_in_the_order_of_their_numbers() {
    let (place, project) = (Place::new(), Site::begins().await);
    project.signs_up(1, "anna").await;
    project.has_groups("team", 1).await;
    let more: Vec<_> = (2..=12)
        .map(|id| format!("({id}, 1, 1, 'message {id}', '2025-01-01 00:00:00')"))
        .collect();
    let sql = format!("INSERT INTO team_message VALUES {}", more.join(", "));
    project.does(&sql).await;
    let mapping = place.maps(&groups("team"));
    place.imports(&project.url(), &["--mapping", &mapping]);
    let rows = look_around::messages(&place.opened().await, 1).await;
    let said: Vec<_> = rows.iter().map(|row| &*row.text).collect();
    let first = "in team 1".to_owned();
    let wanted = std::iter::once(first).chain((2..=12).map(|id| format!("message {id}")));
    assert_eq!(said, wanted.collect::<Vec<_>>());
}

/// A person's chats: their numbers and names.
async fn chats_of(person: &Person) -> Vec<(i64, String)> {
    let page = person.get("/api/chats/?page_size=100").await.expect(200);
    let results = page["results"].as_array().expect("chats");
    let mut chats: Vec<_> = results
        .iter()
        .map(|chat| {
            let name = chat["name"].as_str().expect("a name").to_owned();
            (chat["id"].as_i64().expect("a number"), name)
        })
        .collect();
    chats.sort();
    chats
}

#[tokio::test]
async fn chats_of_several_tables_whose_numbers_are_the_same_all_find_one() {
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    project.signs_up(1, "anna").await;
    for (table, count) in [("one", 3), ("two", 3), ("three", 8)] {
        project.has_groups(table, count).await;
    }
    let two = place.maps(&(groups("one") + &groups("two")));
    let report = place.imports(&from, &["--mapping", &two]);
    assert!(
        report.contains("- 3 chats have another number here, since theirs is taken: 1, 2, 3"),
        "{report}"
    );
    // Once more with others that were there before, of which two find theirs free.
    let three = place.maps(&groups("three"));
    let report = place.imports(&from, &["--mapping", &three]);
    assert!(report.contains("- 6 chats have another number"), "{report}");

    let server = place.serves().await;
    let anna = signs_in(&server, "anna").await;
    let chats = chats_of(&anna).await;
    let named = |id: i64| {
        let (_, name) = chats.iter().find(|(number, _)| *number == id).expect("it");
        name.as_str()
    };
    assert_eq!([1, 2, 3].map(named), ["one 1", "one 2", "one 3"]);
    assert_eq!([7, 8].map(named), ["three 7", "three 8"]);
    let mut names: Vec<&str> = chats.iter().map(|(_, name)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 14);
    for (id, name) in &chats {
        let said = anna.page(&Chat { id: *id }, "?before=").await;
        assert_eq!(texts(&said), [format!("in {name}")]);
    }
    let next = anna.creates_group("next", []).await;
    assert!(chats.iter().all(|(id, _)| *id < next.id));
}

#[tokio::test]
async fn numbers_that_an_import_wrote_before_it_failed_are_given_to_nobody_else() {
    let (place, project) = (Place::new(), Site::begins().await);
    for (id, name) in [(1, "anna"), (2, "boris"), (3, "vera")] {
        project.signs_up(id, name).await;
    }
    project.has_groups("team", 3).await;
    let mapping = place.maps(&(groups("team") + &groups("nowhere")));
    let told = place.refuses(&project.url(), &["--mapping", &mapping]);
    assert!(told.contains("nowhere"), "{told}");
    for round in 0..2 {
        let server = place.serves().await;
        let newcomer = server.user(&format!("newcomer{round}")).await;
        let chat = newcomer.creates_group("new", []).await;
        assert!(newcomer.id > 3 && chat.id > 3);
        if test_database::kind() == Kind::Postgres && round == 0 {
            // As an earlier program left it, or a copy that was put back without its counts.
            drop(server);
            let forgotten =
                "ALTER SEQUENCE user_id_seq RESTART; ALTER SEQUENCE chat_id_seq RESTART";
            let database = place.opened().await;
            let done = database.execute_unprepared(forgotten).await;
            done.expect("forgotten");
        }
    }
}

#[tokio::test]
async fn what_messages_answer_is_not_lost_with_an_import_that_was_interrupted() {
    let place = Place::new();
    // On SQLite, where a text may be none, so that the import ends there.
    let project = Project::begins(place.path()).await;
    let from = project.url();
    project.signs_up(1, "anna").await;
    project.does(CHATS).await;
    project
        .does(
            "INSERT INTO chat_chat VALUES (7, 'Trip', TRUE, 1, '2025-01-01 00:00:00');
             INSERT INTO chat_chatuser VALUES (1, 7, 1, TRUE, '2025-01-01 00:00:00', NULL);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)
             INSERT INTO chat_message SELECT i, 7, 1, 'message ' || i, '2025-01-01 ' || time(i, 'unixepoch'), NULL, FALSE,
                CASE i WHEN 2 THEN 1 WHEN 3 THEN 1080 WHEN 1090 THEN 4 END FROM n;
             UPDATE chat_message SET text = CAST(X'FF' AS text) WHERE id = 1050;",
        )
        .await;
    let mapping = example("chats.toml");
    let by_mapping = ["--mapping", &*mapping];
    place.refuses(&from, &by_mapping);
    let database = place.opened().await;
    assert_eq!(look_around::messages(&database, 7).await.len(), 1000);
    project
        .does("UPDATE chat_message SET text = 'message 1050' WHERE id = 1050")
        .await;
    let report = place.imports(&from, &by_mapping);
    assert!(
        report.contains("1100 read, 100 copied, 1000 here already"),
        "{report}"
    );
    let rows = look_around::messages(&database, 7).await;
    let id = |number: usize| rows[number - 1].id;
    let mut answers = rows
        .iter()
        .filter_map(|row| Some((row.id, row.reply_to?)))
        .collect::<Vec<_>>();
    answers.sort();
    assert_eq!(
        answers,
        [(id(2), id(1)), (id(3), id(1080)), (id(1090), id(4))]
    );
    place.imports(&from, &by_mapping);
    assert_eq!(look_around::messages(&database, 7).await, rows);
}

#[tokio::test]
async fn what_was_read_in_django_since_the_first_copy_is_not_unread_after_the_second() {
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    for (id, name) in [(1, "anna"), (2, "boris"), (3, "vera"), (4, "gleb")] {
        project.signs_up(id, name).await;
    }
    project.does(CHATS).await;
    project
        .does(
            "INSERT INTO chat_chat VALUES (7, 'Trip', TRUE, 1, '2025-01-01 00:00:00');
             INSERT INTO chat_chatuser VALUES (1, 7, 1, TRUE, '2025-01-01 00:00:00', '2025-01-02 10:00:01'),
                (2, 7, 2, FALSE, '2025-01-01 00:00:00', '2025-01-02 10:00:02');
             INSERT INTO chat_message VALUES
                (1, 7, 1, 'first', '2025-01-02 10:00:01', NULL, FALSE, NULL),
                (2, 7, 1, 'second', '2025-01-02 10:00:02', NULL, FALSE, NULL),
                (3, 7, 1, 'third', '2025-01-02 10:00:03', NULL, FALSE, NULL);",
        )
        .await;
    let mapping = example("chats.toml");
    let by_mapping = ["--mapping", &*mapping];
    place.imports(&from, &by_mapping);
    let database = place.opened().await;
    assert_eq!(
        look_around::read_marks(&database, 7).await,
        [(1, 1), (2, 2)]
    );

    // Nothing new was said. Anna read on, Boris marked something as unread; Vera joined and read, Gleb joined alone.
    project
        .does(
            "UPDATE chat_chatuser SET last_read_at = '2025-01-02 10:00:02.5' WHERE user_id = 1;
             UPDATE chat_chatuser SET last_read_at = '2025-01-02 10:00:01' WHERE user_id = 2;
             INSERT INTO chat_chatuser VALUES (3, 7, 3, FALSE, '2025-01-03 00:00:00', '2025-01-03 00:00:00'),
                (4, 7, 4, FALSE, '2025-01-03 00:00:00', NULL);",
        )
        .await;
    place.imports(&from, &by_mapping);
    let marks = [(1, 2), (2, 2), (3, 3), (4, 0)];
    assert_eq!(look_around::read_marks(&database, 7).await, marks);

    // What is gone there is here still, and Gleb has read it.
    project
        .does(
            "UPDATE chat_chatuser SET last_read_at = '2025-01-04 00:00:00' WHERE user_id = 4;
             DELETE FROM chat_message;",
        )
        .await;
    place.imports(&from, &by_mapping);
    let marks = [(1, 2), (2, 2), (3, 3), (4, 3)];
    assert_eq!(look_around::read_marks(&database, 7).await, marks);

    let server = place.serves().await;
    let anna = signs_in(&server, "anna").await;
    assert_eq!(anna.sees(&Chat { id: 7 }).await["unread_count"], 0, "hers");
    let boris = signs_in(&server, "boris").await;
    assert_eq!(boris.sees(&Chat { id: 7 }).await["unread_count"], 1);
}

#[tokio::test]
async fn who_joined_since_has_read_what_was_copied_where_django_does_not_tell_and_not_what_was_said_here()
 {
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    for (id, name) in [(1, "anna"), (2, "boris"), (3, "vera")] {
        project.signs_up(id, name).await;
    }
    project.has_groups("team", 1).await;
    project
        .does(
            "CREATE TABLE team_member (id integer PRIMARY KEY, team_id integer NOT NULL, user_id integer NOT NULL);
             INSERT INTO team_member VALUES (1, 1, 1), (2, 1, 2);",
        )
        .await;
    let members =
        "[chats.members]\ntable = \"team_member\"\nchat = \"team_id\"\nuser = \"user_id\"\n";
    let mapping = place.maps(&(groups("team") + members));
    let by_mapping = ["--mapping", &*mapping];
    place.imports(&from, &by_mapping);
    let database = place.opened().await;
    assert_eq!(
        look_around::read_marks(&database, 1).await,
        [(1, 1), (2, 1)]
    );
    {
        let server = place.serves().await;
        let anna = signs_in(&server, "anna").await;
        anna.says(&Chat { id: 1 }, "moved!").await;
    }
    project
        .does("INSERT INTO team_member VALUES (3, 1, 3)")
        .await;
    place.imports(&from, &by_mapping);
    let marks = look_around::read_marks(&database, 1).await;
    assert_eq!(marks[1..], [(2, 1), (3, 1)]);
}

#[tokio::test]
async fn who_was_deactivated_in_django_since_the_first_copy_can_not_sign_in_after_the_second() {
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    let names = ["anna", "boris", "vera", "gleb", "dina"];
    for (id, name) in (1..).zip(names) {
        project.signs_up(id, name).await;
    }
    project
        .does("UPDATE auth_user SET is_staff = TRUE, email = 'gleb@example.org' WHERE username = 'gleb'")
        .await;
    place.imports(&from, &[]);
    {
        let server = place.serves().await;
        signs_in(&server, "dina").await;
    }
    project
        .does(
            "UPDATE auth_user SET is_active = FALSE WHERE username IN ('boris', 'dina');
             UPDATE auth_user SET password = '!secret' WHERE username = 'vera';
             UPDATE auth_user SET is_staff = FALSE, first_name = 'Gleb', email = 'new@example.org'
                WHERE username = 'gleb';
             DELETE FROM auth_user WHERE username = 'anna';
             INSERT INTO auth_user SELECT 6, password, NULL, FALSE, 'lena', '', '', 'gleb@example.org', FALSE, TRUE,
                date_joined FROM auth_user WHERE username = 'gleb';",
        )
        .await;
    let dry = place.imports(&from, &["--dry-run"]);
    let report = place.imports(&from, &[]);
    for report in [dry, report] {
        assert!(
            report.contains("4 here already (3 of them different there)"),
            "{report}"
        );
        assert!(
            report.contains("since they were used here:\n  dina: "),
            "{report}"
        );
        assert!(report.contains("is_active\n"), "{report}");
        assert!(report.contains("made here:\n  anna\n"), "{report}");
        assert!(!report.contains("secret"), "{report}");
    }
    let before = look_around::everything(&place.opened().await).await;
    let again = place.imports(&from, &[]);
    assert!(!again.contains("different there"), "{again}");
    let after = look_around::everything(&place.opened().await).await;
    assert_eq!(before, after, "doing it twice changes nothing");

    let server = place.serves().await;
    for name in ["boris", "vera"] {
        let body = json!({"username": name, "password": PASSWORD});
        let refused = Request::new("POST", "/api/token/").json(&body);
        refused.send(server.address()).await.expect(401);
    }
    let gleb = signs_in(&server, "gleb").await;
    let me = gleb.get("/api/users/me/").await.expect(200);
    assert_eq!(
        (&me["first_name"], &me["email"], &me["is_staff"]),
        (&json!("Gleb"), &json!("new@example.org"), &json!(false))
    );
    signs_in(&server, "lena").await;
}

#[tokio::test]
async fn who_was_banned_or_removed_in_django_since_the_first_copy_is_so_after_the_second() {
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    for (id, name) in [(1, "anna"), (2, "boris"), (3, "vera"), (4, "gleb")] {
        project.signs_up(id, name).await;
    }
    project.has_groups("team", 2).await;
    project
        .does(
            "CREATE TABLE team_member (id integer PRIMARY KEY, team_id integer NOT NULL, user_id integer NOT NULL,
                role varchar(10) NOT NULL);
             INSERT INTO team_member VALUES (1, 1, 1, 'admin'), (2, 1, 2, 'member'), (3, 1, 3, 'member'),
                (4, 1, 4, 'member'), (5, 2, 1, 'admin'), (6, 2, 2, 'member'), (7, 2, 3, 'member');",
        )
        .await;
    let members = "[chats.members]\ntable = \"team_member\"\nchat = \"team_id\"\nuser = \"user_id\"\nrole = \"role\"\n";
    let mapping = place.maps(&(groups("team") + members));
    let by_mapping = ["--mapping", &*mapping];
    place.imports(&from, &by_mapping);
    {
        // In the second team somebody leaves here.
        let server = place.serves().await;
        let vera = signs_in(&server, "vera").await;
        vera.leaves(&Chat { id: 2 }).await;
    }
    project
        .does(
            "UPDATE team_member SET role = 'banned' WHERE user_id = 2;
             UPDATE team_member SET role = 'admin' WHERE id = 4;
             DELETE FROM team_member WHERE id = 3;",
        )
        .await;
    let report = place.imports(&from, &by_mapping);
    for told in [
        "members of team_member: 6 read, 0 copied, 5 here already (2 of them different there), 1 gone there, 1 left out",
        "  chat 2, boris: member here, banned there\n",
        "  chat 2, vera: no member here, member there\n",
    ] {
        assert!(report.contains(told), "{told}\n{report}");
    }
    let database = place.opened().await;
    let roles = look_around::roles(&database, 1).await;
    assert_eq!(
        roles,
        [(1, Role::Owner), (2, Role::Banned), (4, Role::Admin)]
    );
    let roles = look_around::roles(&database, 2).await;
    assert_eq!(roles, [(1, Role::Owner), (2, Role::Member)]);
}

#[tokio::test]
async fn who_is_in_one_of_two_tables_of_members_is_not_gone_for_not_being_in_the_other() {
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    for (id, name) in [(1, "anna"), (2, "boris")] {
        project.signs_up(id, name).await;
    }
    project.has_groups("team", 1).await;
    let mut mapping = String::new();
    for (table, member) in [("team_lead", 1), ("team_guest", 2)] {
        project
            .does(&format!(
                "CREATE TABLE {table} (id integer PRIMARY KEY, team_id integer NOT NULL, user_id integer NOT NULL);
                 INSERT INTO {table} VALUES (1, 1, {member});"
            ))
            .await;
        mapping += &groups("team");
        mapping += &format!(
            "[chats.members]\ntable = \"{table}\"\nchat = \"team_id\"\nuser = \"user_id\"\n"
        );
    }
    let mapping = place.maps(&mapping);
    for _ in 0..2 {
        place.imports(&from, &["--mapping", &mapping]);
        let roles = look_around::roles(&place.opened().await, 1).await;
        assert_eq!(roles, [(1, Role::Owner), (2, Role::Member)]);
    }
}

#[tokio::test]
async fn who_belongs_to_a_chat_by_what_they_wrote_is_not_gone_for_not_being_in_a_table_of_members()
{
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    for (id, name) in [(1, "anna"), (2, "boris")] {
        project.signs_up(id, name).await;
    }
    project.has_groups("team", 1).await;
    project
        .does(
            "CREATE TABLE team_lead (id integer PRIMARY KEY, team_id integer NOT NULL, user_id integer NOT NULL);
             INSERT INTO team_lead VALUES (1, 1, 1);
             CREATE TABLE team_letter (id integer PRIMARY KEY, chat_id integer NOT NULL,
                sender_id integer NOT NULL, body text NOT NULL, sent_at datetime NOT NULL);
             INSERT INTO team_letter VALUES (1, 1, 2, 'by letter', '2025-01-02 00:00:00');",
        )
        .await;
    let members =
        "[chats.members]\ntable = \"team_lead\"\nchat = \"team_id\"\nuser = \"user_id\"\n";
    let letters = groups("team").replace("team_message", "team_letter");
    let mapping = place.maps(&(groups("team") + members + &letters));
    for _ in 0..2 {
        place.imports(&from, &["--mapping", &mapping]);
        let roles = look_around::roles(&place.opened().await, 1).await;
        assert_eq!(roles, [(1, Role::Owner), (2, Role::Member)]);
    }
}

#[tokio::test]
async fn addresses_that_were_exchanged_in_django_are_found_after_the_second_copy() {
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    for (id, name) in [(1, "anna"), (2, "boris")] {
        project.signs_up(id, name).await;
    }
    let has = async |anna: &str, boris: &str| {
        project
            .does(&format!(
                "UPDATE auth_user SET email = '{anna}' WHERE id = 1; UPDATE auth_user SET email = '{boris}' WHERE id = 2;"
            ))
            .await;
        place.imports(&from, &[]);
        let database = place.opened().await;
        let key = async |user| look_around::account(&database, user).await.email_key;
        [key(1).await, key(2).await]
    };
    for (anna, boris) in [
        ("a@example.org", "b@example.org"),
        ("b@example.org", "a@example.org"),
    ] {
        let keys = has(anna, boris).await;
        assert_eq!(keys, [Some(anna.to_owned()), Some(boris.to_owned())]);
    }
}

#[tokio::test]
async fn what_can_not_be_copied_is_told_before_anything_is_wrong() {
    let (place, project) = (Place::new(), Site::begins().await);
    let from = project.url();
    project.signs_up(1, "anna").await;
    place.imports(&from, &[]);
    project
        .does("UPDATE auth_user SET username = 'boris'")
        .await;
    let other = place.refuses(&from, &[]);
    assert!(
        other.contains("user 1 is \"anna\" here and \"boris\" there"),
        "{other}"
    );
    let mapping = place.maps("[users]\ntabel = \"people\"\n");
    let slip = place.refuses(&from, &["--mapping", &mapping]);
    assert!(
        slip.contains("mapping.toml") && slip.contains("tabel"),
        "{slip}"
    );
    let mapping = place.maps("[users]\ntable = \"people\"\n");
    let missing = place.refuses(&from, &["--mapping", &mapping]);
    assert!(missing.contains("people"), "{missing}");
}

#[test]
fn a_url_that_can_not_be_read_is_told_without_its_password() {
    let place = Place::new();
    for from in [
        "oracle://site:hunter2@db/site",
        "postgres://site:hunter2@db:many/site",
        "mysql://site:hunter2#@db/site",
    ] {
        let told = place.refuses(from, &[]);
        assert!(
            told.contains("--from: ") && !told.contains("hunter2"),
            "{told}"
        );
    }
}
