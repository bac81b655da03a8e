//! A Django project that keeps the accounts, and this service beside it.

use entity::user;
use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait};
use serde_json::json;
use tempfile::TempDir;
use tertulia::settings::{DatabaseUrl, PasswordHasher, Settings, UsersOf};
use test_database::TestDatabase;

use crate::support::{
    Handshake, Person, Request, Server,
    binary::runs_in,
    django::{PASSWORD, Project, STORED},
    look_around, tokens,
};

/// A project and the service beside it; the project's secret is the service's.
async fn beside(change: impl FnOnce(&mut Settings)) -> (Project, TempDir, Server) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let project = Project::begins(dir.path()).await;
    let server = server_of(&project, change).await;
    (project, dir, server)
}

async fn server_of(project: &Project, change: impl FnOnce(&mut Settings)) -> Server {
    Server::start_with(|settings| {
        settings.django.users = UsersOf::Django;
        settings.django.django_database_url = Some(DatabaseUrl::new(project.url()));
        settings.passwords.password_hasher = PasswordHasher::Pbkdf2Sha256;
        change(settings);
    })
    .await
}

async fn signs_in(server: &Server, name: &str, password: &str) -> Option<Person> {
    let to = server.address();
    let body = json!({"username": name, "password": password});
    let pair = Request::new("POST", "/api/token/")
        .json(&body)
        .send(to)
        .await;
    if pair.status == 401 {
        return None;
    }
    let pair = pair.expect(200);
    let text = |key: &str| pair[key].as_str().expect("a token").to_owned();
    let (access, refresh) = (text("access"), text("refresh"));
    let id = tokens::claims(&access)["user_id"]
        .as_str()
        .and_then(|id| id.parse().ok());
    let (id, name) = (id.expect("an id"), name.to_owned());
    Some(Person {
        to,
        id,
        name,
        access,
        refresh,
    })
}

#[tokio::test]
async fn accounts_are_django_s_whoever_makes_and_changes_them() {
    let (project, _dir, server) = beside(|_| {}).await;
    project.signs_up(7, "anna").await;
    let anna = signs_in(&server, "anna", PASSWORD).await.expect("in");
    assert_eq!(anna.id, 7);
    assert_eq!(
        project
            .text("SELECT password FROM auth_user WHERE id = 7")
            .await,
        STORED
    );
    assert!(signs_in(&server, "Anna", PASSWORD).await.is_none());

    let boris = server.user("boris").await;
    let row = format!(
        "SELECT username || first_name || is_active || is_staff || is_superuser FROM auth_user WHERE id = {}",
        boris.id
    );
    assert_eq!(project.text(&row).await, "borisBoris100");
    let taken = json!({"username": "anna", "password": "another horse 99"});
    let taken = Request::new("POST", "/api/users/")
        .json(&taken)
        .send(server.address())
        .await;
    assert_eq!(
        taken.expect(400),
        json!({"username": ["A user with that username already exists."]})
    );

    let renamed = anna
        .patch(
            "/api/users/me/",
            json!({"first_name": "Anne", "email": "a@example.org"}),
        )
        .await;
    assert_eq!(renamed.expect(200)["first_name"], "Anne");
    assert_eq!(
        project
            .text("SELECT first_name || email FROM auth_user WHERE id = 7")
            .await,
        "Annea@example.org"
    );
    let passwords = json!({"old_password": PASSWORD, "new_password": "another horse 99"});
    assert!(anna.post("/api/users/me/password/", passwords).await.status < 300);
    let stored = project
        .text("SELECT password FROM auth_user WHERE id = 7")
        .await;
    assert!(stored.starts_with("pbkdf2_sha256$3906$"), "{stored}");
    assert!(signs_in(&server, "anna", PASSWORD).await.is_none());

    // Django's own change, at the next sign-in at once.
    project
        .does(&format!(
            "UPDATE auth_user SET password = '{STORED}' WHERE id = 7"
        ))
        .await;
    assert!(
        signs_in(&server, "anna", "another horse 99")
            .await
            .is_none()
    );
    let anna = signs_in(&server, "anna", PASSWORD).await.expect("in");
    project
        .does("UPDATE auth_user SET is_active = 0 WHERE id = 7")
        .await;
    assert!(signs_in(&server, "anna", PASSWORD).await.is_none());
    anna.get("/api/users/me/").await.expect(401);

    // Who has never been here can be talked to; a name that went to another is the other's.
    project.signs_up(40, "vera").await;
    boris
        .creates(json!({"kind": "personal", "members": [40]}))
        .await;
    project
        .does("UPDATE auth_user SET username = 'gone' WHERE id = 40")
        .await;
    project.signs_up(41, "vera").await;
    assert_eq!(
        signs_in(&server, "vera", PASSWORD)
            .await
            .map(|vera| vera.id),
        Some(41)
    );
    assert_eq!(
        signs_in(&server, "gone", PASSWORD)
            .await
            .map(|gone| gone.id),
        Some(40)
    );
}

