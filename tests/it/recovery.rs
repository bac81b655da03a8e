//! Getting back into an account whose password is lost.

use serde_json::json;
use tertulia::settings::Secret;

use crate::support::{
    Caller, Person, Reply, Request, Server, binary::Binary, person::PASSWORD, post::PostOffice,
};

const NEW_PASSWORD: &str = "louder harbour 1988";

async fn with_mail() -> (PostOffice, Server) {
    let office = PostOffice::opens().await;
    let url = office.url();
    let server = Server::start_with(|settings| {
        settings.mail.smtp_url = Some(Secret::new(&url));
        settings.mail.mail_from = Some("Tertulia <chat@example.org>".to_owned());
    })
    .await;
    (office, server)
}

async fn with_address(server: &Server, name: &str) -> Person {
    let person = server.user(name).await;
    let email = json!({"email": format!("{name}@example.org")});
    person.patch("/api/users/me/", email).await.expect(200);
    person
}

async fn posts(server: &Server, target: &str, body: serde_json::Value) -> Reply {
    Request::new("POST", target)
        .json(&body)
        .send(server.address())
        .await
}

async fn asks(server: &Server, body: serde_json::Value) {
    posts(server, "/api/users/recovery/", body)
        .await
        .expect(204);
}

async fn confirms(server: &Server, name: &str, code: &str, password: &str) -> Reply {
    let body = json!({"username": name, "code": code, "password": password});
    posts(server, "/api/users/recovery/confirm/", body).await
}

#[tokio::test]
async fn a_mailed_code_gives_a_new_password_once_and_ends_all_sessions() {
    let (mut office, server) = with_mail().await;
    let anna = with_address(&server, "anna").await;
    let mut phone = Caller::is(&server, &anna).await;
    phone.gets("checkToken", json!({})).await;
    asks(
        &server,
        json!({"username": "anna", "email": "ANNA@example.org"}),
    )
    .await;
    let mail = office.next_mail().await;
    assert!(mail.starts_with("RCPT TO:<anna@example.org>"), "{mail}");
    assert!(
        mail.contains("Subject: Your recovery code") && mail.contains("15 minutes"),
        "{mail}"
    );

    asks(&server, json!({"username": "anna"})).await;
    let code = office.next_code().await;
    assert!(!mail.contains(&code), "a code is new each time");
    let wrong = confirms(&server, "anna", "AAAAAAAAAA", NEW_PASSWORD)
        .await
        .expect(400);
    assert_eq!(
        wrong,
        json!({"code": ["This code is not valid, or not any more."]})
    );
    let weak = confirms(&server, "anna", &code, "short").await.expect(400);
    assert!(weak["password"].is_array(), "{weak}");
    let typed = format!("{} {}", code[..5].to_lowercase(), &code[5..]);
    confirms(&server, "anna", &typed, NEW_PASSWORD)
        .await
        .expect(204);

    assert_eq!(phone.is_closed().await.code, 4001);
    anna.get("/api/users/me/").await.expect(401);
    anna.signs_in_with(NEW_PASSWORD).await;
    confirms(&server, "anna", &code, PASSWORD).await.expect(400);
}

#[tokio::test]
async fn nobody_learns_who_has_an_account_and_mail_goes_to_nobody_else() {
    let (mut office, server) = with_mail().await;
    with_address(&server, "anna").await;
    server.user("boris").await; // without an address
    asks(&server, json!({"username": "nobody"})).await;
    asks(&server, json!({"username": "boris"})).await;
    asks(&server, json!({"username": "Anna"})).await;
    asks(
        &server,
        json!({"username": "anna", "email": "eve@example.org"}),
    )
    .await;
    // They are served in this order: the next mail is the first one.
    asks(
        &server,
        json!({"username": "anna", "email": "anna@example.org"}),
    )
    .await;
    let code = office.next_code().await;
    let unknown = confirms(&server, "nobody", &code, NEW_PASSWORD)
        .await
        .expect(400);
    let without = confirms(&server, "boris", &code, NEW_PASSWORD)
        .await
        .expect(400);
    assert_eq!(unknown, without);
    confirms(&server, "anna", &code, NEW_PASSWORD)
        .await
        .expect(204);
}

#[tokio::test]
async fn a_code_may_be_tried_five_times_and_a_new_one_takes_its_place() {
    let (mut office, server) = with_mail().await;
    with_address(&server, "anna").await;
    asks(&server, json!({"username": "anna"})).await;
    let first = office.next_code().await;
    for _ in 0..5 {
        confirms(&server, "anna", "AAAAAAAAAA", NEW_PASSWORD)
            .await
            .expect(400);
    }
    confirms(&server, "anna", &first, NEW_PASSWORD)
        .await
        .expect(400);
    asks(&server, json!({"username": "anna"})).await;
    let second = office.next_code().await;
    confirms(&server, "anna", &first, NEW_PASSWORD)
        .await
        .expect(400);
    confirms(&server, "anna", &second, NEW_PASSWORD)
        .await
        .expect(204);
}

