//! Customers and operators who speak the support dialect.

use entity::{UserId, user};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use serde_json::{Value, json};

use crate::support::{Handshake, Person, Phone, Request, Server, look_around, person::PASSWORD};

/// A customer's or an operator's connection.
struct Desk {
    phone: Phone,
    next_id: i64,
}

impl Desk {
    async fn opens(server: &Server) -> Phone {
        let handshake = Handshake::new(server.address(), "/ws/support/");
        handshake.open().await.expect("a socket")
    }

    /// Signed in; what `message.auth` was answered.
    async fn of(server: &Server, person: &Person) -> (Desk, Value) {
        let phone = Self::opens(server).await;
        let mut desk = Desk { phone, next_id: 1 };
        let token = token(server, person).await;
        let messages = desk.gets("message.auth", json!([token])).await["messages"].clone();
        (desk, messages)
    }

    async fn asks(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"method": method, "params": params, "id": id});
        self.phone.sends(request).await;
        loop {
            let frame = self.phone.next_frame().await;
            if !frame["id"].is_null() {
                assert_eq!(frame["id"], id, "{frame}");
                return frame;
            }
        }
    }

    #[track_caller]
    fn gets(&mut self, method: &str, params: Value) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let answer = self.asks(method, params).await;
            assert!(answer["error"].is_null(), "asked at {at}: {answer}");
            answer["result"].clone()
        }
    }

    #[track_caller]
    fn fails(&mut self, method: &str, params: Value, code: i64) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let answer = self.asks(method, params).await;
            let message = match code {
                1 => "Incorrect argument.",
                2 => "Not allowed.",
                3 => "No recipient.",
                4 => "Unknown method.",
                6 => "Too many messages.",
                7 => "Message too long.",
                _ => panic!("no error {code}"),
            };
            let error = json!({"code": code, "message": message});
            assert_eq!(answer["error"], error, "asked at {at}: {answer}");
            assert!(answer["result"].is_null(), "{answer}");
        }
    }

    async fn says(&mut self, text: &str) -> Value {
        self.gets("message.send", json!([text])).await["message"].clone()
    }

    /// The next frame, which must be the push of a message.
    async fn hears(&mut self, text: &str) -> Value {
        let push = self.phone.next_frame().await;
        assert!(push["id"].is_null() && push["error"].is_null(), "{push}");
        let message = push["result"]["message"].clone();
        assert_eq!(message["message_text"], text, "{push}");
        message
    }
}

