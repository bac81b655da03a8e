//! One chat, every dialect that can show it: whoever says something, and wherever, all others hear it in their own
//! shape, with one id and in one order.

use serde_json::{Value, json};

use crate::support::{Caller, Chat, Heard, Person, Phone, Server, person::PASSWORD};

/// Somebody's way to the chat.
enum Way {
    Chat(Phone),
    Chats(Phone),
    Room(Phone),
    Lobby(Phone),
    /// By this method.
    Rpc(Caller, &'static str),
    Support(Phone),
    /// Answers this customer.
    SupportOf(Phone, i64),
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
    sender: Option<String>,
    id: Option<i64>,
}

impl Shown {
    fn of(text: &Value, sender: &Value, id: &Value) -> Self {
        Self {
            text: text.as_str().expect("a text").to_owned(),
            sender: sender.as_str().map(str::to_owned),
            id: id.as_i64(),
        }
    }
}

async fn next_of(phone: &mut Phone, kind: &str) -> Value {
    loop {
        match phone.next().await {
            Heard::Frame(frame) if frame["type"] == kind => return frame,
            Heard::Frame(frame) => assert_eq!(frame["error"], Value::Null, "{frame}"),
            Heard::Closed(close) => panic!("{}: {close:?}", phone.name),
        }
    }
}

/// The answer to a request in the support dialect; what was pushed before it is passed over.
async fn asks(phone: &mut Phone, method: &str, params: Value) -> Value {
    let request = json!({"method": method, "params": params, "id": method});
    phone.sends(request).await;
    loop {
        let frame = phone.next_frame().await;
        if frame["id"] == method {
            assert_eq!(frame["error"], Value::Null, "{frame}");
            return frame["result"].clone();
        }
    }
}

async fn support(server: &Server, person: &Person) -> Phone {
    let handshake = server.handshake("/ws/support/");
    let mut phone = handshake.open().await.expect("a socket");
    let body = json!({"user_name": person.name, "password": PASSWORD});
    let token = person.post("/v1/auth/", body).await.expect(200);
    asks(
        &mut phone,
        "message.auth",
        json!([token["result"]["token"]]),
    )
    .await;
    phone
}

impl Speaker {
    async fn says(&mut self, chat: &Chat, text: &str) {
        let name = &self.person.name;
        match &mut self.way {
            Way::Chat(phone) => phone.says(text).await,
            Way::Chats(phone) => {
                let frame = json!({"type": "message", "chat_id": chat.id, "text": text});
                phone.sends(frame).await;
            }
            Way::Room(phone) => phone.sends(json!({"message": text})).await,
            Way::Lobby(phone) => {
                let frame = json!({
                    "type": "message", "username": name, "room": "general", "message": text,
                });
                phone.sends(frame).await;
            }
            Way::Rpc(caller, method) => {
                let fields = json!({"chat_id": chat.id, "content": text, "content_type": "text"});
                caller.gets(method, fields).await;
            }
            Way::Support(phone) => drop(asks(phone, "message.send", json!([text])).await),
            Way::SupportOf(phone, customer) => {
                let params = json!([text, customer]);
                asks(phone, "message.operatorSend", params).await;
            }
            Way::Rest => drop(self.person.says(chat, text).await),
        }
    }

    /// Whether what it says itself is told as an answer, and perhaps beside it.
    fn is_answered(&self) -> bool {
        match self.way {
            Way::Rpc(..) | Way::Support(_) | Way::SupportOf(..) => true,
            Way::Chat(_) | Way::Chats(_) | Way::Room(_) | Way::Lobby(_) | Way::Rest => false,
        }
    }