#[tokio::test]
async fn guesses_are_slowed_down_whatever_the_name() {
    let server = Server::start_with(|settings| settings.limits.signin_failures = 3).await;
    for name in ["anna", "boris", "carla"] {
        confirms(&server, name, "AAAAAAAAAA", NEW_PASSWORD)
            .await
            .expect(400);
    }
    let throttled = confirms(&server, "dora", "AAAAAAAAAA", NEW_PASSWORD).await;
    assert_eq!(throttled.status, 429);
    assert!(throttled.header("retry-after").is_some());
}

#[tokio::test]
async fn three_mails_an_hour_are_sent_to_an_account() {
    let (mut office, server) = with_mail().await;
    with_address(&server, "anna").await;
    with_address(&server, "boris").await;
    for _ in 0..5 {
        asks(&server, json!({"username": "anna"})).await;
    }
    asks(&server, json!({"username": "boris"})).await;
    for wanted in ["anna", "anna", "anna", "boris"] {
        let mail = office.next_mail().await;
        assert!(mail.contains(&format!("<{wanted}@example.org>")), "{mail}");
    }
}

#[tokio::test]
async fn ten_mails_an_hour_are_sent_for_an_address_whoever_they_are_to() {
    let mut office = PostOffice::opens().await;
    let url = office.url();
    let server = Server::start_with(|settings| {
        settings.mail.smtp_url = Some(Secret::new(&url));
        settings.mail.mail_from = Some("chat@example.org".to_owned());
        settings.listening.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    let asks_from = async |address: &str, name: &str| {
        let body = json!({"username": name});
        let request = Request::new("POST", "/api/users/recovery/").json(&body);
        let request = request.header("X-Forwarded-For", address);
        request.send(server.address()).await.expect(204);
    };
    for name in ["anna", "boris", "carla", "dora"] {
        with_address(&server, name).await;
        for _ in 0..3 {
            asks_from("192.0.2.1", name).await;
        }
    }
    // The last two of the twelve are not sent: what comes after the tenth is from elsewhere.
    asks_from("192.0.2.2", "dora").await;
    asks_from("192.0.2.1", "dora").await;
    asks_from("192.0.2.2", "dora").await;
    let mut sent = Vec::new();
    for _ in 0..12 {
        let mail = office.next_mail().await;
        let to = mail.split(['<', '@']).nth(1).unwrap_or_default().to_owned();
        sent.push(to);
    }
    let wanted = ["anna", "boris", "carla"].map(|name| [name; 3]).concat();
    assert_eq!(sent[..9], wanted);
    assert_eq!(sent[9..], ["dora"; 3]);
}

#[tokio::test]
async fn rpc_recovers_an_account_in_its_own_form() {
    let (mut office, server) = with_mail().await;
    with_address(&server, "anna").await;
    let mut caller = Caller::connects(&server).await;
    for (data, kind, status) in [
        ("eve@example.org", "email", "200"),
        ("boris", "username", "200"),
        ("anna@example.org", "phone", "422"),
        ("anna@example.org", "email", "200"),
    ] {
        let fields = json!({"username": "anna", "known_data": data, "known_data_type": kind});
        let answer = caller.asks_anonymously("recovery", fields).await;
        assert_eq!(answer["status"], status, "{answer}");
    }
    let missing = caller
        .asks_anonymously("recovery", json!({"username": "anna"}))
        .await;
    assert_eq!(
        missing["error_msg"],
        "field(s) known_data, known_data_type not provided"
    );
    let code = office.next_code().await;
    for (code, password, status) in [
        ("AAAAAAAAAA", NEW_PASSWORD, "401"),
        (&*code, "short", "422"),
        (&*code, NEW_PASSWORD, "200"),
        (&*code, NEW_PASSWORD, "401"),
    ] {
        let fields = json!({"username": "anna", "code": code, "password": password});
        let answer = caller.asks_anonymously("recoveryConfirm", fields).await;
        assert_eq!(answer["status"], status, "{answer}");
    }
    caller.signs_in("anna", NEW_PASSWORD).await;
}

#[tokio::test]
async fn without_a_mail_server_the_answer_is_the_same_and_the_command_line_prints_a_code() {
    let binary = Binary::serves(&[]).await;
    let to = binary.address();
    let anna = Person::registers(to, "anna").await;
    let body = json!({"username": "anna"});
    let asked = Request::new("POST", "/api/users/recovery/")
        .json(&body)
        .send(to)
        .await;
    asked.expect(204);
    let code = binary.does(&["user", "recover", "anna"], "");
    let code = code.trim();
    let body = json!({"username": "anna", "code": code, "password": NEW_PASSWORD});
    let target = "/api/users/recovery/confirm/";
    Request::new("POST", target)
        .json(&body)
        .send(to)
        .await
        .expect(204);
    anna.signs_in_with(NEW_PASSWORD).await;
    let nobody = binary.runs(&["user", "recover", "nobody"], "");
    assert!(!nobody.status.success());
}