async fn token(server: &Server, person: &Person) -> String {
    let body = json!({"user_name": person.name, "password": PASSWORD});
    let reply = Request::new("POST", "/v1/auth/").json(&body);
    let answer = reply.send(server.address()).await.expect(200);
    assert_eq!(
        (&answer["error"], &answer["id"]),
        (&Value::Null, &json!(person.id))
    );
    answer["result"]["token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

#[tokio::test]
async fn a_customer_and_two_operators_talk() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let [olga, oleg] = [server.operator("olga").await, server.operator("oleg").await];
    let (mut customer, messages) = Desk::of(&server, &anna).await;
    assert_eq!(messages, Value::Null);
    let (mut first, messages) = Desk::of(&server, &olga).await;
    assert_eq!(messages, Value::Null);
    let (mut second, _) = Desk::of(&server, &oleg).await;
    let (mut phone, _) = Desk::of(&server, &anna).await;

    let said = customer.says("  help!  ").await;
    let wanted = json!({
        "message_id": said["message_id"], "message_text": "help!", "invader_name": "",
        "is_from_support": false, "created": said["created"], "user_id": anna.id, "user_name": "anna",
    });
    assert_eq!(said, wanted);
    assert!(
        said["created"]
            .as_i64()
            .is_some_and(|at| at > 1_600_000_000)
    );
    for desk in [&mut first, &mut second, &mut phone] {
        assert_eq!(desk.hears("help!").await, wanted);
    }
    let answer = first.gets("message.operatorSend", json!(["how?"])).await;
    let answer = answer["message"].clone();
    assert_eq!(
        (
            &answer["invader_name"],
            &answer["is_from_support"],
            &answer["user_name"]
        ),
        (&json!("Olga Story"), &json!(true), &json!("anna"))
    );
    for desk in [&mut customer, &mut second, &mut phone] {
        assert_eq!(desk.hears("how?").await, answer);
    }
    // The answer came in place of a push: next comes what is said next.
    customer.says("like this").await;
    first.hears("like this").await;
    let (_, messages) = Desk::of(&server, &anna).await;
    assert_eq!(
        messages,
        json!([said, answer, {
            "message_id": messages[2]["message_id"], "message_text": "like this", "invader_name": "",
            "is_from_support": false, "created": messages[2]["created"], "user_id": anna.id, "user_name": "anna",
        }])
    );
    let (_, all) = Desk::of(&server, &oleg).await;
    assert_eq!(all, messages);
}

#[tokio::test]
async fn an_answer_without_an_addressee_never_reaches_the_wrong_person() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let [olga, oleg] = [server.operator("olga").await, server.operator("oleg").await];
    let (mut a, _) = Desk::of(&server, &anna).await;
    let (mut b, _) = Desk::of(&server, &boris).await;
    let (mut desk, _) = Desk::of(&server, &olga).await;
    let (mut other, _) = Desk::of(&server, &oleg).await;

    // Nobody has spoken, nobody was answered.
    desk.fails("message.operatorSend", json!(["hello?"]), 3)
        .await;
    a.says("anna's question").await;
    desk.hears("anna's question").await;
    // Boris writes while it is typed.
    b.says("boris' question").await;
    desk.hears("boris' question").await;
    desk.fails("message.operatorSend", json!(["for anna"]), 3)
        .await;
    desk.gets("message.operatorSend", json!(["for anna", anna.id]))
        .await;
    a.hears("for anna").await;
    // One is left.
    desk.gets("message.operatorSend", json!(["for boris"]))
        .await;
    b.hears("for boris").await;
    // None is: to whom this connection answered last.
    desk.gets("message.operatorSend", json!(["boris again"]))
        .await;
    b.hears("boris again").await;
    // Who has answered nobody has nobody, though all are answered.
    let (mut late, _) = Desk::of(&server, &oleg).await;
    late.fails("message.operatorSend", json!(["whom?"]), 3)
        .await;
    // Answered by another: not waiting any more.
    a.says("more from anna").await;
    for desk in [&mut desk, &mut late] {
        desk.hears_at_last("more from anna").await;
    }
    other
        .gets("message.operatorSend", json!(["I have it", anna.id]))
        .await;
    desk.hears("I have it").await;
    b.says("more from boris").await;
    desk.hears("more from boris").await;
    desk.gets("message.operatorSend", json!(["boris once more"]))
        .await;
    b.hears("boris once more").await;
    assert_eq!(a.hears("I have it").await["invader_name"], "Oleg Story");
    // What was unanswered before they came counts where it was shown to them.
    a.says("anna waits").await;
    let (mut fresh, _) = Desk::of(&server, &olga).await;
    fresh
        .gets("message.operatorSend", json!(["anna is served"]))
        .await;
    a.hears("anna is served").await;
    b.phone
        .sends(json!({"method": "message.chats", "id": 9}))
        .await;
    let next = b.phone.next_frame().await;
    assert_eq!(next["id"], 9, "boris heard nothing of it: {next}");
}

impl Desk {
    /// The push of this message; others are passed over.
    async fn hears_at_last(&mut self, text: &str) {
        loop {
            let push = self.phone.next_frame().await;
            if push["result"]["message"]["message_text"] == text {
                return;
            }
        }
    }
}

