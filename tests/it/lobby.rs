//! The lobby: any number of rooms on one socket, its texts to the letter.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Ws;

use crate::support::{Chat, Heard, Person, Phone, Server, look_around};

const NO_TYPE: &str = "Ошибка валидации: Вы не указали поле \"type\", которое должно быть со значением \"join\", \
    \"leave\" или \"message\"";
const NO_USERNAME: &str = "Ошибка валидации: Вы не указали поле \"username\"!";
const NO_ROOM: &str = "Ошибка валидации: Вы не указали поле \"room\"!";
const NO_MESSAGE: &str = "Ошибка валидации: Вы не указали поле \"message\"!";
const ANOTHER: &str = "Ошибка валидации: Имя пользователя не совпадает с токеном";
const NOT_JSON: &str = "Неверный JSON";
const CLOSED: &str = "Доступ в комнату запрещён";

/// Somebody's socket in the lobby.
struct Guest {
    name: String,
    phone: Phone,
}

impl Guest {
    async fn comes(person: &Person) -> Self {
        Self::comes_to(person, "/ws/lobby/").await
    }

    async fn comes_to(person: &Person, target: &str) -> Self {
        let phone = person.handshake_at(target).open().await.expect("a socket");
        Self {
            name: person.name.clone(),
            phone,
        }
    }

    async fn does(&mut self, kind: &str, room: &str) {
        let frame = json!({"type": kind, "username": self.name, "room": room});
        self.phone.sends(frame).await;
    }

    async fn says(&mut self, room: &str, text: &str) {
        let frame =
            json!({"type": "message", "username": self.name, "room": room, "message": text});
        self.phone.sends(frame).await;
    }

    #[track_caller]
    fn hears(&mut self, frame: Value) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let heard = self.phone.next_frame().await;
            assert_eq!(heard, frame, "{}, asked at {at}", self.name);
        }
    }

    #[track_caller]
    fn is_told(&mut self, text: &str) -> impl Future<Output = ()> {
        self.hears(json!({"type": "system", "message": text}))
    }

    #[track_caller]
    fn is_refused(&mut self, text: &str) -> impl Future<Output = ()> {
        self.hears(json!({"type": "error", "message": text}))
    }

    #[track_caller]
    fn hears_said(&mut self, who: &str, room: &str, text: &str) -> impl Future<Output = ()> {
        self.hears(json!({"type": "message", "username": who, "message": text, "room": room}))
    }

    /// Says something and hears it: whatever would have come before has come.
    async fn hears_itself(&mut self, room: &str, text: &str) {
        self.says(room, text).await;
        let name = self.name.clone();
        self.hears_said(&name, room, text).await;
    }
}

async fn room(person: &Person) -> Chat {
    let rooms = person.get("/api/chats/?kind=room").await.expect(200);
    let id = rooms["results"][0]["id"].as_i64();
    Chat {
        id: id.expect("a room"),
    }
}

#[tokio::test]
async fn comings_messages_and_goings_of_the_documents_scenario() {
    let server = Server::start().await;
    let [elon, anna] = server.users(["Elon", "anna"]).await;
    let (mut elons, mut annas) = (Guest::comes(&elon).await, Guest::comes(&anna).await);
    annas.does("join", "rooma1").await;
    // Who joins is told nothing: what comes next is what is said.
    annas.hears_itself("rooma1", "anybody?").await;
    elons.does("join", "rooma1").await;
    annas
        .is_told("Пользователь Elon вошёл в комнату \"rooma1\"")
        .await;
    elons.does("join", "rooma1").await;
    elons.hears_itself("rooma1", "I'm Elon Musk!").await;
    annas.hears_said("Elon", "rooma1", "I'm Elon Musk!").await;
    elons.does("leave", "rooma1").await;
    annas.is_told("Пользователь Elon покинул комнату").await;
    // He has left: his socket's end is no second notice.
    elons.phone.closes().await;
    annas.hears_itself("rooma1", "gone").await;
}

#[tokio::test]
async fn a_lost_socket_is_told_to_each_room_that_it_was_in() {
    let server = Server::start().await;
    let [elon, anna] = server.users(["Elon", "anna"]).await;
    let (mut elons, mut annas) = (Guest::comes(&elon).await, Guest::comes(&anna).await);
    for room in ["one", "two", "three"] {
        annas.hears_itself(room, "here").await;
        elons.does("join", room).await;
        let told = format!("Пользователь Elon вошёл в комнату \"{room}\"");
        annas.is_told(&told).await;
    }
    elons.does("leave", "two").await;
    annas.is_told("Пользователь Elon покинул комнату").await;
    drop(elons);
    annas.is_told("Elon отключился").await;
    annas.is_told("Elon отключился").await;
    annas.hears_itself("one", "twice and no more").await;
}

