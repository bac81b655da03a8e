//! What rpc's `subscribe` brings: new messages of all chats, as they come.

use std::time::Duration;

use entity::{SessionKind, UserId, session};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use serde_json::json;

use crate::support::{Caller, Person, Server, look_around, person::PASSWORD};

#[tokio::test]
async fn whoever_subscribes_hears_new_messages_of_all_chats_old_and_new() {
    let server = Server::start().await;
    let [anna, boris, carla] = server.users(["anna", "boris", "carla"]).await;
    let personal = anna.opens_personal_chat(&boris).await;
    let group = carla.creates_group("trip", [&anna]).await;
    boris.says(&personal, "before").await;
    let mut phone = Caller::is(&server, &anna).await;
    phone.gets("subscribe", json!({})).await;

    let said = boris.says(&personal, "one").await;
    let push = phone.hears(personal.id, "one").await;
    let message = &push["message"];
    assert_eq!(
        (
            &message["message_id"],
            &message["from_id"],
            &message["from_name"]
        ),
        (&json!(said.id), &json!(boris.id), &json!("boris"))
    );
    assert_eq!(push["timestamp"], message["content_time"]);
    // What isn't a message is nothing that these clients know.
    boris.edits(&personal, &said, "One").await;
    boris.deletes(&personal, &said).await;
    carla.renames(&group, "journey").await;
    carla.says(&group, "two").await;
    phone.hears(group.id, "two").await;

    let new = boris.creates_group("new", [&anna]).await;
    boris.says(&new, "three").await;
    phone.hears(new.id, "three").await;
    carla.removes(&group, &anna).await;
    carla.says(&group, "without anna").await;
    boris.says(&personal, "four").await;
    phone.hears(personal.id, "four").await;

    // One's own messages too, wherever they were sent.
    anna.says(&personal, "from another device").await;
    phone.hears(personal.id, "from another device").await;
    let fields = json!({"chat_id": personal.id, "content": "here", "content_type": "text"});
    phone.gets("sendMessage", fields).await;
}

#[tokio::test]
async fn pushes_are_written_as_the_subscription_was() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let chat = anna.opens_personal_chat(&boris).await;
    let mut of_anna = Caller::is(&server, &anna).await;
    let token = of_anna.token.clone();
    let phone = &mut of_anna.phone;
    phone
        .sends_text(&format!("{{'mode': 'subscribe', 'token': '{token}'}}"))
        .await;
    assert!(phone.next_text().await.ends_with("'status': '200'}"));
    let mut json = Caller::is(&server, &anna).await;
    json.gets("subscribe", json!({})).await;

    let said = boris.says(&chat, "it's").await;
    let push = phone.next_text().await;
    let (head, message) = push.split_once(", 'message': ").expect("a message");
    assert!(
        head.starts_with("{'mode': 'newMessage', 'timestamp': '20"),
        "{push}"
    );
    assert!(head.ends_with(&format!("'chat_id': {chat}")), "{push}");
    let wanted = format!(
        "{{'message_id': {}, 'from_id': {}, 'from_name': 'boris', 'content': 'it\\'s', 'content_type': 'text', \
         'content_time': '20",
        said.id, boris.id
    );
    assert!(message.starts_with(&wanted), "{push}");
    json.hears(chat.id, "it's").await;

    // Whoever subscribes again in the other encoding hears in that one, and once.
    phone
        .sends(json!({"mode": "subscribe", "token": token}))
        .await;
    assert_eq!(phone.next_frame().await["status"], "200");
    boris.says(&chat, "one").await;
    boris.says(&chat, "two").await;
    of_anna.hears(chat.id, "one").await;
    of_anna.hears(chat.id, "two").await;
}

#[tokio::test]
async fn a_subscription_ends_with_its_session() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let chat = anna.opens_personal_chat(&boris).await;
    let mut phone = Caller::is(&server, &anna).await;
    phone.gets("subscribe", json!({})).await;
    phone.gets("logout", json!({})).await;
    boris.says(&chat, "nobody hears it").await;
    phone.still_works().await;
    phone.signs_in("boris", PASSWORD).await;
    phone.gets("subscribe", json!({})).await;
    anna.says(&chat, "to boris").await;
    phone.hears(chat.id, "to boris").await;
    boris.delete("/api/users/me/").await.expect(204);
    assert_eq!(phone.phone.is_closed_at_last().await.code, 4001);
}

#[tokio::test]
async fn a_subscription_is_its_token_s_whoever_else_uses_the_connection() {
    let server = Server::start().await;
    let [anna, boris, carla] = server.users(["anna", "boris", "carla"]).await;
    let chat = anna.opens_personal_chat(&boris).await;
    let mut of_carla = Caller::is(&server, &carla).await;
    let mut phone = Caller::is(&server, &anna).await;
    of_carla.gets("checkToken", json!({})).await;
    let as_carla = json!({"token": of_carla.token});
    phone.gets("subscribe", as_carla).await;
    boris.says(&chat, "for anna alone").await;
    phone.gets("checkToken", json!({})).await;
    // What was subscribed by carla's token ends with it.
    of_carla.gets("logout", json!({})).await;
    assert_eq!(phone.is_closed().await.code, 4001);
}

/// Says when all rpc sessions of somebody run out, as their use would.
async fn run_out(server: &Server, person: &Person, after: Duration) {
    let database = look_around::open(server.database()).await;
    let change = session::Entity::update_many()
        .col_expr(
            session::Column::ExpiresAt,
            Expr::value(chrono::Utc::now() + after),
        )
        .filter(session::Column::UserId.eq(UserId(person.id)))
        .filter(session::Column::Kind.eq(SessionKind::Rpc));
    let changed = change.exec(&database).await.expect("the sessions");
    assert_eq!(changed.rows_affected, 1);
}

#[tokio::test]
async fn a_subscription_ends_when_its_session_runs_out_unless_its_use_elsewhere_prolongs_that() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let chat = anna.opens_personal_chat(&boris).await;
    let mut listening = Vec::new();
    for (person, seconds) in [(&anna, 3), (&boris, 4)] {
        let signed_in = Caller::is(&server, person).await;
        run_out(&server, person, Duration::from_secs(seconds)).await;
        let mut phone = Caller::connects(&server).await;
        phone.token = signed_in.token;
        phone.gets("subscribe", json!({})).await;
        listening.push(phone);
    }
    let [annas, boriss] = &mut listening[..] else {
        panic!("two listen")
    };
    // Anna's is prolonged by another connection: this one learns of it when it asks.
    run_out(&server, &anna, Duration::from_secs(3600)).await;
    anna.says(&chat, "still here").await;
    annas.hears(chat.id, "still here").await;
    boriss.hears(chat.id, "still here").await;
    assert_eq!(boriss.is_closed().await.code, 4001);
    boris.says(&chat, "I am gone there").await;
    annas.hears(chat.id, "I am gone there").await;
    annas.still_works().await;
}
