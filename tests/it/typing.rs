//! Somebody types: told to all, ended by time and by the end of the connection.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn typing_is_told_to_the_others_and_echoed() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    annas.types(true).await;
    let told = json!({"type": "typing", "user_id": anna.id, "username": "anna", "is_typing": true});
    assert_eq!(boriss.next_frame().await, told);
    assert_eq!(annas.next_frame().await, told);
    annas.types(false).await;
    assert_eq!(boriss.hears("typing").await["is_typing"], false);
    assert_eq!(annas.hears("typing").await["is_typing"], false);
}

#[tokio::test]
async fn typing_that_changes_nothing_is_not_told_again() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    for _ in 0..5 {
        annas.types(true).await;
    }
    annas.types(false).await;
    annas.says("marker").await;
    assert_eq!(boriss.hears("typing").await["is_typing"], true);
    assert_eq!(boriss.hears("typing").await["is_typing"], false);
    assert_eq!(boriss.next_message().await.text, "marker");
}

#[tokio::test]
async fn typing_ends_by_itself() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;
    annas.types(true).await;
    assert_eq!(boriss.hears("typing").await["is_typing"], true);
    let ended = boriss.hears("typing").await;
    assert_eq!(
        (&ended["user_id"], &ended["is_typing"]),
        (&json!(anna.id), &json!(false))
    );
}

#[tokio::test]
async fn typing_ends_with_the_connection_however_that_ended() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut boriss = boris.joins(&trip).await;
    for is_polite in [true, false] {
        let mut annas = anna.joins(&trip).await;
        annas.types(true).await;
        assert_eq!(boriss.hears("typing").await["is_typing"], true);
        match is_polite {
            true => annas.hangs_up().await,
            false => annas.loses_network().await,
        };
        // A marker told after the end: what types no more is told before it.
        assert_eq!(
            boriss.hears("typing").await["is_typing"],
            false,
            "polite: {is_polite}"
        );
    }
}

#[tokio::test]
async fn typing_that_says_nothing_clear_is_an_error_and_harms_nothing() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    for wrong in [json!("yes"), json!(1), json!([true])] {
        phone
            .sends(json!({"type": "typing", "is_typing": wrong}))
            .await;
        assert_eq!(phone.hears("error").await["code"], "invalid", "{wrong}");
    }
    phone.still_works().await;
}
