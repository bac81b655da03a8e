//! Nodes on Redis, and a Django project beside them that knows nothing but the channel layer.

use serde_json::{Value, json};
use tertulia::{
    layer::{ChannelLayer, LayerMessage},
    service::{Parts, Service},
    settings::{LayerForm, LayerUrl, Secret, Settings},
};

use crate::support::{
    Server,
    redis::{Form, TestRedis},
    until, within,
};

/// Settings of a node on this Redis, that tells Django of messages.
fn on(redis: &TestRedis, form: Form, prefix: &str) -> impl Fn(&mut Settings) {
    let form = match form {
        Form::PubSub => LayerForm::PubSub,
        Form::Core => LayerForm::Core,
    };
    let url = LayerUrl::Redis(form, Secret::new(redis.url()));
    let prefix = prefix.to_owned();
    move |settings| {
        settings.layer.layer_url = vec![url.clone()];
        settings.layer.layer_prefix = prefix.clone();
        settings.layer.layer_events = vec!["message".to_owned()];
        settings.limits.messages_per_minute = 0;
    }
}

fn packed(message: &Value) -> LayerMessage {
    LayerMessage::pack(message).expect("packed")
}

async fn next(layer: &dyn ChannelLayer, channel: &str) -> Value {
    let came = within("a message of the layer", layer.receive(channel)).await;
    came.map(|it| it.read().expect("JSON")).expect("a message")
}

#[tokio::test]
async fn two_nodes_and_a_django_project_share_a_chat() {
    for form in [Form::PubSub, Form::Core] {
        let Some(redis) = TestRedis::find() else {
            return;
        };
        let (django, prefix) = redis.layer(form, &[]).await;
        let here = Server::start_with(on(&redis, form, &prefix)).await;
        let there = here.beside_with(|_| {}).await;
        let [anna, boris] = here.users(["anna", "boris"]).await;
        let boris = boris.at(there.address());
        let trip = anna.creates_group("trip", [&boris]).await;
        let channel = django.new_channel().await.expect("a channel");
        let group = format!("chat_{trip}");
        django.group_add(&group, &channel).await.expect("in");
        let mut phones = [anna.joins(&trip).await, boris.joins(&trip).await];

        // What one of us says, everybody hears; Django once, although both nodes heard it.
        // Each when the one before was heard: between two nodes nothing keeps an order but the chat's numbers.
        for (person, text) in [(&anna, "Hi"), (&boris, "Hello")] {
            person.says(&trip, text).await;
            for phone in &mut phones {
                assert_eq!(phone.next_message().await.text, text);
            }
            let told = next(&*django, &channel).await;
            assert_eq!(told["type"], "chat.message", "{form:?}");
            assert_eq!(told["data"]["text"], text, "{form:?}");
            assert!(told["seq"].is_u64() && told.get("client_id").is_none());
        }

        // What Django asks for is stored once, although both nodes hear it, and more than once.
        let send = |text: &str, key: &str| {
            packed(
                &json!({"type": "chat.send", "chat_id": trip.id, "sender_id": anna.id, "text": text, "client_id": key}),
            )
        };
        for message in [
            send("From Django", "k-1"),
            send("From Django", "k-1"),
            send("The end", "k-2"),
        ] {
            django.group_send("tertulia", message).await.expect("sent");
        }
        let texts = ["From Django", "The end"];
        for phone in &mut phones {
            for text in texts {
                assert_eq!(phone.next_message().await.text, text, "{form:?}");
            }
        }
        // One may have been stored by one node, the other by the other: each tells its own.
        let mut told = Vec::new();
        for _ in texts {
            told.push(next(&*django, &channel).await["data"]["text"].clone());
        }
        told.sort_by_key(Value::to_string);
        assert_eq!(told, texts, "{form:?}");
        assert_eq!(anna.page(&trip, "").await["count"], 4);

        // What it passes on is heard as it is, whatever came before it.
        for wrong in [json!({"type": "chat.event"}), json!({"type": 3}), json!({})] {
            django
                .group_send("tertulia", packed(&wrong))
                .await
                .expect("sent");
        }
        let banner = json!({"type": "banner", "chat": null, "list": [1, {"deep": "Привет"}]});
        let pass = json!({"type": "chat.event", "chat_id": trip.id, "event": banner});
        django
            .group_send("tertulia", packed(&pass))
            .await
            .expect("sent");
        for phone in &mut phones {
            let heard = phone.hears("banner").await;
            assert_eq!(heard, banner, "{form:?}");
        }
    }
}

#[tokio::test]
async fn while_redis_is_away_chats_go_on_and_the_state_says_so() {
    let Some(mut redis) = TestRedis::start() else {
        return;
    };
    let here = Server::start_with(on(&redis, Form::PubSub, "asgi")).await;
    let there = here.beside_with(|_| {}).await;
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let boris = boris.at(there.address());
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut phones = [anna.joins(&trip).await, boris.joins(&trip).await];
    let state = async |status: u16, layer: &str| {
        let server = &here;
        until("the state of the layer", || async move {
            let reply = server.get("/readyz").await;
            (reply.status == status && reply.json()["checks"]["layer"] == layer).then_some(())
        })
        .await;
    };
    state(200, "ok").await;
    redis.dies();
    state(503, "away").await;
    for number in 0..20 {
        anna.says(&trip, &format!("{number}")).await;
    }
    for phone in &mut phones {
        for number in 0..20 {
            assert_eq!(phone.next_message().await.text, format!("{number}"));
        }
    }
    redis.starts();
    state(200, "ok").await;
    boris.says(&trip, "Back").await;
    for phone in &mut phones {
        assert_eq!(phone.next_message().await.text, "Back");
    }
}

#[tokio::test]
async fn a_node_with_other_uploads_than_its_neighbours_is_refused() {
    let Some(redis) = TestRedis::find() else {
        return;
    };
    let change = on(&redis, Form::PubSub, "uploads");
    let here = Server::start_with(&change).await;
    let start = async |uploads: std::path::PathBuf, events: &str| {
        let mut settings = here.settings().clone();
        settings.storage.uploads_dir = uploads;
        settings.layer.layer_events = vec![events.to_owned()];
        let parts = Parts {
            shares_data_dir: true,
            ..Parts::default()
        };
        match Service::start_with(settings, parts).await {
            Ok(service) => {
                service.stop().await;
                String::new()
            }
            Err(error) => error.to_string(),
        }
    };
    let elsewhere = tempfile::tempdir().expect("a directory");
    let refused = start(elsewhere.path().to_owned(), "message").await;
    assert!(refused.starts_with("TERTULIA_UPLOADS_DIR: "), "{refused}");
    // What the refusal says is what helps.
    let mark = std::fs::read_to_string(here.uploads().join("deployment-mark")).expect("the mark");
    assert!(refused.contains(&mark), "{refused}");
    std::fs::write(
        elsewhere.path().join("deployment-mark"),
        format!("{mark}\n"),
    )
    .expect("written");
    assert_eq!(start(elsewhere.path().to_owned(), "message").await, "");
    assert_eq!(start(here.uploads(), "message").await, "");
    let refused = start(here.uploads(), "chatter").await;
    assert!(
        refused.starts_with("TERTULIA_LAYER_EVENTS: \"chatter\""),
        "{refused}"
    );
}