#[tokio::test]
async fn operators_list_read_and_type() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let olga = server.operator("olga").await;
    let (mut a, _) = Desk::of(&server, &anna).await;
    let (mut b, _) = Desk::of(&server, &boris).await;
    b.says("first").await;
    let one = a.says("second").await;
    a.says("third").await;
    let (mut desk, all) = Desk::of(&server, &olga).await;
    let texts: Vec<_> = all
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| &message["message_text"])
        .collect();
    assert_eq!(texts, ["first", "second", "third"]);
    let chats = desk.gets("message.chats", json!([])).await["chats"].clone();
    let listed: Vec<_> = chats
        .as_array()
        .expect("chats")
        .iter()
        .map(|chat| (&chat["user_name"], &chat["unread"]))
        .collect();
    assert_eq!(
        listed,
        [(&json!("boris"), &json!(1)), (&json!("anna"), &json!(2))]
    );
    assert_eq!(chats[1]["last_message"]["message_text"], "third");
    assert!(chats[0]["waiting_since"].is_i64(), "{chats}");
    let over_rest = olga
        .get("/api/support/chats/?page_size=1")
        .await
        .expect(200);
    assert_eq!(
        (
            &over_rest["count"],
            &over_rest["results"][0]["customer"]["username"]
        ),
        (&json!(2), &json!("boris"))
    );
    assert!(
        over_rest["results"][0]["waiting_since"].is_string(),
        "{over_rest}"
    );
    anna.get("/api/support/chats/").await.expect(403);

    // Anna's client knows marks and typing once it has used one.
    let typing = a.gets("message.typing", json!([true])).await;
    assert_eq!(typing, json!({"typing": true, "user_id": anna.id}));
    let read = desk.gets("message.read", json!([anna.id])).await;
    let third = chats[1]["last_message"]["message_id"].clone();
    assert_eq!(read, json!({"read": third, "user_id": anna.id}));
    let push = a.phone.next_frame().await;
    assert_eq!(
        push,
        json!({"error": null, "result": {"read": third, "user_id": anna.id}, "id": null})
    );
    desk.gets("message.typing", json!([true, anna.id])).await;
    let push = a.phone.next_frame().await;
    assert_eq!(
        push,
        json!({"error": null, "result": {"typing": true, "user_id": anna.id}, "id": null})
    );
    let chats = desk.gets("message.chats", json!([])).await["chats"].clone();
    assert_eq!(chats[1]["unread"], 0);
    // Boris' client doesn't: it hears the next message.
    desk.gets("message.typing", json!([true, boris.id])).await;
    desk.gets("message.operatorSend", json!(["hello", boris.id]))
        .await;
    b.hears("hello").await;

    let earlier = a.gets("message.history", json!([null, third])).await;
    assert_eq!(earlier["messages"], json!([one]));
    let of_anna = desk.gets("message.history", json!([anna.id, third])).await;
    assert_eq!(of_anna["messages"], json!([one]));
    let nothing = a
        .gets("message.history", json!([anna.id, one["message_id"]]))
        .await;
    assert_eq!(nothing["messages"], Value::Null);
    desk.fails("message.history", json!([999]), 3).await;
    desk.fails("message.read", json!([]), 3).await;
}

#[tokio::test]
async fn nothing_wrong_ends_the_connection_and_nobody_is_somebody_else() {
    let server = Server::start_with(|settings| settings.limits.frames_per_second = 0).await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (mut b, _) = Desk::of(&server, &boris).await;
    b.says("boris' secret").await;
    let (mut desk, _) = Desk::of(&server, &anna).await;
    for frame in ["", "x", "null", "[]", "7", "{"] {
        desk.phone.sends_text(frame).await;
        let wanted =
            json!({"error": {"code": 5, "message": "Invalid JSON."}, "result": null, "id": null});
        assert_eq!(desk.phone.next_frame().await, wanted, "{frame}");
    }
    for id in [
        json!("a"),
        json!(1.5),
        json!([1]),
        json!({"a": null}),
        json!(false),
    ] {
        desk.phone
            .sends(json!({"method": "message.shout", "params": [], "id": id}))
            .await;
        let wanted =
            json!({"error": {"code": 4, "message": "Unknown method."}, "result": null, "id": id});
        assert_eq!(desk.phone.next_frame().await, wanted);
    }
    let (mut desk, _) = Desk::of(&server, &anna).await;
    for params in [
        json!([]),
        json!(null),
        json!("x"),
        json!({"text": "x"}),
        json!([1]),
        json!([["x"]]),
        json!([""]),
        json!(["  "]),
        json!(["\u{0}"]),
        json!(["x", "y"]),
    ] {
        desk.fails("message.send", params, 1).await;
    }
    desk.fails("message.send", json!(["x".repeat(1001)]), 7)
        .await;
    desk.gets("message.send", json!(["x".repeat(1000)])).await;
    desk.fails("message.shout", json!([]), 4).await;
    let (mut desk, _) = Desk::of(&server, &anna).await;
    desk.fails("message.operatorSend", json!(["x"]), 2).await;
    desk.fails("message.operatorSend", json!(["x", boris.id]), 2)
        .await;
    desk.fails("message.chats", json!([]), 2).await;
    desk.fails("message.history", json!([boris.id]), 2).await;
    desk.fails("message.read", json!([boris.id]), 2).await;
    desk.fails("message.typing", json!([true, boris.id]), 2)
        .await;
    desk.fails("message.typing", json!(["true"]), 1).await;
    let others = token(&server, &boris).await;
    desk.fails("message.auth", json!([others]), 2).await;
    let again = token(&server, &anna).await;
    let history = desk.gets("message.auth", json!([again])).await;
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(1));
    for _ in 0..9 {
        desk.says("one of ten a minute").await;
    }
    desk.fails("message.send", json!(["too much"]), 6).await;
    let (_, history) = Desk::of(&server, &boris).await;
    assert_eq!(history.as_array().map(Vec::len), Some(1), "{history}");
}