#[tokio::test]
async fn a_message_to_a_room_that_was_not_joined_joins_it_and_names_in_another_case_are_the_same() {
    let server = Server::start().await;
    let [elon, anna] = server.users(["Elon", "anna"]).await;
    let (mut elons, mut annas) = (Guest::comes(&elon).await, Guest::comes(&anna).await);
    annas.hears_itself("Комната", "one").await;
    elons.says("  КОМНАТА ", "two").await;
    annas
        .is_told("Пользователь Elon вошёл в комнату \"Комната\"")
        .await;
    annas.hears_said("Elon", "Комната", "two").await;
    elons.hears_said("Elon", "Комната", "two").await;
    elons.does("leave", "комната").await;
    annas.is_told("Пользователь Elon покинул комнату").await;
    // Leaving a room that one isn't in is nothing.
    elons.does("leave", "комната").await;
    elons.does("leave", "another").await;
    elons.hears_itself("Комната", "again").await;
}

#[tokio::test]
async fn the_other_dialects_see_the_same_room() {
    let server = Server::start().await;
    let [elon, anna] = server.users(["Elon", "anna"]).await;
    let mut elons = Guest::comes(&elon).await;
    elons.hears_itself("rooma1", "first").await;
    let mut annas = anna
        .handshake_at("/ws/room/rooma1/")
        .open()
        .await
        .expect("a socket");
    annas.hears_at_last("user_join").await;
    elons
        .is_told("Пользователь anna вошёл в комнату \"rooma1\"")
        .await;
    elons.does("leave", "rooma1").await;
    assert_eq!(annas.hears("user_leave").await["username"], "Elon");
    elons.does("join", "rooma1").await;
    assert_eq!(annas.hears("user_join").await["username"], "Elon");
    annas
        .sends(json!({"type": "typing", "is_typing": true}))
        .await;
    annas.sends(json!({"message": "second"})).await;
    // Typing has no frame here.
    elons.hears_said("anna", "rooma1", "second").await;
    let said = annas.hears("chat_message").await;
    let chat = room(&anna).await;
    let target = format!("/api/chats/{chat}/messages/{}/", said["message_id"]);
    anna.patch(&target, json!({"text": "changed"}))
        .await
        .expect(200);
    anna.delete(&target).await.expect(204);
    annas.closes().await;
    elons.is_told("anna отключился").await;
    elons.hears_itself("rooma1", "third").await;
}

#[tokio::test]
async fn a_room_that_is_closed_to_somebody_says_so_and_the_socket_lives_on() {
    let server = Server::start().await;
    let [elon, anna] = server.users(["Elon", "anna"]).await;
    let (mut elons, mut annas) = (Guest::comes(&elon).await, Guest::comes(&anna).await);
    annas.hears_itself("rooma1", "mine").await;
    elons.hears_itself("rooma1", "me too").await;
    annas
        .is_told("Пользователь Elon вошёл в комнату \"rooma1\"")
        .await;
    annas.hears_said("Elon", "rooma1", "me too").await;
    let chat = room(&anna).await;

    anna.removes(&chat, &elon).await;
    elons.is_refused(CLOSED).await;
    annas.is_told("Пользователь Elon покинул комнату").await;
    annas.hears_itself("rooma1", "between us").await;
    // He hears no more of it, and can't come back.
    elons.does("join", "rooma1").await;
    elons.is_refused(CLOSED).await;
    elons.says("rooma1", "let me in").await;
    elons.is_refused(CLOSED).await;
    elons.hears_itself("elsewhere", "never mind").await;
    anna.adds(&chat, &elon).await;
    elons.hears_itself("rooma1", "thanks").await;
    annas
        .is_told("Пользователь Elon вошёл в комнату \"rooma1\"")
        .await;
    annas.hears_said("Elon", "rooma1", "thanks").await;

    anna.deletes_chat(&chat).await;
    elons.is_refused(CLOSED).await;
    annas.is_refused(CLOSED).await;
    // The name is free again.
    elons.hears_itself("rooma1", "a new one").await;
    let private = json!({"is_private": true});
    let chat = room(&elon).await;
    elon.patch(&format!("/api/chats/{chat}/"), private)
        .await
        .expect(200);
    annas.does("join", "rooma1").await;
    annas.is_refused(CLOSED).await;
}

