//! What is said reaches everybody, once, in one order, in one shape, through whichever door.

use serde_json::json;

use crate::support::{Message, Server};

#[tokio::test]
async fn what_anna_says_reaches_boris_and_comes_back_to_her() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut annas = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;

    annas.says("Where are we?").await;
    let own = annas.next_message().await;
    let heard = boriss.next_message().await;
    assert_eq!(heard.text, "Where are we?");
    assert_eq!(own, heard);
    assert_eq!(heard.shown["sender"]["username"], "anna");
}

#[tokio::test]
async fn a_message_looks_the_same_on_a_socket_in_its_answer_and_in_a_page() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut phone = boris.joins(&trip).await;

    let answered = anna.says(&trip, "Over REST").await;
    let heard = phone.next_message().await;
    assert_eq!(heard, answered);
    assert_eq!(heard.shown, boris.page(&trip, "").await["results"][0]);
    let found = boris
        .get(&format!("/api/chats/{trip}/messages/{}/", heard.id))
        .await
        .expect(200);
    for (key, value) in heard.shown.as_object().expect("an object") {
        assert_eq!(found[key], *value, "{key}");
    }

    phone.says("Over the socket").await;
    let heard = phone.next_message().await;
    assert_eq!(heard.shown, anna.page(&trip, "").await["results"][0]);
}

#[tokio::test]
async fn a_message_has_the_keys_that_clients_read_and_a_time_as_drf_writes_it() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let message = anna.says(&notes, "first").await.shown;

    let keys: Vec<&str> = message
        .as_object()
        .expect("an object")
        .keys()
        .map(|key| &**key)
        .collect();
    let mut wanted = [
        "id",
        "chat",
        "seq",
        "text",
        "sender",
        "timestamp",
        "is_edited",
        "edited_at",
        "is_deleted",
        "reply_to",
        "content_type",
        "attachment",
    ];
    wanted.sort_unstable();
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!(message["chat"], notes.id);
    assert_eq!(message["seq"], 1);
    let sender =
        json!({"id": anna.id, "username": "anna", "first_name": "Anna", "last_name": "Story"});
    assert_eq!(message["sender"], sender);
    let time = message["timestamp"].as_str().expect("a time");
    let form = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H:%M:%S%.fZ");
    assert!(
        form.is_ok() && (time.len() == 20 || time.len() == 27),
        "{time}"
    );
}

#[tokio::test]
async fn a_client_id_is_shown_to_its_sender_on_all_their_phones_and_to_nobody_else() {
    let server = Server::start_with(|settings| {
        settings.connections.connections_per_chat = tertulia::settings::ConnectionRule::Many;
    })
    .await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut phone = anna.joins(&trip).await;
    let mut laptop = anna.joins(&trip).await;
    let mut boriss = boris.joins(&trip).await;

    phone.says_as("c-1", "from the phone").await;
    assert_eq!(phone.hears("message").await["client_id"], "c-1");
    assert_eq!(laptop.hears("message").await["client_id"], "c-1");
    assert_eq!(boriss.hears("message").await.get("client_id"), None);

    anna.tries_to_say(&trip, json!({"text": "over REST", "client_id": "c-2"}))
        .await
        .expect(201);
    assert_eq!(phone.hears("message").await["client_id"], "c-2");
    assert_eq!(laptop.hears("message").await["client_id"], "c-2");
    assert_eq!(boriss.hears("message").await.get("client_id"), None);
}

#[tokio::test]
async fn a_frame_without_a_type_is_a_message_and_its_text_is_trimmed() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;

    phone.sends(json!({"text": "  \n in the middle \t "})).await;
    assert_eq!(phone.next_message().await.text, "in the middle");
}

