//! A client of the rpc dialect: asks, and hears the answer.

use serde_json::{Value, json};

use super::{Close, Handshake, Person, Phone, Server, person::PASSWORD};

/// One connection of somebody who has a token, or not yet.
pub(crate) struct Caller {
    pub(crate) phone: Phone,
    pub(crate) token: String,
}

impl Caller {
    /// Nobody yet.
    pub(crate) async fn connects(server: &Server) -> Self {
        let handshake = Handshake::new(server.address(), "/ws/rpc/");
        let phone = handshake.open().await.expect("a socket");
        Self {
            phone,
            token: String::new(),
        }
    }

    /// Somebody with an account, signed in.
    pub(crate) async fn is(server: &Server, person: &Person) -> Self {
        let mut caller = Self::connects(server).await;
        caller.signs_in(&person.name, PASSWORD).await;
        caller
    }

    pub(crate) async fn signs_in(&mut self, name: &str, password: &str) {
        let fields = json!({"username": name, "password": password});
        let answer = self.asks_anonymously("auth", fields).await;
        assert_eq!(answer["status"], "200", "{answer}");
        self.token = answer["token"].as_str().expect("a token").to_owned();
    }

    /// The answer to a request with the caller's token.
    pub(crate) async fn asks(&mut self, mode: &str, mut fields: Value) -> Value {
        if fields.get("token").is_none() {
            fields["token"] = json!(self.token);
        }
        self.asks_anonymously(mode, fields).await
    }

    /// The answer to a request as it is; it names its mode, and pushes are passed over.
    pub(crate) async fn asks_anonymously(&mut self, mode: &str, mut fields: Value) -> Value {
        fields["mode"] = json!(mode);
        fields["timestamp"] = json!("2026-11-21 10:00:00");
        self.phone.sends(fields).await;
        loop {
            let answer = self.phone.next_frame().await;
            if answer["mode"] != "newMessage" {
                assert_eq!(answer["mode"], mode, "{answer}");
                return answer;
            }
        }
    }

    /// The answer, which must be good.
    #[track_caller]
    pub(crate) fn gets(&mut self, mode: &str, fields: Value) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let answer = self.asks(mode, fields).await;
            assert_eq!(answer["status"], "200", "asked at {at}: {answer}");
            answer
        }
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub(crate) fn is_refused(
        &mut self,
        mode: &str,
        fields: Value,
        status: &str,
    ) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let answer = self.asks(mode, fields).await;
            assert_eq!(answer["status"], status, "asked at {at}: {answer}");
            answer
        }
    }

    pub(crate) async fn says(&mut self, chat: i64, text: &str) -> i64 {
        let fields = json!({"chat_id": chat, "content": text, "content_type": "text"});
        let answer = self.gets("sendMessage", fields).await;
        answer["message_id"].as_i64().expect("a message's id")
    }

    /// The next frame, which must be the push of a new message.
    #[track_caller]
    pub(crate) fn hears(&mut self, chat: i64, text: &str) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let push = self.phone.next_frame().await;
            let told = (&push["mode"], &push["chat_id"], &push["message"]["content"]);
            let wanted = (&json!("newMessage"), &json!(chat), &json!(text));
            assert_eq!(told, wanted, "asked at {at}: {push}");
            push
        }
    }

    pub(crate) async fn still_works(&mut self) {
        let answer = self.asks_anonymously("checkConnection", json!({})).await;
        assert_eq!(answer["status"], "200", "{answer}");
    }

    pub(crate) async fn is_closed(&mut self) -> Close {
        self.phone.is_closed().await
    }
}