#[tokio::test]
async fn a_renamed_room_is_found_by_its_new_name_and_its_old_one_is_free() {
    let server = Server::start().await;
    let [elon, anna] = server.users(["Elon", "anna"]).await;
    let (mut elons, mut annas) = (Guest::comes(&elon).await, Guest::comes(&anna).await);
    annas.hears_itself("old", "one").await;
    elons.does("join", "old").await;
    annas
        .is_told("Пользователь Elon вошёл в комнату \"old\"")
        .await;
    anna.renames(&room(&anna).await, "new").await;
    annas.hears_itself("new", "two").await;
    elons.hears_said("anna", "new", "two").await;
    // Another room by now, which she makes; and she is still in the first.
    annas.hears_itself("old", "three").await;
    elons.says("new", "four").await;
    annas.hears_said("Elon", "new", "four").await;
    elons.hears_said("Elon", "new", "four").await;
    annas.does("leave", "new").await;
    elons.is_told("Пользователь anna покинул комнату").await;
}

#[tokio::test]
async fn who_was_sent_away_from_a_room_that_was_renamed_then_comes_back_by_its_new_name() {
    let server = Server::start().await;
    let [elon, anna] = server.users(["Elon", "anna"]).await;
    let (mut elons, mut annas) = (Guest::comes(&elon).await, Guest::comes(&anna).await);
    annas.hears_itself("old", "one").await;
    elons.does("join", "old").await;
    annas
        .is_told("Пользователь Elon вошёл в комнату \"old\"")
        .await;
    let chat = room(&anna).await;
    anna.removes(&chat, &elon).await;
    elons.is_refused(CLOSED).await;
    annas.is_told("Пользователь Elon покинул комнату").await;
    anna.renames(&chat, "new").await;
    anna.adds(&chat, &elon).await;
    elons.hears_itself("new", "two").await;
    annas
        .is_told("Пользователь Elon вошёл в комнату \"new\"")
        .await;
    annas.hears_said("Elon", "new", "two").await;
    elons.hears_itself("new", "three").await;
}

#[tokio::test]
async fn who_leaves_for_good_elsewhere_is_out_here_too() {
    let server = Server::start().await;
    let [elon, anna] = server.users(["Elon", "anna"]).await;
    let (mut elons, mut annas) = (Guest::comes(&elon).await, Guest::comes(&anna).await);
    annas.hears_itself("rooma1", "mine").await;
    elons.hears_itself("rooma1", "me too").await;
    annas
        .is_told("Пользователь Elon вошёл в комнату \"rooma1\"")
        .await;
    annas.hears_said("Elon", "rooma1", "me too").await;
    elon.leaves(&room(&anna).await).await;
    annas.is_told("Пользователь Elon покинул комнату").await;
    elons.is_refused(CLOSED).await;
    // By himself, which bars nothing.
    elons.hears_itself("rooma1", "back").await;
}

