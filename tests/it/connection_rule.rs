//! One connection per user and chat: the three ways of keeping to it.

use tertulia::settings::ConnectionRule;

use crate::support::{Server, within};

async fn server_with(rule: ConnectionRule) -> Server {
    Server::start_with(move |settings| settings.connections.connections_per_chat = rule).await
}

#[tokio::test]
async fn the_newest_connection_takes_the_older_ones_place() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut boriss = boris.joins(&trip).await;
    let mut older = anna.joins(&trip).await;
    let mut newer = anna.joins(&trip).await;
    let close = older.is_closed().await;
    assert_eq!(close.code, 4009);
    assert!(!close.reason.is_empty());
    boriss.says("still there?").await;
    assert_eq!(newer.next_message().await.text, "still there?");
    assert_eq!(boriss.next_message().await.text, "still there?");
}

#[tokio::test]
async fn another_chat_and_another_user_are_another_matter() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let other = anna.creates_group("other", []).await;
    let mut phones = [
        anna.joins(&trip).await,
        anna.joins(&other).await,
        boris.joins(&trip).await,
    ];
    for phone in &mut phones {
        phone.still_works().await;
    }
}

#[tokio::test]
async fn a_phone_out_of_the_tunnel_is_not_locked_out_by_its_own_dead_socket() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let dead = anna.joins(&notes).await; // never read again, never closed
    let mut phone = anna.joins(&notes).await;
    phone.still_works().await;
    drop(dead);
}

#[tokio::test]
async fn where_the_setting_says_so_the_newcomer_is_sent_away() {
    let server = server_with(ConnectionRule::Reject).await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut first = anna.joins(&notes).await;
    let close = anna
        .tries_to_join(&notes)
        .await
        .err()
        .expect("one is there");
    assert_eq!(close.code, 4009);
    first.still_works().await;
    first.hangs_up().await;
    // Gone is gone: the place is free as soon as the close was answered.
    crate::support::until("the place to be free", || async {
        anna.tries_to_join(&notes).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn where_the_setting_says_so_all_of_them_stay() {
    let server = server_with(ConnectionRule::Many).await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phones = [
        anna.joins(&notes).await,
        anna.joins(&notes).await,
        anna.joins(&notes).await,
    ];
    phones[0].says("to all of me").await;
    for phone in &mut phones {
        assert_eq!(phone.next_message().await.text, "to all of me");
    }
}

#[tokio::test]
async fn two_tabs_that_fight_are_parted_after_the_third_replacement() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut holder = anna.joins(&notes).await;
    for _ in 0..3 {
        let newcomer = anna.joins(&notes).await;
        assert_eq!(holder.is_closed().await.code, 4009);
        holder = newcomer;
    }
    // The holder answers pings, as browsers do by themselves, while the others knock.
    let knocks = async {
        for _ in 0..3 {
            let close = anna
                .tries_to_join(&notes)
                .await
                .err()
                .expect("the duel is over");
            assert_eq!(close.code, 4009);
        }
    };
    within("the knocking to end", async {
        tokio::select! {
            () = knocks => {}
            heard = holder.next_whenever() => panic!("the holder heard {heard:?}"),
        }
    })
    .await;
    holder.still_works().await;
}

#[tokio::test]
async fn a_user_has_no_more_connections_than_the_setting_allows() {
    let server = Server::start_with(|settings| settings.connections.connections_per_user = 3).await;
    let anna = server.user("anna").await;
    let mut phones = Vec::new();
    for number in 0..3 {
        let chat = anna.creates_group(&format!("chat {number}"), []).await;
        phones.push(anna.joins(&chat).await);
    }
    let one_more = anna.creates_group("one more", []).await;
    let close = anna.tries_to_join(&one_more).await.err().expect("too many");
    assert_eq!(close.code, 4030);
    for phone in &mut phones {
        phone.still_works().await;
    }
}