#[tokio::test]
async fn the_first_frame_signs_in_or_nothing_does() {
    let server = Server::start_with(|settings| {
        settings.connections.signin_deadline = std::time::Duration::from_secs(1);
    })
    .await;
    let anna = server.user("anna").await;
    let good = token(&server, &anna).await;
    for frame in [
        "x".to_owned(),
        "null".to_owned(),
        json!({"method": "message.send", "params": ["x"], "id": 1}).to_string(),
        json!({"method": "message.auth", "params": [], "id": 1}).to_string(),
        json!({"method": "message.auth", "id": 1}).to_string(),
        json!({"method": "message.auth", "params": ["QWERTYUIOP"], "id": 1}).to_string(),
        json!({"method": "message.auth", "params": [format!("{good}x")], "id": 1}).to_string(),
        json!({"method": "message.auth", "params": [anna.refresh], "id": 1}).to_string(),
    ] {
        let mut phone = Desk::opens(&server).await;
        phone.sends_text(&frame).await;
        assert_eq!(phone.is_closed().await.code, 4001, "{frame}");
    }
    // Whoever says nothing is not waited for.
    let mut silent = Desk::opens(&server).await;
    assert_eq!(silent.is_closed().await.code, 4001);

    // An access token is as good; and one in the handshake needs no other.
    let mut phone = Desk::opens(&server).await;
    phone
        .sends(json!({"method": "message.auth", "params": [anna.access], "id": 1}))
        .await;
    assert_eq!(
        phone.next_frame().await["result"],
        json!({"messages": null})
    );
    let mut phone = anna
        .handshake_at("/ws/support")
        .open()
        .await
        .expect("a socket");
    phone
        .sends(json!({"method": "message.auth", "params": [], "id": "x"}))
        .await;
    assert_eq!(
        phone.next_frame().await,
        json!({"error": null, "result": {"messages": null}, "id": "x"})
    );
    anna.signs_out().await;
    assert_eq!(phone.is_closed().await.code, 4001);
}

