//! One room, every dialect: whoever says something, and wherever, all others hear it in their own shape, in one order.

use serde_json::{Value, json};

use crate::support::{Caller, Chat, Heard, Person, Phone, Server};

/// Somebody's way to the room.
enum Way {
    Chat(Phone),
    Chats(Phone),
    Room(Phone),
    Lobby(Phone),
    Rpc(Caller),
    Rest,
}

struct Speaker {
    person: Person,
    way: Way,
}

/// A message as a dialect shows it: what it has no key for is none.
#[derive(Debug)]
struct Shown {
    text: String,
    sender: Value,
    id: Option<i64>,
}

impl Shown {
    fn of(text: &Value, sender: &Value, id: &Value) -> Self {
        Self {
            text: text.as_str().expect("a text").to_owned(),
            sender: sender.clone(),
            id: id.as_i64(),
        }
    }
}

async fn next_message(phone: &mut Phone, kind: &str) -> Value {
    loop {
        match phone.next().await {
            Heard::Frame(frame) if frame["type"] == kind => return frame,
            Heard::Frame(frame) => assert_eq!(frame["error"], Value::Null, "{frame}"),
            Heard::Closed(close) => panic!("{}: {close:?}", phone.name),
        }
    }
}

impl Speaker {
    async fn says(&mut self, room: &Chat, text: &str) {
        let name = &self.person.name;
        match &mut self.way {
            Way::Chat(phone) => phone.says(text).await,
            Way::Chats(phone) => {
                let frame = json!({"type": "message", "chat_id": room.id, "text": text});
                phone.sends(frame).await;
            }
            Way::Room(phone) => phone.sends(json!({"message": text})).await,
            Way::Lobby(phone) => {
                let frame = json!({
                    "type": "message", "username": name, "room": "general", "message": text,
                });
                phone.sends(frame).await;
            }
            Way::Rpc(caller) => {
                let fields = json!({"chat_id": room.id, "content": text, "content_type": "text"});
                caller.gets("sendGroupMessage", fields).await;
            }
            Way::Rest => drop(self.person.says(room, text).await),
        }
    }

    /// The next message that is heard, or over REST the newest.
    async fn hears(&mut self, room: &Chat) -> Shown {
        match &mut self.way {
            Way::Chat(phone) | Way::Chats(phone) => {
                let data = &next_message(phone, "message").await["data"];
                Shown::of(&data["text"], &data["sender"]["username"], &data["id"])
            }
            Way::Room(phone) => {
                let frame = next_message(phone, "chat_message").await;
                Shown::of(
                    &frame["message"],
                    &frame["sender_username"],
                    &frame["message_id"],
                )
            }
            Way::Lobby(phone) => {
                let frame = next_message(phone, "message").await;
                Shown::of(&frame["message"], &frame["username"], &Value::Null)
            }
            Way::Rpc(caller) => {
                // Its own come as answers, and beside them at whatever time.
                let message = loop {
                    let frame = caller.phone.next_frame().await;
                    let message = frame["message"].clone();
                    if frame["mode"] == "newMessage" && message["from_name"] != *self.person.name {
                        break message;
                    }
                };
                Shown::of(
                    &message["content"],
                    &message["from_name"],
                    &message["message_id"],
                )
            }
            Way::Rest => {
                let page = self.person.page(room, "?page_size=1").await;
                let newest = &page["results"][0];
                Shown::of(
                    &newest["text"],
                    &newest["sender"]["username"],
                    &newest["id"],
                )
            }
        }
    }
}

#[tokio::test]
async fn what_is_said_in_any_dialect_is_heard_in_all_of_them() {
    let server = Server::start().await;
    let people = server
        .users([
            "in_chat",
            "in_chats",
            "in_room",
            "in_lobby",
            "in_rpc",
            "over_rest",
        ])
        .await;
    let members: Vec<i64> = people.iter().map(|person| person.id).collect();
    let new = json!({"kind": "room", "name": "general", "members": members[1..]});
    let room = people[0].creates(new).await;
    let [in_chat, in_chats, in_room, in_lobby, in_rpc, over_rest] = people;

    let chat = in_chat.joins(&room).await;
    let chats = in_chats.handshake_at("/ws/chats/").enter().await;
    let mut by_name = in_room
        .handshake_at("/ws/room/general/")
        .open()
        .await
        .expect("a socket");
    by_name.hears_at_last("user_join").await;
    let lobby = in_lobby.handshake_at("/ws/lobby/").open().await;
    let mut lobby = lobby.expect("a socket");
    let join = json!({"type": "join", "username": "in_lobby", "room": "general"});
    lobby.sends(join).await;
    // Only when she is heard has she joined.
    by_name.hears_at_last("user_join").await;
    let mut rpc = Caller::is(&server, &in_rpc).await;
    rpc.gets("subscribe", json!({})).await;
    let mut speakers = [
        (in_chat, Way::Chat(chat)),
        (in_chats, Way::Chats(chats.expect("let in"))),
        (in_room, Way::Room(by_name)),
        (in_lobby, Way::Lobby(lobby)),
        (in_rpc, Way::Rpc(rpc)),
        (over_rest, Way::Rest),
    ]
    .map(|(person, way)| Speaker { person, way });

    let mut last = 0;
    for who in 0..speakers.len() {
        let name = speakers[who].person.name.clone();
        let text = format!("{name} speaks");
        speakers[who].says(&room, &text).await;
        let mut ids = Vec::new();
        for (at, listener) in speakers.iter_mut().enumerate() {
            if at == who && matches!(listener.way, Way::Rpc(_)) {
                continue;
            }
            if matches!(listener.way, Way::Rest) {
                continue;
            }
            let shown = listener.hears(&room).await;
            let listens = &listener.person.name;
            assert_eq!(
                (&*shown.text, &shown.sender),
                (&*text, &json!(name)),
                "{listens}"
            );
            ids.extend(shown.id);
        }
        let rest = speakers.last_mut().expect("who reads over REST");
        let shown = rest.hears(&room).await;
        assert_eq!((&*shown.text, &shown.sender), (&*text, &json!(name)));
        ids.extend(shown.id);
        assert!(ids.len() >= 4, "{ids:?}");
        ids.dedup();
        let [id] = ids[..] else {
            panic!("not the same in all: {ids:?}");
        };
        assert!(id > last, "{id} after {last}");
        last = id;
    }
}
