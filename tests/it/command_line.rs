//! The command line: settings and where they come from, and what is done to users there.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_database::Kind;

use crate::support::{
    Request,
    binary::{Binary, runs_in},
    person::PASSWORD,
    until,
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

#[tokio::test]
async fn a_user_becomes_an_operator_and_a_user_again_while_the_service_runs() {
    let binary = Binary::serves(&[]).await;
    let [anna, boris] = binary.users(["anna", "boris"]).await;
    let account = format!("/api/users/{}/", boris.id);
    let changes_boris = || anna.patch(&account, json!({"is_active": true}));
    let is_answered = async |status: u16| {
        let seen = || async { (changes_boris().await.status == status).then_some(()) };
        until("her rights to be seen", seen).await;
    };
    is_answered(403).await;
    let told = binary.does(&["user", "staff", "anna"], "");
    assert_eq!(told, "anna is an operator now\n");
    is_answered(200).await;
    let told = binary.does(&["user", "staff", "anna", "--off"], "");
    assert_eq!(told, "anna is no operator now\n");
    is_answered(403).await;

    let output = binary.runs(&["user", "staff", "clara"], "");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("clara: no such user"), "{told}");
}

/// The steps that `migrate` tells of, each with whether it was taken.
fn steps(told: &str) -> Vec<(bool, String)> {
    let steps = told.lines().map(|line| match line.split_once(' ') {
        Some(("Applied", name)) => (true, name.trim().to_owned()),
        Some(("Pending", name)) => (false, name.trim().to_owned()),
        _ => panic!("neither taken nor to be taken: {line}"),
    });
    steps.collect()
}

#[tokio::test]
async fn the_newest_step_of_the_tables_is_taken_back_and_again_and_nothing_else_is_lost() {
    let mut binary = Binary::serves(&[]).await;
    let [anna] = binary.users(["anna"]).await;
    let trip = anna.creates_group("trip", []).await;
    anna.says(&trip, "Where are we?").await;
    if test_database::kind() == Kind::Sqlite {
        // Not under a service that stands on them. On a server nobody can know who does.
        let refused = binary.runs(&["migrate", "down"], "");
        assert_eq!(refused.status.code(), Some(1));
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains("another tertulia serves"), "{told}");
    }
    binary.is_told_to_stop();
    assert!(binary.ends().await.success());

    let whole = steps(&binary.does(&["migrate", "status"], ""));
    assert!(whole.iter().all(|(is_taken, _)| *is_taken), "{whole:?}");
    let mut back = whole.clone();
    back.last_mut().expect("a step").0 = false;
    assert_eq!(steps(&binary.does(&["migrate", "down"], "")), back);
    assert_eq!(steps(&binary.does(&["migrate", "status"], "")), back);
    assert_eq!(steps(&binary.does(&["migrate", "up"], "")), whole);
    // Once more is no step; and without a word it goes up, as serving does.
    assert_eq!(steps(&binary.does(&["migrate", "up"], "")), whole);
    binary.does(&["migrate", "down"], "");
    assert_eq!(steps(&binary.does(&["migrate"], "")), whole);
    binary.does(&["migrate", "down"], "");

    binary.starts_again().await;
    assert_eq!(anna.reads_back(&trip).await, ["Where are we?"]);
    anna.says(&trip, "Here!").await;
}

#[test]
fn all_steps_are_taken_where_nothing_was_and_taken_back_to_nothing() {
    let place = place();
    let migrates = |step: &str| {
        let output = runs_in(&place, &["migrate", step], "");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{step}: {errors}");
        steps(&String::from_utf8_lossy(&output.stdout))
    };
    let taken = |steps: &[(bool, String)]| steps.iter().filter(|(is_taken, _)| *is_taken).count();
    let whole = migrates("up");
    assert_eq!(taken(&whole), whole.len());
    for left in (0..whole.len()).rev() {
        assert_eq!(taken(&migrates("down")), left);
    }
    assert_eq!(migrates("up"), whole);
}

#[test]
fn the_documents_are_printed_as_they_are_committed_and_nothing_is_made() {
    let place = place();
    for (command, committed) in [
        ("openapi", include_str!("../../openapi/openapi.yaml")),
        ("asyncapi", include_str!("../../openapi/asyncapi.yaml")),
    ] {
        let output = runs_in(&place, &[command], "");
        assert!(output.status.success() && output.stderr.is_empty());
        assert_eq!(String::from_utf8_lossy(&output.stdout), committed);
    }
    assert!(!place.path().join("data").exists());
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