#[tokio::test]
async fn the_door_has_its_own_statuses_and_the_token_stays_the_same() {
    let server = Server::start_with(|settings| settings.limits.signin_failures = 3).await;
    let anna = server.user("anna").await;
    let first = token(&server, &anna).await;
    assert_eq!(token(&server, &anna).await, first);
    assert!(first.len() <= 255);
    let asks = async |method: &str, body: &str| {
        let request = Request::new(method, "/v1/auth");
        let request = match body {
            "" => request,
            body => request.body("application/json", body),
        };
        let reply = request.send(server.address()).await;
        (reply.status, reply.text())
    };
    let nothing = String::new();
    for (method, body) in [
        ("POST", ""),
        ("POST", "x"),
        ("POST", "null"),
        ("POST", "[]"),
        ("POST", r#"{"user_name": "anna"}"#),
        ("POST", r#"{"user_name": "anna", "password": 1}"#),
        ("POST", &json!(["anna", PASSWORD]).to_string()),
        ("POST", r#"{"username": "anna", "password": "x"}"#),
        ("GET", ""),
        ("PUT", r#"{"user_name": "anna", "password": "x"}"#),
        ("DELETE", ""),
        ("OPTIONS", ""),
    ] {
        assert_eq!(
            asks(method, body).await,
            (404, nothing.clone()),
            "{method} {body}"
        );
    }
    // A name that nobody can have is nobody's.
    for name in ["anna", "anna\u{0}", "anna"] {
        let body = json!({"user_name": name, "password": "wrong"}).to_string();
        assert_eq!(asks("POST", &body).await, (403, nothing.clone()));
    }
    let body = json!({"user_name": "anna", "password": PASSWORD}).to_string();
    assert_eq!(asks("POST", &body).await, (429, nothing));
}

#[tokio::test]
async fn what_is_said_elsewhere_is_heard_here_and_what_has_no_frame_is_not() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let olga = server.operator("olga").await;
    let (mut desk, _) = Desk::of(&server, &olga).await;
    let (mut customer, _) = Desk::of(&server, &anna).await;
    let chat = anna.creates(json!({"kind": "support"})).await;
    let wrong = anna.says(&chat, "over REST").await;
    desk.hears("over REST").await;
    customer.hears("over REST").await;
    anna.edits(&chat, &wrong, "edited").await;
    anna.deletes(&chat, &wrong).await;
    let mut socket = olga.joins(&chat).await;
    socket.says("by the chat dialect").await;
    let heard = customer.hears("by the chat dialect").await;
    assert_eq!(heard["invader_name"], "Olga Story");
    desk.hears("by the chat dialect").await;
    customer.says("by this one").await;
    let shown = socket.hears_at_last("message").await;
    assert_eq!(shown["data"]["text"], "by the chat dialect");
    assert_eq!(socket.next_message().await.text, "by this one");
    let (_, history) = Desk::of(&server, &anna).await;
    let texts: Vec<_> = history
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| &message["message_text"])
        .collect();
    assert_eq!(texts, ["by the chat dialect", "by this one"]);

    // Who is no operator any more hears and does no more than anybody.
    let boss = server.operator("boss").await;
    boss.patch(
        &format!("/api/users/{}/", olga.id),
        json!({"is_staff": false}),
    )
    .await
    .expect(200);
    desk.fails("message.operatorSend", json!(["x", anna.id]), 2)
        .await;
}

#[tokio::test]
async fn an_answer_that_comes_while_an_operator_signs_in_leaves_nobody_waiting_there() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let anna = server.user("anna").await;
    let [olga, oleg] = [server.operator("olga").await, server.operator("oleg").await];
    let (mut customer, _) = Desk::of(&server, &anna).await;
    let (mut first, _) = Desk::of(&server, &olga).await;
    let token = token(&server, &oleg).await;
    for round in 0..60 {
        let (question, reply) = (format!("question {round}"), format!("answer {round}"));
        customer.says(&question).await;
        let mut second = Desk {
            phone: Desk::opens(&server).await,
            next_id: 1,
        };
        let signs_in = second.gets("message.auth", json!([token]));
        let answers = async {
            tokio::time::sleep(std::time::Duration::from_micros(100 * (round % 30))).await;
            let params = json!([reply, anna.id]);
            first.gets("message.operatorSend", params).await
        };
        let (history, _) = tokio::join!(signs_in, answers);
        let last = history["messages"].as_array().and_then(|all| all.last());
        if last.is_none_or(|last| last["message_text"] != reply) {
            second.hears_at_last(&reply).await;
        }
        // He was shown that she has her answer, and has answered nobody himself.
        second
            .fails("message.operatorSend", json!(["for whom?"]), 3)
            .await;
    }
}

#[tokio::test]
async fn a_first_message_over_the_limit_opens_no_chat() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 1).await;
    let anna = server.user("anna").await;
    let olga = server.operator("olga").await;
    let notes = anna.creates_group("notes", []).await;
    anna.says(&notes, "the one of this minute").await;
    let (mut customer, _) = Desk::of(&server, &anna).await;
    customer
        .fails("message.send", json!(["can you help?"]), 6)
        .await;
    let chats = olga.get("/api/support/chats/").await.expect(200);
    assert_eq!(chats["count"], 0);
    let own = anna.get("/api/chats/").await.expect(200);
    assert_eq!(own["count"], 1);
}

/// Anna waits, and then Boris says so much that an operator who signs in is shown nothing of her.
async fn one_waits_behind_another(server: &Server) -> (Desk, Desk, Desk, Vec<Value>) {
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let olga = server.operator("olga").await;
    let (mut a, _) = Desk::of(server, &anna).await;
    let (mut b, _) = Desk::of(server, &boris).await;
    a.says("anna waits").await;
    for number in 0..100 {
        b.says(&format!("boris {number}")).await;
    }
    let (desk, shown) = Desk::of(server, &olga).await;
    let shown = shown.as_array().expect("messages").clone();
    assert_eq!(shown.len(), 100);
    assert_eq!(shown[0]["message_text"], "boris 0");
    (a, b, desk, shown)
}

#[tokio::test]
async fn who_is_shown_waiting_in_the_list_of_chats_waits() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let (mut a, mut b, mut desk, _) = one_waits_behind_another(&server).await;
    let chats = desk.gets("message.chats", json!([])).await["chats"].clone();
    assert_eq!(chats[0]["last_message"]["message_text"], "anna waits");
    assert_eq!(chats[1]["last_message"]["message_text"], "boris 99");
    desk.fails("message.operatorSend", json!(["for boris?"]), 3)
        .await;
    let anna = &chats[0]["user_id"];
    desk.gets("message.operatorSend", json!(["for anna", anna]))
        .await;
    a.hears("for anna").await;
    // One is left.
    desk.gets("message.operatorSend", json!(["for boris"]))
        .await;
    b.hears("for boris").await;
}