#[tokio::test]
async fn what_django_ends_ends_here_within_half_a_minute() {
    let (project, _dir, server) = beside(|_| {}).await;
    for (id, name) in [(1, "anna"), (2, "boris")] {
        project.signs_up(id, name).await;
    }
    let anna = signs_in(&server, "anna", PASSWORD).await.expect("in");
    let boris = signs_in(&server, "boris", PASSWORD).await.expect("in");
    let made_by_django = {
        let mut claims = tokens::claims(&boris.access);
        claims.as_object_mut().expect("claims").remove("sid");
        boris.with_token(&tokens::signed(&claims, tokens::SECRET))
    };
    let mut sockets = Vec::new();
    for person in [&anna, &boris, &made_by_django] {
        let handshake = server.handshake("/ws/chats/").bearer(&person.access);
        sockets.push(handshake.enter().await.expect("let in"));
    }
    project
        .does("UPDATE auth_user SET is_active = 0 WHERE id = 1")
        .await;
    project
        .does("UPDATE auth_user SET password = replace(password, 'tE5Ci', 'aaaaa') WHERE id = 2")
        .await;
    for socket in &mut sockets {
        assert_eq!(socket.is_closed_at_last().await.code, 4001);
    }
    for person in [&anna, &boris, &made_by_django] {
        person.get("/api/users/me/").await.expect(401);
    }
}

fn with_cookie(server: &Server, cookie: &str) -> Handshake {
    server
        .handshake("/ws/chats/")
        .header("Cookie", &format!("csrftoken=x; sessionid={cookie}"))
}

#[tokio::test]
async fn django_s_session_cookie_signs_a_socket_in_from_our_own_pages() {
    let (project, _dir, server) = beside(|settings| {
        settings.listening.allowed_origins = vec!["*".into(), "https://site.example".into()];
    })
    .await;
    project.signs_up(1, "anna").await;
    let key = project.signs_in(1, STORED, "2099-01-01 00:00:00").await;
    let own = format!("http://{}", server.address());
    for origin in [None, Some(&*own), Some("https://site.example")] {
        let handshake = with_cookie(&server, &key);
        let handshake = match origin {
            Some(origin) => handshake.header("Origin", origin),
            None => handshake,
        };
        handshake.enter().await.expect("let in").closes().await;
    }
    let elsewhere = with_cookie(&server, &key).header("Origin", "https://evil.example");
    assert_eq!(
        elsewhere.enter().await.err().map(|close| close.code),
        Some(4001)
    );
    let over = project.signs_in(1, STORED, "2020-01-01 00:00:00").await;
    let of_another_password = project
        .signs_in(1, "pbkdf2_sha256$1$a$b", "2099-01-01 00:00:00")
        .await;
    for refused in [
        &*over,
        &*of_another_password,
        "no-session",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let handshake = with_cookie(&server, refused);
        assert_eq!(
            handshake.enter().await.err().map(|close| close.code),
            Some(4001),
            "{refused}"
        );
    }
    // Another password, and a session that begins with it at once.
    let new = STORED.replace("tE5Ci", "aaaaa");
    project
        .does(&format!(
            "UPDATE auth_user SET password = '{new}' WHERE id = 1"
        ))
        .await;
    let key = project.signs_in(1, &new, "2099-01-01 00:00:00").await;
    with_cookie(&server, &key).enter().await.expect("let in");
    // It means nothing over REST, and nothing where Django isn't asked for.
    let request =
        Request::new("GET", "/api/users/me/").header("Cookie", &format!("sessionid={key}"));
    request.send(server.address()).await.expect(401);
    let alone = Server::start().await;
    assert_eq!(
        with_cookie(&alone, &key)
            .enter()
            .await
            .err()
            .map(|close| close.code),
        Some(4001)
    );
}