    /// The next message that is heard, or over REST the newest.
    async fn hears(&mut self, chat: &Chat, text: &str) -> Shown {
        match &mut self.way {
            Way::Chat(phone) | Way::Chats(phone) => {
                let data = &next_of(phone, "message").await["data"];
                Shown::of(&data["text"], &data["sender"]["username"], &data["id"])
            }
            Way::Room(phone) => {
                let frame = next_of(phone, "chat_message").await;
                let sender = &frame["sender_username"];
                Shown::of(&frame["message"], sender, &frame["message_id"])
            }
            Way::Lobby(phone) => {
                let frame = next_of(phone, "message").await;
                Shown::of(&frame["message"], &frame["username"], &Value::Null)
            }
            Way::Rpc(caller, _) => loop {
                let message = caller.phone.next_frame().await["message"].clone();
                // What it said itself may come beside the answer.
                if message["content"] == text {
                    let sender = &message["from_name"];
                    return Shown::of(&message["content"], sender, &message["message_id"]);
                }
            },
            Way::Support(phone) | Way::SupportOf(phone, _) => {
                let message = phone.next_frame().await["result"]["message"].clone();
                let text = &message["message_text"];
                Shown::of(text, &Value::Null, &message["message_id"])
            }
            Way::Rest => {
                let page = self.person.page(chat, "?page_size=1").await;
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

/// Each says something in turn, and all the others hear it.
async fn everybody_hears_everybody<const N: usize>(chat: &Chat, people: [(Person, Way); N]) {
    let mut speakers = people.map(|(person, way)| Speaker { person, way });
    let mut last = 0;
    for who in 0..N {
        let name = speakers[who].person.name.clone();
        let text = format!("{who}: {name} speaks");
        speakers[who].says(chat, &text).await;
        // Sockets first: what they have heard is there to be read.
        let (rest, sockets): (Vec<_>, Vec<_>) = speakers
            .iter_mut()
            .enumerate()
            .filter(|(at, speaker)| *at != who || !speaker.is_answered())
            .partition(|(_, speaker)| matches!(speaker.way, Way::Rest));
        let mut ids = Vec::new();
        for (at, listener) in sockets.into_iter().chain(rest) {
            let shown = listener.hears(chat, &text).await;
            assert_eq!(shown.text, text, "as number {at} hears it");
            assert_eq!(shown.sender.unwrap_or_else(|| name.clone()), name, "{at}");
            ids.extend(shown.id);
        }
        assert!(ids.len() >= N - 2, "{ids:?}");
        ids.dedup();
        let [id] = ids[..] else {
            panic!("not the same in all: {ids:?}");
        };
        assert!(id > last, "{id} after {last}");
        last = id;
    }
}

async fn subscribed(server: &Server, person: &Person) -> Caller {
    let mut caller = Caller::is(server, person).await;
    caller.gets("subscribe", json!({})).await;
    caller
}

#[tokio::test]
async fn a_room_is_one_in_all_dialects() {
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
    let by_name = in_room.handshake_at("/ws/room/general/").open().await;
    let mut by_name = by_name.expect("a socket");
    by_name.hears_at_last("user_join").await;
    let lobby = in_lobby.handshake_at("/ws/lobby/").open().await;
    let mut lobby = lobby.expect("a socket");
    let join = json!({"type": "join", "username": "in_lobby", "room": "general"});
    lobby.sends(join).await;
    // Only when she is heard has she joined.
    by_name.hears_at_last("user_join").await;
    let rpc = subscribed(&server, &in_rpc).await;
    let people = [
        (in_chat, Way::Chat(chat)),
        (in_chats, Way::Chats(chats.expect("let in"))),
        (in_room, Way::Room(by_name)),
        (in_lobby, Way::Lobby(lobby)),
        (in_rpc, Way::Rpc(rpc, "sendGroupMessage")),
        (over_rest, Way::Rest),
    ];
    everybody_hears_everybody(&room, people).await;
}

#[tokio::test]
async fn a_support_chat_is_one_in_all_dialects() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let help = anna.creates(json!({"kind": "support"})).await;
    // It is open from now on.
    anna.says(&help, "help!").await;
    let [olga, oleg, ivan] = [
        server.operator("olga").await,
        server.operator("oleg").await,
        server.operator("ivan").await,
    ];
    let chats = ivan.handshake_at("/ws/chats/?support=1").enter().await;
    let people = [
        (anna.clone(), Way::Support(support(&server, &anna).await)),
        (
            olga.clone(),
            Way::SupportOf(support(&server, &olga).await, anna.id),
        ),
        (oleg.clone(), Way::Chat(oleg.joins(&help).await)),
        (ivan, Way::Chats(chats.expect("let in"))),
        (
            anna.clone(),
            Way::Rpc(subscribed(&server, &anna).await, "sendGroupMessage"),
        ),
        (anna, Way::Rest),
    ];
    everybody_hears_everybody(&help, people).await;
}

#[tokio::test]
async fn a_personal_chat_is_one_in_all_dialects_that_have_such() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let chat = anna.opens_personal_chat(&boris).await;
    let chats = boris.handshake_at("/ws/chats/").enter().await;
    let people = [
        (anna.clone(), Way::Chat(anna.joins(&chat).await)),
        (boris.clone(), Way::Chats(chats.expect("let in"))),
        (
            anna.clone(),
            Way::Rpc(subscribed(&server, &anna).await, "sendMessage"),
        ),
        (boris, Way::Rest),
    ];
    everybody_hears_everybody(&chat, people).await;
}
