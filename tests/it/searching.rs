//! Looking for what was said.

use serde_json::{Value, json};

use crate::support::{Chat, Person, Reply, Server, person::texts, until};

/// A server that lets people say and ask as much as they like.
async fn server() -> Server {
    Server::start_with(|settings| {
        settings.limits.messages_per_minute = 0;
        settings.limits.searches_per_minute = 0;
    })
    .await
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn asks(person: &Person, query: &str) -> Reply {
    person.get(&format!("/api/search/?{query}")).await
}

/// The texts that are found for these words, newest first.
async fn finds(person: &Person, words: &str) -> Vec<String> {
    let found = asks(person, &format!("q={}", encoded(words))).await;
    texts(&found.expect(200))
}

/// Waits until just this is found.
async fn finds_at_last(person: &Person, words: &str, expected: &[&str]) {
    until(&format!("{words:?} to find {expected:?}"), || async {
        (finds(person, words).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_said_is_found_by_its_words_and_by_how_the_last_one_begins() {
    let server = server().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    anna.says(&trip, "The train leaves at seven, platform 3")
        .await;
    let café = boris.says(&trip, "Café Ёлка, улица Мира").await;
    anna.says(&trip, "Train tickets are in the CAFE").await;
    finds_at_last(&boris, "tickets", &["Train tickets are in the CAFE"]).await;
    for (words, expected) in [
        (
            "tra",
            vec![
                "Train tickets are in the CAFE",
                "The train leaves at seven, platform 3",
            ],
        ),
        ("TRAIN seven", vec!["The train leaves at seven, platform 3"]),
        ("seven tra", vec!["The train leaves at seven, platform 3"]),
        (
            "cafe",
            vec!["Train tickets are in the CAFE", "Café Ёлка, улица Мира"],
        ),
        ("елк", vec!["Café Ёлка, улица Мира"]),
        ("МИРА", vec!["Café Ёлка, улица Мира"]),
        ("3", vec!["The train leaves at seven, platform 3"]),
        // Only the last word may be a beginning; and the words of a text are its words alone.
        ("tra seven", vec![]),
        ("rain", vec![]),
        ("c01", vec![]),
        ("train boat", vec![]),
    ] {
        assert_eq!(finds(&boris, words).await, expected, "{words}");
    }
    let found = asks(&anna, &format!("q={}", encoded("мира")))
        .await
        .expect(200);
    let message = format!("/api/chats/{trip}/messages/{}/", café.id);
    let mut shown = anna.get(&message).await.expect(200);
    shown.as_object_mut().expect("a message").remove("read_by");
    assert_eq!(
        found,
        json!({"next": null, "previous": null, "results": [shown]})
    );
}

#[tokio::test]
async fn no_text_that_a_person_can_type_is_an_error() {
    let server = server().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    anna.says(&notes, "salt and pepper").await;
    finds_at_last(&anna, "salt", &["salt and pepper"]).await;
    for words in [
        "",
        " ",
        "\"",
        "*",
        "salt*\"",
        "'",
        "salt OR",
        "AND",
        "NOT salt",
        "(salt",
        "salt)",
        "-salt",
        "words:salt",
        "^salt",
        "salt NEAR pepper",
        "salt & !",
        "a:*b",
        "\\",
        "%",
        "🙂",
        "salt--",
        "{salt}",
        "salt;DROP",
        "+salt -pepper",
        "<>",
        "@@",
        "salt:A",
    ] {
        let found = asks(&anna, &format!("q={}", encoded(words))).await;
        assert_eq!(found.status, 200, "{words:?}: {}", found.text());
    }
    // They are words or nothing, never a language.
    assert_eq!(finds(&anna, "-pepper salt").await, ["salt and pepper"]);
    assert_eq!(finds(&anna, "NOT salt").await, [""; 0]);
    assert_eq!(finds(&anna, "salt OR sugar").await, [""; 0]);
    assert_eq!(
        finds(&anna, &"salt ".repeat(500)).await,
        ["salt and pepper"]
    );
    assert_eq!(finds(&anna, &"x".repeat(5000)).await, [""; 0]);
    let bytes = anna.get("/api/search/?q=%ff%fe").await;
    assert_eq!(bytes.status, 200, "{}", bytes.text());
    assert_eq!(
        asks(&anna, "").await.expect(400),
        json!({"q": ["This field is required."]})
    );
    for wrong in ["chat=x", "before=x"] {
        let name = wrong.split('=').next().expect("a name");
        let refused = asks(&anna, &format!("q=salt&{wrong}")).await.expect(400);
        assert_eq!(refused, json!({name: ["A valid integer is required."]}));
    }
    assert_eq!(server.get("/api/search/?q=salt").await.status, 401);
}

#[tokio::test]
async fn an_edited_text_is_found_by_its_new_words_and_a_deleted_one_by_none() {
    let server = server().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    let first = anna.says(&notes, "a blue lamp").await;
    let second = anna.says(&notes, "a blue chair").await;
    finds_at_last(&anna, "blue", &["a blue chair", "a blue lamp"]).await;
    anna.edits(&notes, &first, "a green lamp").await;
    finds_at_last(&anna, "green", &["a green lamp"]).await;
    assert_eq!(finds(&anna, "blue").await, ["a blue chair"]);
    anna.deletes(&notes, &second).await;
    assert_eq!(finds(&anna, "chair").await, [""; 0]); // at once, whatever the index says
    anna.says(&notes, "a last word").await;
    finds_at_last(&anna, "last", &["a last word"]).await;
    // So the index has come beyond the deletion: nothing of it is left there, in whatever form.
    let left = server.words_in_index().await;
    assert!(left.iter().any(|words| words.contains("green")), "{left:?}");
    assert!(
        left.iter()
            .all(|words| !words.contains("chair") && !words.contains("blue")),
        "{left:?}"
    );
}

#[tokio::test]
async fn nobody_finds_what_they_may_not_read() {
    let server = server().await;
    let [anna, boris, clara] = server.users(["anna", "boris", "clara"]).await;
    let pair = anna.opens_personal_chat(&boris).await;
    let club = anna.creates_group("club", [&boris, &clara]).await;
    let old = anna.creates_group("old", [&boris]).await;
    anna.says(&pair, "secret of two").await;
    anna.says(&club, "secret of the club").await;
    anna.says(&old, "secret of old").await;
    finds_at_last(
        &anna,
        "secret",
        &["secret of old", "secret of the club", "secret of two"],
    )
    .await;
    assert_eq!(finds(&clara, "secret").await, ["secret of the club"]);
    let here = |chat: &Chat| format!("q=secret&chat={chat}");
    let found = asks(&boris, &here(&club)).await.expect(200);
    assert_eq!(texts(&found), ["secret of the club"]);
    let hidden = asks(&clara, &here(&pair)).await;
    assert_eq!(
        hidden.expect(404),
        json!({"detail": "No Chat matches the given query."})
    );
    assert_eq!(asks(&clara, "q=secret&chat=999").await.status, 404);

    clara.leaves(&club).await;
    assert_eq!(finds(&clara, "secret").await, [""; 0]);
    anna.removes(&club, &boris).await;
    assert_eq!(asks(&boris, &here(&club)).await.status, 404);
    boris.deletes_chat(&pair).await; // hidden from boris alone
    anna.deletes_chat(&old).await; // gone for all
    assert_eq!(finds(&boris, "secret").await, [""; 0]);
    assert_eq!(
        finds(&anna, "secret").await,
        ["secret of the club", "secret of two"]
    );
    anna.says(&pair, "another secret").await;
    finds_at_last(&boris, "secret", &["another secret"]).await;
    let shown = asks(&boris, &here(&pair)).await.expect(200);
    assert_eq!(texts(&shown), ["another secret"]);
}

#[tokio::test]
async fn pages_follow_each_other_and_searches_are_counted() {
    let server = Server::start_with(|settings| {
        settings.limits.messages_per_minute = 0;
        settings.limits.searches_per_minute = 40;
    })
    .await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    for number in 1..=7 {
        anna.says(&notes, &format!("item {number}")).await;
    }
    until("the index to know the last one", || async {
        let known = server.words_in_index().await;
        known
            .iter()
            .any(|word| word == "w7" || word == "7")
            .then_some(())
    })
    .await;
    let mut left = 40;
    let mut target = "/api/search/?q=item&page_size=3".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = anna.get(&target).await.expect(200);
        left -= 1;
        assert_eq!((page.get("count"), &page["previous"]), (None, &Value::Null));
        seen.extend(texts(&page));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        target = next
            .split_once(&format!("{}", anna.to))
            .expect("a link")
            .1
            .to_owned();
    }
    let all: Vec<String> = (1..=7)
        .rev()
        .map(|number| format!("item {number}"))
        .collect();
    assert_eq!(seen, all);
    for _ in 0..left {
        asks(&anna, "q=item").await.expect(200);
    }
    let refused = asks(&anna, "q=item").await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    let boris = server.user("boris").await;
    assert_eq!(finds(&boris, "item").await, [""; 0]);
}

#[tokio::test]
async fn a_start_takes_up_where_the_index_stopped() {
    let server = server().await;
    let anna = server.user("anna").await;
    let notes = anna.creates_group("notes", []).await;
    for number in 1..=30 {
        anna.says(&notes, &format!("line {number}")).await;
    }
    finds_at_last(&anna, "30", &["line 30"]).await;
    server.forgets_index().await;
    assert_eq!(finds(&anna, "line").await, [""; 0]);
    // Another node begins: it looks at all chats.
    let other = server.beside_with(|_| {}).await;
    let anna = anna.at(other.address());
    until("all to be found again", || async {
        (finds(&anna, "line").await.len() == 30).then_some(())
    })
    .await;
    assert_eq!(finds(&anna, "17").await, ["line 17"]);
}