#[tokio::test]
async fn an_answer_names_what_it_answers_and_only_in_its_own_chat() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let [trip, other] = [
        anna.creates_group("trip", []).await,
        anna.creates_group("other", []).await,
    ];
    let question = anna.says(&trip, "Where are we?").await;
    let elsewhere = anna.says(&other, "Somewhere else").await;
    let mut phone = anna.joins(&trip).await;

    phone
        .sends(json!({"type": "message", "text": "Here", "reply_to": question.id}))
        .await;
    assert_eq!(phone.next_message().await.shown["reply_to"], question.id);
    let frame =
        json!({"type": "message", "text": "Here", "reply_to": elsewhere.id, "client_id": "c"});
    phone.sends(frame).await;
    let error = phone.hears("error").await;
    assert_eq!(
        (&error["code"], &error["client_id"]),
        (&json!("not_found"), &json!("c"))
    );
    phone.still_works().await;
    assert_eq!(anna.reads_back(&trip).await, ["Here", "Where are we?"]);
}

#[tokio::test]
async fn whoever_talks_at_once_is_heard_by_all_in_one_order() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let people = server.users(["anna", "boris", "clara"]).await;
    let [anna, boris, clara] = &people;
    let trip = anna.creates_group("trip", [boris, clara]).await;
    let mut phones = Vec::new();
    for person in &people {
        phones.push(person.joins(&trip).await);
    }
    // On the sockets, all at once, while REST joins in.
    let talk = |mut phone: crate::support::Phone, wanted: usize| async move {
        for number in 0..40 {
            phone.says(&format!("{} {number}", phone.name)).await;
        }
        let mut heard = Vec::new();
        while heard.len() < wanted {
            heard.push(phone.next_message().await);
        }
        (phone, heard)
    };
    let rest = async {
        for number in 0..20 {
            anna.says(&trip, &format!("REST {number}")).await;
        }
    };
    let mut phones = phones.into_iter();
    let mut talks = || talk(phones.next().expect("three phones"), 140);
    let (first, second, third, ()) = tokio::join!(talks(), talks(), talks(), rest);
    let (a, b, c): (Vec<Message>, Vec<Message>, Vec<Message>) = (first.1, second.1, third.1);
    assert_eq!(a, b);
    assert_eq!(b, c);
    // Each one's own words kept their order, and time never went back.
    for name in ["anna", "boris", "clara", "REST"] {
        let own = a
            .iter()
            .filter_map(|message| message.text.strip_prefix(name));
        let numbers: Vec<u32> = own
            .map(|text| text.trim().parse().expect("a number"))
            .collect();
        assert!(numbers.is_sorted(), "{name}: {numbers:?}");
    }
    let times: Vec<&str> = a
        .iter()
        .filter_map(|message| message.shown["timestamp"].as_str())
        .collect();
    assert!(
        times.iter().filter(|time| time.len() == 27).is_sorted(),
        "{times:?}"
    );
}

#[tokio::test]
async fn text_of_every_alphabet_arrives_as_it_was_written() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    let text = "Привет \u{1f469}\u{200d}\u{1f680} \"quoted\" \\ </script> \u{2028} \u{7f} e\u{301}";
    phone.says(text).await;
    assert_eq!(phone.next_message().await.text, text);
    assert_eq!(anna.reads_back(&notes).await, [text]);
}

#[tokio::test]
async fn what_is_sent_at_once_comes_back_in_that_order_and_what_follows_relies_on_it() {
    let server = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let mut phone = anna.joins(&notes).await;
    // More than may be on their way at once, and nothing is read in between.
    for number in 0..200 {
        let text = match number % 50 {
            49 => String::new(),
            _ => number.to_string(),
        };
        phone.says_as(&format!("c-{number}"), &text).await;
    }
    phone
        .sends(json!({"type": "get_messages", "page_size": 1}))
        .await;
    let (mut messages, mut errors) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let frame = phone.next_frame().await;
        let heard = match frame["type"].as_str() {
            Some("message") => &mut messages,
            Some("error") => &mut errors,
            _ => panic!("an answer before those of earlier frames: {frame}"),
        };
        heard.push(frame["client_id"].clone());
    }
    let (empty, said): (Vec<_>, Vec<_>) = (0..200).partition(|number| number % 50 == 49);
    let ids = |numbers: Vec<i32>| -> Vec<_> {
        let id = |number| json!(format!("c-{number}"));
        numbers.into_iter().map(id).collect()
    };
    assert_eq!((messages, errors), (ids(said), ids(empty)));
    let page = phone.hears("messages").await;
    assert_eq!(page["data"]["count"], 196);
    assert_eq!(page["data"]["results"][0]["text"], "198");
}