#[tokio::test]
async fn a_token_that_one_of_them_blacklists_is_blacklisted_at_the_other() {
    let (project, _dir, server) = beside(|_| {}).await;
    project.signs_up(1, "anna").await;
    let anna = signs_in(&server, "anna", PASSWORD).await.expect("in");
    let asks = async |door: &str, refresh: &str| {
        let body = json!({"refresh": refresh});
        let request = Request::new("POST", &format!("/api/token/{door}/")).json(&body);
        request.send(server.address()).await
    };
    let mut claims = tokens::claims(&anna.refresh);
    claims.as_object_mut().expect("claims").remove("sid");
    claims["jti"] = json!("0123456789abcdef0123456789abcdef");
    let theirs = tokens::signed(&claims, tokens::SECRET);
    asks("refresh", &theirs).await.expect(200);
    project
        .does(
            "INSERT INTO token_blacklist_outstandingtoken (id, token, created_at, expires_at, user_id, jti) VALUES
                (5, '', NULL, '2099-01-01 00:00:00', 1, '0123456789abcdef0123456789abcdef');
             INSERT INTO token_blacklist_blacklistedtoken (blacklisted_at, token_id) VALUES ('2026-01-01 00:00:00', 5);",
        )
        .await;
    let blacklisted = json!({"detail": "Token is blacklisted", "code": "token_not_valid"});
    for door in ["refresh", "blacklist"] {
        assert_eq!(asks(door, &theirs).await.expect(401), blacklisted);
    }
    let jti = tokens::claims(&anna.refresh)["jti"].clone();
    let jti = jti.as_str().expect("an id");
    let count = format!(
        "SELECT count(*) || '' FROM token_blacklist_blacklistedtoken b JOIN token_blacklist_outstandingtoken o \
         ON o.id = b.token_id WHERE o.jti = '{jti}' AND o.user_id = 1"
    );
    assert_eq!(project.text(&count).await, "0");
    asks("blacklist", &anna.refresh).await.expect(200);
    assert_eq!(project.text(&count).await, "1");
}

/// A user model of a project's own.
const PEOPLE: &str = "CREATE TABLE people (number integer PRIMARY KEY, login varchar(60) UNIQUE,
    secret varchar(128) NOT NULL, is_active bool NOT NULL)";

fn reads_people(settings: &mut Settings) {
    settings.django.django_user_table = "people".to_owned();
    let renamed = [
        ("id", "number"),
        ("username", "login"),
        ("password", "secret"),
        ("email", ""),
        ("first_name", ""),
        ("last_name", ""),
        ("is_staff", ""),
        ("is_superuser", ""),
        ("date_joined", ""),
    ];
    settings.django.django_user_columns = renamed
        .map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
        .into();
}