#[tokio::test]
async fn every_wrong_frame_is_told_so_by_the_first_thing_that_is_wrong() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    server.user("boris").await;
    let too_long =
        json!({"type": "message", "username": "anna", "room": "r", "message": "x".repeat(1001)});
    let room_too_long = json!({"type": "join", "username": "anna", "room": "x".repeat(101)});
    let (too_long, room_too_long) = (too_long.to_string(), room_too_long.to_string());
    let cases = [
        ("hello", NOT_JSON),
        ("", NOT_JSON),
        ("{", NOT_JSON),
        ("{'type': 'join'}", NOT_JSON),
        (r#"{"type": "\ud800"}"#, NOT_JSON),
        ("null", NO_TYPE),
        ("[]", NO_TYPE),
        ("7", NO_TYPE),
        ("\"join\"", NO_TYPE),
        ("{}", NO_TYPE),
        (r#"{"username": "boris"}"#, NO_TYPE),
        (
            r#"{"type": "Join", "username": "anna", "room": "r"}"#,
            NO_TYPE,
        ),
        (r#"{"type": 7, "username": "anna", "room": "r"}"#, NO_TYPE),
        (r#"{"type": null}"#, NO_TYPE),
        (
            r#"{"type": "system", "username": "anna", "room": "r", "message": "x"}"#,
            NO_TYPE,
        ),
        (r#"{"type": "join"}"#, NO_USERNAME),
        (
            r#"{"type": "join", "username": "", "room": "r"}"#,
            NO_USERNAME,
        ),
        (
            r#"{"type": "join", "username": " ", "room": "r"}"#,
            NO_USERNAME,
        ),
        (
            r#"{"type": "join", "username": 1, "room": "r"}"#,
            NO_USERNAME,
        ),
        (
            r#"{"type": "join", "username": null, "room": "r"}"#,
            NO_USERNAME,
        ),
        (r#"{"type": "join", "username": "boris"}"#, ANOTHER),
        (
            r#"{"type": "join", "username": "Anna", "room": "r"}"#,
            ANOTHER,
        ),
        (r#"{"type": "join", "username": "anna"}"#, NO_ROOM),
        (
            r#"{"type": "join", "username": "anna", "room": ""}"#,
            NO_ROOM,
        ),
        (
            r#"{"type": "join", "username": "anna", "room": 7}"#,
            NO_ROOM,
        ),
        (
            r#"{"type": "join", "username": "anna", "room": ["r"]}"#,
            NO_ROOM,
        ),
        (
            r#"{"type": "join", "username": "anna", "room": "a/b"}"#,
            NO_ROOM,
        ),
        (
            r#"{"type": "join", "username": "anna", "room": "a\nb"}"#,
            NO_ROOM,
        ),
        (&room_too_long, NO_ROOM),
        (
            r#"{"type": "leave", "username": "anna", "room": " "}"#,
            NO_ROOM,
        ),
        (
            r#"{"type": "message", "username": "anna", "message": "x"}"#,
            NO_ROOM,
        ),
        (
            r#"{"type": "message", "username": "anna", "room": "r"}"#,
            NO_MESSAGE,
        ),
        (
            r#"{"type": "message", "username": "anna", "room": "r", "message": ""}"#,
            NO_MESSAGE,
        ),
        (
            r#"{"type": "message", "username": "anna", "room": "r", "message": " \n"}"#,
            NO_MESSAGE,
        ),
        (
            r#"{"type": "message", "username": "anna", "room": "r", "message": 7}"#,
            NO_MESSAGE,
        ),
        (
            r#"{"type": "message", "username": "anna", "room": "r", "message": {"a": 1}}"#,
            NO_MESSAGE,
        ),
        (&too_long, "Сообщение длиннее 1000 символов"),
    ];
    // 20 errors in 10 s end a connection, as everywhere.
    for cases in cases.chunks(15) {
        let mut annas = Guest::comes(&anna).await;
        for (frame, text) in cases {
            annas.phone.sends_text(frame).await;
            let heard = annas.phone.next_frame().await;
            assert_eq!(heard, json!({"type": "error", "message": text}), "{frame}");
        }
        annas.hears_itself("r", "fine").await;
    }
}

#[tokio::test]
async fn too_much_too_fast_binary_and_oversized_frames_are_refused() {
    let server = Server::start_with(|settings| {
        settings.limits.messages_per_minute = 3;
        settings.limits.rooms_per_hour = 2;
    })
    .await;
    let anna = server.user("anna").await;
    let mut annas = Guest::comes(&anna).await;
    for text in ["1", "2", "3"] {
        annas.hears_itself("r", text).await;
    }
    annas.says("r", "4").await;
    annas
        .is_refused("Слишком много сообщений: не более 3 в минуту")
        .await;
    annas.does("join", "second").await;
    annas.does("join", "third").await;
    annas.is_refused("Слишком много запросов").await;
    for _ in 0..100 {
        annas.does("join", "r").await;
    }
    annas.is_refused("Слишком много запросов").await;
    assert_eq!(annas.phone.is_closed_at_last().await.code, 4029);

    let mut annas = Guest::comes(&anna).await;
    annas.phone.sends_raw(Ws::binary(b"{}".to_vec())).await;
    assert_eq!(annas.phone.is_closed_at_last().await.code, 1003);
    let mut annas = Guest::comes(&anna).await;
    annas.phone.sends_text(&" ".repeat(64 * 1024 + 1)).await;
    assert_eq!(annas.phone.is_closed_at_last().await.code, 1009);
}

#[tokio::test]
async fn without_a_token_and_with_a_bad_one_the_codes_and_reasons_are_known() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    for (target, code, reason) in [
        ("/ws/lobby/", 4001, "Токен отсутствует"),
        ("/ws/lobby", 4001, "Токен отсутствует"),
        ("/ws/lobby/?token=", 4001, "Токен отсутствует"),
        ("/ws/lobby/?token=x", 4002, "Неверный токен"),
        ("/ws/lobby/?token=a.b.c", 4002, "Неверный токен"),
    ] {
        let phone = server.handshake(target).open().await;
        let close = phone.expect("a socket").is_closed().await;
        assert_eq!((close.code, &*close.reason), (code, reason), "{target}");
    }
    let by_query = format!("/ws/lobby/?token={}", anna.access);
    let phone = server.handshake(&by_query).open().await.expect("a socket");
    let mut annas = Guest {
        name: "anna".to_owned(),
        phone,
    };
    annas.hears_itself("r", "in").await;
    anna.signs_out().await;
    let close = annas.phone.is_closed_at_last().await;
    assert_eq!((close.code, &*close.reason), (4002, "Неверный токен"));
}

#[tokio::test]
async fn at_the_root_only_where_a_setting_says_so_and_only_for_sockets() {
    let root = Some(tertulia::settings::RootDialect::Lobby);
    let server = Server::start_with(|settings| settings.connections.root_dialect = root).await;
    let anna = server.user("anna").await;
    let plain = server.get("/ws/").await.status;
    for target in ["/", "/ws", "/ws/"] {
        let mut annas = Guest::comes_to(&anna, target).await;
        annas.hears_itself("r", target).await;
    }
    let elsewhere = Server::start().await;
    let boris = elsewhere.user("boris").await;
    for target in ["/", "/ws", "/ws/"] {
        let refused = boris.handshake_at(target).open().await;
        let status = refused.err().map(|refused| refused.status);
        let as_before = elsewhere.get(target).await.status;
        assert_eq!(status, Some(as_before), "{target}");
        assert_eq!(server.get(target).await.status, as_before, "{target}");
    }
    assert_eq!(plain, 404);
}

#[tokio::test]
async fn nobody_joins_speaks_or_leaves_as_another() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let (mut annas, mut boriss) = (Guest::comes(&anna).await, Guest::comes(&boris).await);
    annas.hears_itself("r", "mine").await;
    for kind in ["join", "leave", "message"] {
        let frame = json!({"type": kind, "username": "anna", "room": "r", "message": "I am anna"});
        boriss.phone.sends(frame).await;
        boriss.is_refused(ANOTHER).await;
    }
    // She is still there, and has heard nothing.
    annas.hears_itself("r", "still mine").await;
    boriss
        .phone
        .sends(json!({
            "type": "message", "username": "boris", "room": "r", "message": "me", "user_id": anna.id,
        }))
        .await;
    annas
        .is_told("Пользователь boris вошёл в комнату \"r\"")
        .await;
    annas.hears_said("boris", "r", "me").await;
}

#[tokio::test]
async fn while_the_database_takes_nothing_a_send_is_refused_and_the_socket_stays() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let mut annas = Guest::comes(&anna).await;
    annas.hears_itself("r", "before").await;
    let database = look_around::open(server.database()).await;
    let held = look_around::holds(&database).await;
    annas.says("r", "meanwhile").await;
    annas.is_refused("Сервис временно недоступен").await;
    held.rollback().await.expect("the database back");
    annas.says("r", "after").await;
    // What was refused may have been committed all the same.
    loop {
        match annas.phone.next().await {
            Heard::Frame(frame) if frame["message"] == "after" => break,
            Heard::Frame(_) => {}
            Heard::Closed(close) => panic!("{close:?}"),
        }
    }
}

#[tokio::test]
async fn whoever_takes_another_name_goes_on_under_it_on_a_socket_that_was_open_before() {
    let server = Server::start().await;
    let [elon, anna] = server.users(["Elon", "anna"]).await;
    let (mut elons, mut annas) = (Guest::comes(&elon).await, Guest::comes(&anna).await);
    annas.hears_itself("rooma1", "mine").await;
    elons.hears_itself("rooma1", "me too").await;
    annas
        .is_told("Пользователь Elon вошёл в комнату \"rooma1\"")
        .await;
    annas.hears_said("Elon", "rooma1", "me too").await;
    elon.patch("/api/users/me/", json!({"username": "Nole"}))
        .await
        .expect(200);
    elons.says("rooma1", "by the old one").await;
    elons.is_refused(ANOTHER).await;
    elons.name = "Nole".to_owned();
    elons.hears_itself("rooma1", "by the new one").await;
    annas.hears_said("Nole", "rooma1", "by the new one").await;
}