#[tokio::test]
async fn an_operator_reads_back_through_all_chats_and_whoever_waits_there_waits() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let (mut a, mut b, mut desk, shown) = one_waits_behind_another(&server).await;
    let before = |message: &Value| json!([null, message["message_id"]]);
    let page = desk.gets("message.history", before(&shown[60])).await;
    let texts: Vec<_> = page["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| message["message_text"].as_str().expect("a text").to_owned())
        .collect();
    let wanted = (0..60).map(|number| format!("boris {number}"));
    let wanted: Vec<_> = std::iter::once("anna waits".to_owned())
        .chain(wanted)
        .collect();
    assert_eq!(texts, wanted);
    desk.fails("message.operatorSend", json!(["for boris?"]), 3)
        .await;
    let anna = &page["messages"][0]["user_id"];
    desk.gets("message.operatorSend", json!(["for anna", anna]))
        .await;
    a.hears("for anna").await;
    b.says("and me?").await;
    desk.hears_at_last("and me?").await;
    desk.gets("message.operatorSend", json!(["for boris"]))
        .await;
    b.hears("for boris").await;

    let first = before(&page["messages"][0]);
    let nothing = desk.gets("message.history", first).await;
    assert_eq!(nothing["messages"], Value::Null);
    desk.fails("message.history", json!([null, 999_999]), 1)
        .await;
    // The newest as ever.
    let newest = desk.gets("message.history", json!([])).await;
    let newest = newest["messages"].as_array().expect("messages").clone();
    assert_eq!(newest.len(), 100);
    assert_eq!(newest[99]["message_text"], "for boris");
}

#[tokio::test]
async fn deleted_messages_take_nobodys_place_in_a_history() {
    let server = Server::start_with(|settings| settings.limits.support_history = 3).await;
    let anna = server.user("anna").await;
    let chat = anna.creates(json!({"kind": "support"})).await;
    let mut said = Vec::new();
    for text in ["one", "two", "three", "four", "five", "six", "seven"] {
        said.push(anna.says(&chat, text).await);
    }
    for message in &said[3..6] {
        anna.deletes(&chat, message).await;
    }
    let texts = |messages: &Value| -> Vec<String> {
        let messages = messages.as_array().expect("messages").iter();
        messages
            .map(|message| message["message_text"].as_str().expect("a text").to_owned())
            .collect()
    };
    let (mut desk, messages) = Desk::of(&server, &anna).await;
    assert_eq!(texts(&messages), ["two", "three", "seven"]);
    // A deleted one is a place as any other.
    let earlier = desk
        .gets("message.history", json!([null, said[4].id]))
        .await;
    assert_eq!(texts(&earlier["messages"]), ["one", "two", "three"]);
}

#[tokio::test]
async fn what_can_t_be_said_opens_no_chat() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let (mut desk, _) = Desk::of(&server, &anna).await;
    for (text, code) in [("", 1), ("  ", 1), ("a\u{0}b", 1), (&*"x".repeat(1001), 7)] {
        desk.fails("message.send", json!([text]), code).await;
    }
    let chats = anna.get("/api/chats/").await.expect(200);
    assert_eq!(chats["count"], 0, "{chats}");
    desk.says("help!").await;
    let chats = anna.get("/api/chats/?kind=support").await.expect(200);
    assert_eq!(chats["count"], 1, "{chats}");
}

#[tokio::test]
async fn while_nobody_can_be_signed_in_the_door_says_when_to_come_again() {
    let server = Server::start_with(|settings| {
        settings.storage.database_statement_timeout = std::time::Duration::from_secs(2);
    })
    .await;
    let anna = server.user("anna").await;
    let database = look_around::open(server.database()).await;
    let held = look_around::holds(&database).await;
    let account = user::Entity::update_many()
        .col_expr(user::Column::LastLogin, Expr::value(chrono::Utc::now()))
        .filter(user::Column::Id.eq(UserId(anna.id)));
    account.exec(&held).await.expect("the account");
    let body = json!({"user_name": "anna", "password": PASSWORD});
    let request = Request::new("POST", "/v1/auth/").json(&body);
    let reply = request.send(server.address()).await;
    assert_eq!((reply.status, reply.text()), (503, String::new()));
    assert_eq!(reply.header("retry-after"), Some("2"));
    held.rollback().await.expect("the database back");
    token(&server, &anna).await;
}
