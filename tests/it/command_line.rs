//! The command line: settings and where they come from, and what is done to users there.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_database::Kind;

use crate::support::{
    Request,
    binary::{Binary, runs_in},
    person::PASSWORD,
};

fn place() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// What a command that must fail says, and with which code.
#[track_caller]
fn refusal(place: &TempDir, arguments: &[&str], input: &str) -> (i32, String) {
    let output = runs_in(place, arguments, input);
    assert!(!output.status.success(), "{arguments:?} should fail");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or_default(), told)
}

#[test]
fn a_bad_setting_is_refused_by_its_name_before_anything_is_made() {
    let place = place();
    let (code, told) = refusal(&place, &["serve", "--message-chars", "many"], "");
    assert_eq!(code, 2);
    assert_eq!(
        told,
        "tertulia: TERTULIA_MESSAGE_CHARS: \"many\" is not a whole number\n"
    );
    assert!(!place.path().join("data").exists());
}

#[test]
fn a_file_in_the_working_directory_counts_as_environment_and_a_flag_wins_over_it() {
    let place = place();
    std::fs::write(place.path().join(".env"), "TERTULIA_QUEUE_FRAMES=0\n").expect("written");
    let (_, told) = refusal(&place, &["serve"], "");
    assert_eq!(
        told,
        "tertulia: TERTULIA_QUEUE_FRAMES: 0 is not between 1 and 1000000\n"
    );
    let (_, told) = refusal(
        &place,
        &["serve", "--queue-frames", "9", "--drain", "5"],
        "",
    );
    assert!(told.starts_with("tertulia: TERTULIA_DRAIN: "), "{told}");
}

#[test]
fn a_variable_that_is_no_setting_is_warned_of_with_the_nearest_one() {
    let place = place();
    std::fs::write(place.path().join(".env"), "TERTULIA_MESAGE_CHARS=5\n").expect("written");
    // An address of nobody's (RFC 5737), so that it ends by itself.
    let (code, told) = refusal(&place, &["serve", "--bind", "192.0.2.1:1"], "");
    assert_eq!(code, 1);
    let warning = "TERTULIA_MESAGE_CHARS is not a setting; TERTULIA_MESSAGE_CHARS is";
    assert!(told.contains(warning), "{told}");
    assert!(
        told.contains("192.0.2.1:1"),
        "what can't be listened on is told: {told}"
    );
}

#[test]
fn without_a_command_it_serves_and_flags_are_taken_there_too() {
    let (code, told) = refusal(&place(), &["--bind", "192.0.2.1:1"], "");
    assert_eq!(code, 1);
    assert!(told.contains("192.0.2.1:1"), "{told}");
}

#[test]
fn the_help_documents_every_setting() {
    let output = runs_in(&place(), &["help"], "");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for (name, default) in tertulia::settings::Settings::documented() {
        let variable = format!("[env: TERTULIA_{}", name.to_uppercase());
        assert!(help.contains(&variable), "{variable}");
        let default = default.map(|default| format!("[default: {default}]"));
        assert!(default.is_none_or(|default| help.contains(&default)));
    }
    // Their values stay out of it, for some are secret: the harness gives one.
    assert!(!help.contains(crate::support::tokens::SECRET));
}

#[tokio::test]
async fn users_made_on_the_command_line_sign_in_and_staff_are_staff() {
    let binary = Binary::serves(&[]).await;
    let made = binary.does(
        &[
            "user",
            "create",
            "root",
            "--staff",
            "--email",
            "r@example.org",
        ],
        PASSWORD,
    );
    assert!(made.contains("root"), "{made}");
    let pair = json!({"username": "root", "password": PASSWORD});
    let pair = Request::new("POST", "/api/token/").json(&pair);
    let pair = pair.send(binary.address()).await.expect(200);
    let access = pair["access"].as_str().expect("a token");
    let me = Request::new("GET", "/api/users/me/").bearer(access);
    let me = me.send(binary.address()).await.expect(200);
    let wanted = json!({"is_staff": true, "email": "r@example.org"});
    assert_eq!(
        json!({"is_staff": me["is_staff"], "email": me["email"]}),
        wanted
    );
}

#[test]
fn what_the_service_would_refuse_the_command_line_refuses_too() {
    let place = place();
    let (_, told) = refusal(&place, &["user", "create", "anna"], "password\n");
    assert!(told.contains("too common"), "{told}");
    let (_, told) = refusal(&place, &["user", "create", "anna and boris"], PASSWORD);
    assert!(told.contains("username"), "{told}");
    let (_, told) = refusal(&place, &["user", "password", "nobody"], PASSWORD);
    assert!(told.contains("nobody"), "{told}");
}

#[tokio::test]
async fn many_users_for_measuring_are_made_at_once_with_ids_that_follow_each_other() {
    let binary = Binary::serves(&[]).await;
    let many = [
        "user", "create", "--count", "1000", "--prefix", "load", "--json",
    ];
    let made: Value = serde_json::from_str(&binary.does(&many, "")).expect("JSON");
    assert_eq!(made, json!({"first_id": 1, "count": 1000}));
    let [anna] = binary.users(["anna"]).await;
    match test_database::kind() {
        // It takes ids for what may follow.
        Kind::MySql => assert!(anna.id > 1000),
        Kind::Sqlite | Kind::Postgres => assert_eq!(anna.id, 1001),
    }
    let found = anna.get("/api/users/?search=load1000").await.expect(200);
    assert_eq!(found["results"][0]["id"], 1000);
}
