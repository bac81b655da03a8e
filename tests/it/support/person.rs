//! Somebody with an account, and what they do: over REST, and by opening sockets.

use std::{fmt, net::SocketAddr};

use serde_json::{Value, json};

use super::{Close, Handshake, Phone, Reply, Request};

/// Everybody's password.
pub(crate) const PASSWORD: &str = "quiet harbour 1987";

/// A chat, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chat {
    pub(crate) id: i64,
}

impl fmt::Display for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// A message, as REST and the sockets show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: i64,
    pub(crate) seq: i64,
    pub(crate) text: String,
    pub(crate) shown: Value,
}

impl Message {
    #[track_caller]
    pub(crate) fn of(shown: &Value) -> Self {
        let number = |key: &str| match shown[key].as_i64() {
            Some(number) => number,
            None => panic!("a message without {key}: {shown}"),
        };
        let text = shown["text"].as_str().map(str::to_owned);
        Self {
            id: number("id"),
            seq: number("seq"),
            text: text.unwrap_or_else(|| panic!("a message without text: {shown}")),
            shown: shown.clone(),
        }
    }
}

/// Somebody who has signed in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) to: SocketAddr,
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Person {
    /// Makes an account and signs in.
    pub(crate) async fn registers(to: SocketAddr, name: &str) -> Self {
        let body = json!({
            "username": name,
            "password": PASSWORD,
            "first_name": name[..1].to_uppercase() + &name[1..],
            "last_name": "Story",
        });
        let user = Request::new("POST", "/api/users/")
            .json(&body)
            .send(to)
            .await
            .expect(201);
        let id = user["id"].as_i64().expect("an id");
        let nobody = String::new();
        let name = name.to_owned();
        let person = Self {
            to,
            id,
            name,
            access: nobody.clone(),
            refresh: nobody,
        };
        person.signs_in().await
    }

    /// Makes several accounts, in this order.
    pub(crate) async fn all_register<const N: usize>(
        to: SocketAddr,
        names: [&str; N],
    ) -> [Self; N] {
        let mut people = Vec::with_capacity(N);
        for name in names {
            people.push(Self::registers(to, name).await);
        }
        people.try_into().expect("as many people as names")
    }

    /// The same person with a session more.
    pub(crate) async fn signs_in(&self) -> Self {
        self.signs_in_with(PASSWORD).await
    }

    /// The same person with a session more, by another password.
    pub(crate) async fn signs_in_with(&self, password: &str) -> Self {
        let body = json!({"username": self.name, "password": password});
        let pair = self
            .anonymously("POST", "/api/token/")
            .json(&body)
            .send(self.to)
            .await;
        let pair = pair.expect(200);
        let token = |key: &str| pair[key].as_str().expect("a token").to_owned();
        Self {
            access: token("access"),
            refresh: token("refresh"),
            ..self.clone()
        }
    }

    /// The same person with another access token.
    pub(crate) fn with_token(&self, access: &str) -> Self {
        Self {
            access: access.to_owned(),
            ..self.clone()
        }
    }

    /// The same person, seen by another server.
    pub(crate) fn at(&self, to: SocketAddr) -> Self {
        Self { to, ..self.clone() }
    }

    /// Ends the session.
    pub(crate) async fn signs_out(&self) {
        let body = json!({"refresh": self.refresh});
        self.post("/api/token/blacklist/", body).await.expect(200);
    }

    // Requests of any kind.

    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        self.anonymously(method, target).bearer(&self.access)
    }

    fn anonymously(&self, method: &str, target: &str) -> Request {
        Request::new(method, target)
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.request("GET", target).send(self.to).await
    }

    pub(crate) async fn post(&self, target: &str, body: Value) -> Reply {
        self.request("POST", target).json(&body).send(self.to).await
    }

    pub(crate) async fn patch(&self, target: &str, body: Value) -> Reply {
        self.request("PATCH", target)
            .json(&body)
            .send(self.to)
            .await
    }

    pub(crate) async fn put(&self, target: &str) -> Reply {
        self.request("PUT", target).send(self.to).await
    }

    pub(crate) async fn delete(&self, target: &str) -> Reply {
        self.request("DELETE", target).send(self.to).await
    }

    // Chats.

    pub(crate) async fn creates_group<const N: usize>(
        &self,
        name: &str,
        others: [&Person; N],
    ) -> Chat {
        let members: Vec<i64> = others.iter().map(|person| person.id).collect();
        let body = json!({"kind": "group", "name": name, "members": members});
        self.creates(body).await
    }

    pub(crate) async fn opens_personal_chat(&self, with: &Person) -> Chat {
        self.creates(json!({"kind": "personal", "members": [with.id]}))
            .await
    }

    /// Makes a chat that isn't there yet.
    pub(crate) async fn creates(&self, chat: Value) -> Chat {
        let chat = self.post("/api/chats/", chat).await.expect(201);
        Chat {
            id: chat["id"].as_i64().expect("a chat's id"),
        }
    }

    pub(crate) async fn sees(&self, chat: &Chat) -> Value {
        self.get(&format!("/api/chats/{chat}/")).await.expect(200)
    }

    pub(crate) async fn renames(&self, chat: &Chat, name: &str) {
        self.patch(&format!("/api/chats/{chat}/"), json!({"name": name}))
            .await
            .expect(200);
    }

    pub(crate) async fn deletes_chat(&self, chat: &Chat) {
        self.delete(&format!("/api/chats/{chat}/"))
            .await
            .expect(204);
    }

    // Members.

    pub(crate) async fn tries_to_add(&self, chat: &Chat, person: &Person) -> Reply {
        let body = json!({"members": [person.id]});
        self.post(&format!("/api/chats/{chat}/members/"), body)
            .await
    }

    pub(crate) async fn adds(&self, chat: &Chat, person: &Person) {
        self.tries_to_add(chat, person).await.expect(201);
    }

    pub(crate) async fn tries_to_remove(&self, chat: &Chat, person: &Person) -> Reply {
        self.delete(&format!("/api/chats/{chat}/members/{}/", person.id))
            .await
    }

    pub(crate) async fn removes(&self, chat: &Chat, person: &Person) {
        self.tries_to_remove(chat, person).await.expect(204);
    }

    pub(crate) async fn leaves(&self, chat: &Chat) {
        self.tries_to_remove(chat, self).await.expect(204);
    }

    pub(crate) async fn tries_to_make(&self, chat: &Chat, person: &Person, role: &str) -> Reply {
        let target = format!("/api/chats/{chat}/members/{}/", person.id);
        self.patch(&target, json!({"role": role})).await
    }

    pub(crate) async fn makes(&self, chat: &Chat, person: &Person, role: &str) {
        self.tries_to_make(chat, person, role).await.expect(200);
    }

    pub(crate) async fn blocks(&self, person: &Person) {
        self.put(&format!("/api/users/{}/block/", person.id))
            .await
            .expect(204);
    }

    pub(crate) async fn unblocks(&self, person: &Person) {
        self.delete(&format!("/api/users/{}/block/", person.id))
            .await
            .expect(204);
    }

    // Messages, over REST.

    pub(crate) async fn tries_to_say(&self, chat: &Chat, message: Value) -> Reply {
        self.post(&format!("/api/chats/{chat}/messages/"), message)
            .await
    }

    pub(crate) async fn says(&self, chat: &Chat, text: &str) -> Message {
        Message::of(
            &self
                .tries_to_say(chat, json!({"text": text}))
                .await
                .expect(201),
        )
    }

    pub(crate) async fn tries_to_edit(&self, chat: &Chat, message: &Message, text: &str) -> Reply {
        let target = format!("/api/chats/{chat}/messages/{}/", message.id);
        self.patch(&target, json!({"text": text})).await
    }

    pub(crate) async fn edits(&self, chat: &Chat, message: &Message, text: &str) -> Message {
        Message::of(&self.tries_to_edit(chat, message, text).await.expect(200))
    }

    pub(crate) async fn tries_to_delete(&self, chat: &Chat, message: &Message) -> Reply {
        self.delete(&format!("/api/chats/{chat}/messages/{}/", message.id))
            .await
    }

    pub(crate) async fn deletes(&self, chat: &Chat, message: &Message) {
        self.tries_to_delete(chat, message).await.expect(204);
    }

    pub(crate) async fn reads(&self, chat: &Chat) -> Value {
        self.post(&format!("/api/chats/{chat}/read/"), json!({}))
            .await
            .expect(200)
    }

    /// A page of messages: `query` as in `?before=7`.
    pub(crate) async fn page(&self, chat: &Chat, query: &str) -> Value {
        self.get(&format!("/api/chats/{chat}/messages/{query}"))
            .await
            .expect(200)
    }

    /// The texts of the newest page, newest first.
    pub(crate) async fn reads_back(&self, chat: &Chat) -> Vec<String> {
        texts(&self.page(chat, "").await)
    }

    // Sockets.

    /// A handshake for a chat, signed in by the header.
    pub(crate) fn handshake(&self, chat: &Chat) -> Handshake {
        self.handshake_at(&format!("/ws/chat/{chat}/"))
    }

    /// A handshake for any path, signed in by the header.
    pub(crate) fn handshake_at(&self, target: &str) -> Handshake {
        Handshake::new(self.to, target).bearer(&self.access)
    }

    async fn enters(&self, handshake: Handshake) -> Result<Phone, Close> {
        let mut entered = handshake.enter().await;
        if let Ok(phone) = &mut entered {
            phone.name = self.name.clone();
        }
        entered
    }

    /// A phone in a chat.
    pub(crate) async fn joins(&self, chat: &Chat) -> Phone {
        match self.tries_to_join(chat).await {
            Ok(phone) => phone,
            Err(close) => panic!("{} was not let into chat {chat}: {close:?}", self.name),
        }
    }

    /// A phone in a chat, or how it was sent away.
    pub(crate) async fn tries_to_join(&self, chat: &Chat) -> Result<Phone, Close> {
        self.enters(self.handshake(chat)).await
    }

    /// A phone that hears all chats.
    pub(crate) async fn follows(&self) -> Phone {
        self.follows_at("/ws/chats/").await
    }

    /// The same with a query.
    pub(crate) async fn follows_at(&self, target: &str) -> Phone {
        match self.enters(self.handshake_at(target)).await {
            Ok(phone) => phone,
            Err(close) => panic!("{} was not let in at {target}: {close:?}", self.name),
        }
    }

    /// A phone that continues where another one stopped: what it hears first is what it missed.
    pub(crate) async fn joins_since(&self, chat: &Chat, seq: i64) -> Phone {
        let handshake = self.handshake_at(&format!("/ws/chat/{chat}/?since={seq}"));
        match self.enters(handshake).await {
            Ok(mut phone) => {
                phone.resumes_from(seq);
                phone
            }
            Err(close) => panic!("{} can't resume chat {chat}: {close:?}", self.name),
        }
    }
}

/// The texts of a page's results, as they come.
pub(crate) fn texts(page: &Value) -> Vec<String> {
    let results = page["results"].as_array().expect("results");
    results
        .iter()
        .map(|message| Message::of(message).text)
        .collect()
}