#[tokio::test]
async fn a_user_model_of_the_project_s_own_is_told_by_settings() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let project = Project::begins(dir.path()).await;
    project.does(PEOPLE).await;
    project
        .does(&format!(
            "INSERT INTO people VALUES (3, 'anna', '{STORED}', 1)"
        ))
        .await;
    let server = server_of(&project, reads_people).await;
    assert_eq!(
        signs_in(&server, "anna", PASSWORD)
            .await
            .map(|anna| anna.id),
        Some(3)
    );
    let boris = server.user("boris").await;
    let row = format!("SELECT login FROM people WHERE number = {}", boris.id);
    assert_eq!(project.text(&row).await, "boris");
}

/// A database in which a project's people stand beside our tables, on the kind that the stories run on.
async fn with_people(count: i64) -> TestDatabase {
    let database = TestDatabase::new();
    let rows: Vec<_> = (1..=count)
        .map(|number| format!("({number}, 'person{number}', '{STORED}', TRUE)"))
        .collect();
    let opened = look_around::open(database.url()).await;
    let insert = format!("INSERT INTO people VALUES {}", rows.join(", "));
    for sql in [PEOPLE, &insert] {
        let done = opened.execute_unprepared(sql).await;
        done.expect("a table of people");
    }
    database
}

/// The service on such a database; a MariaDB is called by its own name.
async fn server_beside(people: &TestDatabase) -> Server {
    let url = people.url();
    Server::start_with(|settings| {
        settings.storage.database_url = DatabaseUrl::new(url);
        settings.django.users = UsersOf::Django;
        let theirs = url.replacen("mysql:", "mariadb:", 1);
        settings.django.django_database_url = Some(DatabaseUrl::new(theirs));
        reads_people(settings);
    })
    .await
}

#[tokio::test]
async fn of_more_accounts_than_are_read_at_once_every_one_is_known_from_the_start() {
    let people = with_people(2000).await;
    let _server = server_beside(&people).await;
    let database = look_around::open(people.url()).await;
    let known = user::Entity::find().count(&database).await;
    assert_eq!(known.expect("the accounts"), 2000);
}

#[tokio::test]
async fn who_has_no_name_there_hides_nobody_who_has_one() {
    let people = with_people(1003).await;
    let database = look_around::open(people.url()).await;
    let nameless = "UPDATE people SET login = NULL WHERE number <= 1001";
    let done = database.execute_unprepared(nameless).await;
    done.expect("a page of people without a name, and one more");
    let _server = server_beside(&people).await;
    let known = user::Entity::find().count(&database).await;
    assert_eq!(known.expect("the accounts"), 2);
}

#[tokio::test]
async fn who_registers_when_django_has_gone_is_given_nobody_else_s_number() {
    let people = with_people(3).await;
    drop(server_beside(&people).await);
    let url = people.url();
    let server =
        Server::start_with(|settings| settings.storage.database_url = DatabaseUrl::new(url)).await;
    let person = signs_in(&server, "person2", PASSWORD).await;
    assert_eq!(person.map(|person| person.id), Some(2));
    assert!(server.user("newcomer").await.id > 3);
}

#[test]
fn a_project_s_database_that_can_not_be_read_is_refused_by_its_setting_and_without_its_password() {
    let place = tempfile::tempdir().expect("a temporary directory");
    for (url, problem) in [
        (
            "oracle://site:hunter2@db/site",
            "oracle://... is none of sqlite://, postgres:// and mysql:// (mariadb://)",
        ),
        (
            "postgres://site:hunter2@db:many/site",
            "is not a URL such as postgres://user:password@host/name",
        ),
        (
            "mariadb://site:hunter2#@db/site",
            "is not a URL such as mariadb://user:password@host/name",
        ),
    ] {
        let refused = runs_in(&place, &["serve", "--django-database-url", url], "");
        assert_eq!(refused.status.code(), Some(2), "{url}");
        assert_eq!(
            String::from_utf8_lossy(&refused.stderr),
            format!("tertulia: TERTULIA_DJANGO_DATABASE_URL: {problem}\n")
        );
    }
    assert!(!place.path().join("data").exists());
}
